//! What concerns one app.

use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use sarsen_control::board::Range;
use sarsen_control::{Keeping, Order, RunState};
use sarsen_domain::BuildId;
use serde::Deserialize;

use super::{error, failed, found, found_or_not};
use crate::Web;
use crate::visit::Visit;

/// Things that happened, in one answer.
const HAPPENED: usize = 100;
/// Reading logs takes no longer.
const PATIENCE: Duration = Duration::from_secs(20);

macro_rules! app {
    ($visit:expr) => {
        match $visit.app() {
            Ok(app) => app,
            Err(response) => return response,
        }
    };
}

#[derive(Deserialize)]
pub(crate) struct Span {
    range: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Two {
    from: u32,
    to: u32,
}

#[derive(Deserialize)]
pub(crate) struct Lines {
    num: Option<u32>,
    ps: Option<String>,
}

pub(crate) async fn list(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.app_cards(&visit.viewer.actor).await)
}

pub(crate) async fn show(visit: Visit, State(web): State<Web>) -> Response {
    let app = app!(visit);
    found_or_not(web.control.app_board(&visit.viewer.actor, app).await, "app")
}

pub(crate) async fn activity(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.activity(app!(visit), HAPPENED).await)
}

pub(crate) async fn build(
    visit: Visit,
    State(web): State<Web>,
    Path((_, build)): Path<(String, String)>,
) -> Response {
    let Ok(build) = BuildId::parse(&build) else {
        return error(StatusCode::NOT_FOUND, "There is no such build");
    };
    found_or_not(web.control.deploy_board(app!(visit), &build).await, "build")
}

pub(crate) async fn charts(
    visit: Visit,
    State(web): State<Web>,
    Query(span): Query<Span>,
) -> Response {
    let Some(range) = Range::parse(span.range.as_deref().unwrap_or("hour")) else {
        return error(StatusCode::BAD_REQUEST, "The range is hour, day or week");
    };
    found(web.control.charts(app!(visit), range).await)
}

pub(crate) async fn compare(
    visit: Visit,
    State(web): State<Web>,
    Query(two): Query<Two>,
) -> Response {
    found(
        web.control
            .compare_releases(app!(visit), two.from, two.to)
            .await,
    )
}

pub(crate) async fn config(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.config_rows(app!(visit)).await)
}

pub(crate) async fn cron(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.cron_rows(app!(visit)).await)
}

pub(crate) async fn domains(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.domain_board(app!(visit)).await)
}

pub(crate) async fn check(
    visit: Visit,
    State(web): State<Web>,
    Path((_, domain)): Path<(String, String)>,
) -> Response {
    found(web.control.check_domain(app!(visit), &domain).await)
}

pub(crate) async fn scale(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.scale_rows(app!(visit)).await)
}

pub(crate) async fn services(visit: Visit, State(web): State<Web>) -> Response {
    let app = app!(visit);
    found(web.control.app_services(&visit.viewer.actor, app).await)
}

pub(crate) async fn storage(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.storage_rows(app!(visit)).await)
}

/// What `logs` prints.
pub(crate) async fn logs(
    visit: Visit,
    State(web): State<Web>,
    Query(lines): Query<Lines>,
) -> Response {
    let app = app!(visit);
    let mut argv = vec![
        "logs".to_owned(),
        format!("--num={}", lines.num.unwrap_or(100).min(5000)),
    ];
    argv.extend(lines.ps.map(|process| format!("--ps={process}")));
    argv.push(app.to_string());
    let order = Order {
        shown: format!("sarsen {}", crate::deeds::quoted(&argv)),
        argv,
        stdin: Vec::new(),
        app: Some(app.to_string()),
        keeping: Keeping::Hour,
    };
    let actor = &visit.viewer.web;
    let run = match web.control.begin_run_of(actor, order) {
        Ok(id) => web.control.await_run(actor, &id, PATIENCE).await,
        Err(failure) => return failed(&failure),
    };
    match run {
        Some(run) if run.state == RunState::Ended && run.exit_code == Some(0) => {
            ([(CONTENT_TYPE, "text/plain; charset=utf-8")], run.output).into_response()
        }
        Some(run) => error(StatusCode::UNPROCESSABLE_ENTITY, run.output.trim()),
        None => error(StatusCode::NOT_FOUND, "There are no logs"),
    }
}
