//! `/healthz` for whoever watches the daemon, `/metrics` in Prometheus' text format.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use sarsen_control::overview::{AppStats, RouterStats};
use serde_json::json;

use crate::Web;
use crate::access::Viewer;
use crate::pages::denied;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const VERSION: &str = env!("CARGO_PKG_VERSION");
const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

/// 200 while the store answers. An engine that is down is told, but apps that run are served all the same.
pub(crate) async fn health(State(web): State<Web>, viewer: Result<Viewer, Response>) -> Response {
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

pub(crate) async fn metrics(State(web): State<Web>, viewer: Result<Viewer, Response>) -> Response {
    if !web.on_loopback && viewer.is_err() {
        return denied();
    }
    let pulse = web.control.pulse().await;
    let mut text = Exposition::default();
    let info = format!("{{version=\"{VERSION}\"}}");
    text.family("info", GAUGE, "The version of the daemon.", [(info, 1)]);
    let up = u64::from(pulse.engine);
    text.value("docker_up", GAUGE, "Whether the engine answers.", up);
    requests(&mut text, &web.control.router_stats());
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
    let help = "Lines of the access log that were dropped.";
    let dropped = stats.log_lines_dropped;
    text.value("access_log_dropped_total", COUNTER, help, dropped);
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
        let head = format!("# HELP sarsen_{name} {help}\n# TYPE sarsen_{name} {kind}\n");
        self.0.push_str(&head);
        for (labels, value) in lines {
            self.0.push_str(&format!("sarsen_{name}{labels} {value}\n"));
        }
    }

    fn value(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help, [(String::new(), value)]);
    }
}
