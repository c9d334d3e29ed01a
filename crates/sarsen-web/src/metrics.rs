//! `/healthz` for whoever watches the daemon, `/metrics` in Prometheus' text format.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use sarsen_control::overview::{AppStats, LATENCY_MS, RouterStats};
use serde_json::json;

use crate::Web;
use crate::door::SignedIn;
use crate::pages::denied;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const VERSION: &str = env!("CARGO_PKG_VERSION");
const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// 200 while the store answers. An engine that is down is told, but apps that run are served all the same.
pub(crate) async fn health(State(web): State<Web>, viewer: Result<SignedIn, Response>) -> Response {
    if !web.on_loopback && viewer.is_err() {
        return denied();
    }
    let pulse = web.control.pulse().await;
    let status = if pulse.store {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let word = |fine: bool| if fine { "ok" } else { "unreachable" };
    let body =
        json!({ "version": VERSION, "store": word(pulse.store), "docker": word(pulse.engine) });
    let kind = [(CONTENT_TYPE, "application/json")];
    (status, kind, format!("{body}\n")).into_response()
}

pub(crate) async fn metrics(
    State(web): State<Web>,
    viewer: Result<SignedIn, Response>,
) -> Response {
    if !web.on_loopback && viewer.is_err() {
        return denied();
    }
    let pulse = web.control.pulse().await;
    let mut text = Exposition::default();
    let info = format!("{{version=\"{VERSION}\"}}");
    text.family("info", GAUGE, "The version of the daemon.", [(info, 1)]);
    let up = u64::from(pulse.engine);
    text.value("docker_up", GAUGE, "Whether the engine answers.", up);
    let stats = web.control.router_stats();
    requests(&mut text, &stats);
    latency(&mut text, &stats);
    process(&mut text);
    let kind = [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, text.0).into_response()
}

fn requests(text: &mut Exposition, stats: &RouterStats) {
    let by_class = |app: &AppStats| {
        let name = app.app.clone();
        let label = move |class| format!("{{app=\"{name}\",class=\"{class}\"}}");
        CLASSES.map(label).into_iter().zip(app.by_class)
    };
    let per_app = |count: fn(&AppStats) -> u64| {
        let line = move |app: &AppStats| (format!("{{app=\"{}\"}}", app.app), count(app));
        stats.apps.iter().map(line)
    };
    let help = "Requests that ended, by app and class of status.";
    let counts = stats.apps.iter().flat_map(by_class);
    text.family("http_requests_total", COUNTER, help, counts);
    let help = "Requests that the router could not complete, or that the client gave up.";
    let errors = per_app(|app| app.errors);
    text.family("http_errors_total", COUNTER, help, errors);
    let help = "Of these, the ones that a container failed.";
    let errors = per_app(|app| app.upstream_errors);
    text.family("http_upstream_errors_total", COUNTER, help, errors);
    let help = "Times that another container was asked.";
    let retries = per_app(|app| app.retries);
    text.family("http_retries_total", COUNTER, help, retries);
    let help = "Requests and upgraded connections under way.";
    let in_flight = per_app(|app| app.in_flight as u64);
    text.family("http_in_flight", GAUGE, help, in_flight);
    let help = "Bytes of response bodies, and of upgraded connections in both directions.";
    text.family("http_bytes_total", COUNTER, help, per_app(|app| app.bytes));
    let connections = stats.connections as u64;
    let help = "Connections of clients.";
    text.value("http_connections", GAUGE, help, connections);
    let help = "Requests for a host that no app answers to.";
    let unknown = stats.unknown_host;
    text.value("http_unknown_host_total", COUNTER, help, unknown);
    let help = "Requests refused before an app was looked up.";
    let bad = stats.bad_requests;
    text.value("http_bad_requests_total", COUNTER, help, bad);
    let help = "Connections closed at once, because their address had too many.";
    let refused = stats.refused_connections;
    text.value("http_connections_refused_total", COUNTER, help, refused);
    let help = "Lines of the access log that were dropped.";
    let dropped = stats.log_lines_dropped;
    text.value("access_log_dropped_total", COUNTER, help, dropped);
}

/// How long requests took, as a histogram of Prometheus: each class holds those below it.
fn latency(text: &mut Exposition, stats: &RouterStats) {
    let name = "http_request_seconds";
    text.head(name, "histogram", "How long requests took.");
    for app in &stats.apps {
        let mut below = 0;
        let ends = LATENCY_MS
            .iter()
            .map(|end| format!("{}", Duration::from_millis(*end).as_secs_f64()));
        let ends = ends.chain(["+Inf".to_owned()]);
        for (end, count) in ends.zip(app.latency) {
            below += count;
            text.line(&format!(
                "{name}_bucket{{app=\"{}\",le=\"{end}\"}} {below}",
                app.app
            ));
        }
        let sum = app.latency_sum.as_secs_f64();
        text.line(&format!("{name}_sum{{app=\"{}\"}} {sum}", app.app));
        text.line(&format!("{name}_count{{app=\"{}\"}} {below}", app.app));
    }
}

/// The daemon itself, under the names that every Prometheus client uses.
fn process(text: &mut Exposition) {
    let Some(own) = crate::process::look() else {
        return;
    };
    let cpu = own.cpu.as_secs_f64();
    let facts = [
        (
            "cpu_seconds_total",
            COUNTER,
            "CPU time used.",
            cpu.to_string(),
        ),
        (
            "resident_memory_bytes",
            GAUGE,
            "Memory in use.",
            own.resident.to_string(),
        ),
        ("open_fds", GAUGE, "Open files.", own.open_files.to_string()),
        (
            "start_time_seconds",
            GAUGE,
            "When it was started, in Unix seconds.",
            own.started.to_string(),
        ),
    ];
    for (name, kind, help, value) in facts {
        text.0.push_str(&format!(
            "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}\n"
        ));
    }
}

/// Text under construction. Names of apps hold nothing that would have to be escaped.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn family(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        lines: impl IntoIterator<Item = (String, u64)>,
    ) {
        self.head(name, kind, help);
        for (labels, value) in lines {
            self.0.push_str(&format!("sarsen_{name}{labels} {value}\n"));
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let head = format!("# HELP sarsen_{name} {help}\n# TYPE sarsen_{name} {kind}\n");
        self.0.push_str(&head);
    }

    fn line(&mut self, line: &str) {
        self.0.push_str("sarsen_");
        self.0.push_str(line);
        self.0.push('\n');
    }

    fn value(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help, [(String::new(), value)]);
    }
}
