//! `/healthz` for whoever watches the daemon, `/metrics` in Prometheus' text format.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use sarsen_control::Control;
use sarsen_control::overview::Pulse;
use serde_json::json;

use crate::Web;
use crate::access::Viewer;
use crate::pages::denied;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
const VERSION: &str = env!("CARGO_PKG_VERSION");

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
    (
        status,
        [(CONTENT_TYPE, "application/json")],
        format!("{body}\n"),
    )
        .into_response()
}

pub(crate) async fn metrics(State(web): State<Web>, viewer: Result<Viewer, Response>) -> Response {
    if !web.on_loopback && viewer.is_err() {
        return denied();
    }
    let text = text(&web.control, web.control.pulse().await);
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
        .into_response()
}

/// Names of apps hold nothing that would have to be escaped.
fn text(control: &Control, pulse: Pulse) -> String {
    let stats = control.router_stats();
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, lines: Vec<(String, u64)>| {
        text.push_str(&format!(
            "# HELP sarsen_{name} {help}\n# TYPE sarsen_{name} {kind}\n"
        ));
        for (labels, value) in lines {
            text.push_str(&format!("sarsen_{name}{labels} {value}\n"));
        }
    };
    let one = |value: u64| vec![(String::new(), value)];
    let per_app = |value: fn(&_) -> u64| {
        let line = |app| (format!("{{app=\"{}\"}}", name_of(app)), value(app));
        stats.apps.iter().map(line).collect::<Vec<_>>()
    };
    let by_class = stats.apps.iter().flat_map(|app| {
        let line = |(class, count): (&str, &u64)| {
            (format!("{{app=\"{}\",class=\"{class}\"}}", app.app), *count)
        };
        CLASSES
            .into_iter()
            .zip(&app.by_class)
            .map(line)
            .collect::<Vec<_>>()
    });
    family(
        "info",
        "gauge",
        "The version of the daemon.",
        vec![(format!("{{version=\"{VERSION}\"}}"), 1)],
    );
    family(
        "docker_up",
        "gauge",
        "Whether the container engine answers.",
        one(pulse.engine.into()),
    );
    family(
        "http_requests_total",
        "counter",
        "Requests that ended, by app and class of status.",
        by_class.collect(),
    );
    family(
        "http_errors_total",
        "counter",
        "Requests that the router could not complete, or that the client gave up.",
        per_app(|app: &sarsen_control::overview::AppStats| app.errors),
    );
    family(
        "http_bytes_total",
        "counter",
        "Bytes of response bodies, and of upgraded connections in both directions.",
        per_app(|app| app.bytes),
    );
    family(
        "http_connections",
        "gauge",
        "Connections of clients.",
        one(stats.connections as u64),
    );
    family(
        "http_unknown_host_total",
        "counter",
        "Requests for a host that no app answers to.",
        one(stats.unknown_host),
    );
    family(
        "http_bad_requests_total",
        "counter",
        "Requests refused before an app was looked up.",
        one(stats.bad_requests),
    );
    family(
        "access_log_dropped_total",
        "counter",
        "Lines of the access log that were dropped.",
        one(stats.log_lines_dropped),
    );
    text
}

fn name_of(app: &sarsen_control::overview::AppStats) -> &str {
    app.app.as_str()
}
