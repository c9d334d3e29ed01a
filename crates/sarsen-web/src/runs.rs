//! Deeds: a form or a program asks, a command is carried out, and what it said is told.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use sarsen_control::{Failure, Order, RunState, RunView};
use sarsen_domain::BuildId;
use tokio_util::io::ReaderStream;

use crate::deeds::{self, Deed};
use crate::guard::parse_form;
use crate::table::Kind;
use crate::visit::Visit;
use crate::{Web, api, pages};

/// A page waits so long for a command before it shows it under way.
const PATIENCE: Duration = Duration::from_millis(1500);

type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// The handler of a deed's route.
pub(crate) fn door(
    deed: &'static Deed,
    kind: Kind,
) -> impl Fn(Visit, State<Web>, HeaderMap, Bytes) -> Answering + Clone + Send + Sync + 'static {
    move |visit, State(web), headers, body| {
        Box::pin(async move {
            match kind {
                Kind::Api => for_program(deed, &visit, &web, &body).await,
                Kind::Page | Kind::Stream | Kind::File => {
                    for_form(deed, &visit, &web, (&headers, &body)).await
                }
            }
        })
    }
}

async fn for_form(
    deed: &'static Deed,
    visit: &Visit,
    web: &Web,
    (headers, body): (&HeaderMap, &Bytes),
) -> Response {
    let wants_json = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kinds| kinds.contains("application/json"));
    let fields = parse_form(body);
    let back = fields
        .iter()
        .find(|(name, _)| name == "back")
        .map(|(_, path)| path.as_str());
    let back = back.filter(|path| is_local(path)).unwrap_or("/").to_owned();
    let begun = begin(deed, visit, web, fields);
    if !wants_json {
        return lead_back(web, visit, begun, &back).await;
    }
    match begun {
        Ok(id) => wait_for(web, visit, &id, PATIENCE).await,
        Err(failure) => api::error(StatusCode::BAD_REQUEST, &failure.message),
    }
}

/// Carries out an order of a page's own, and leads back to it.
pub(crate) async fn carry_out(web: &Web, visit: &Visit, order: Order, back: &str) -> Response {
    let begun = web.control.begin_run_of(&visit.viewer.web, order);
    lead_back(web, visit, begun, back).await
}

/// To the page that asked, when the command has ended soon; else to the command's own.
async fn lead_back(
    web: &Web,
    visit: &Visit,
    begun: Result<String, Failure>,
    back: &str,
) -> Response {
    let run = match begun {
        Ok(id) => {
            web.control
                .await_run(&visit.viewer.web, &id, PATIENCE)
                .await
        }
        Err(failure) => {
            let status = StatusCode::BAD_REQUEST;
            return pages::refused(
                status,
                Some(&visit.viewer),
                "That did not work",
                failure.message,
            );
        }
    };
    let Some(run) = run else {
        return pages::refused(
            StatusCode::NOT_FOUND,
            Some(&visit.viewer),
            "Not found",
            "The command is not remembered any more.".to_owned(),
        );
    };
    let to = if run.state == RunState::Running {
        format!("/runs/{}", run.id)
    } else {
        let mark = if back.contains('?') { '&' } else { '?' };
        format!("{back}{mark}done={}", run.id)
    };
    (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
}

async fn for_program(deed: &'static Deed, visit: &Visit, web: &Web, body: &Bytes) -> Response {
    let (fields, wait) = match api::fields(body) {
        Ok(fields) => fields,
        Err(why) => return api::error(StatusCode::BAD_REQUEST, &why),
    };
    match begin(deed, visit, web, fields) {
        Ok(id) => wait_for(web, visit, &id, wait).await,
        Err(failure) => api::error(StatusCode::BAD_REQUEST, &failure.message),
    }
}

/// Answers a program with what a command came to, after so many seconds at most.
pub(crate) async fn wait_for(web: &Web, visit: &Visit, id: &str, wait: Duration) -> Response {
    match web.control.await_run(&visit.viewer.web, id, wait).await {
        Some(run) => answer(&run),
        None => api::error(
            StatusCode::NOT_FOUND,
            "The command is not remembered any more",
        ),
    }
}

/// 200 when it went well, 422 when it did not, 202 while it is under way.
pub(crate) fn answer(run: &RunView) -> Response {
    let status = match (run.state, run.exit_code) {
        (RunState::Running, _) => StatusCode::ACCEPTED,
        (RunState::Ended, Some(0)) => StatusCode::OK,
        (RunState::Ended, _) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    (status, api::json(run)).into_response()
}

fn begin(
    deed: &'static Deed,
    visit: &Visit,
    web: &Web,
    mut fields: Vec<(String, String)>,
) -> Result<String, Failure> {
    let mut app = None;
    if deed.of_app {
        // The app is the one that the gate was asked about, whatever the form says.
        fields.retain(|(name, _)| name != "app");
        let named = visit
            .app()
            .map_err(|_| Failure::new("There is no such app"))?;
        fields.push(("app".to_owned(), named.to_string()));
        app = Some(named.to_string());
    }
    let filled = deeds::fill(deed, &fields).map_err(Failure::new)?;
    let order = Order {
        argv: filled.argv,
        stdin: filled.stdin,
        shown: filled.shown,
        app,
        keeping: deed.keeping,
    };
    web.control.begin_run_of(&visit.viewer.web, order)
}

/// A path of ours: `//host` and `/\host` would lead elsewhere.
fn is_local(path: &str) -> bool {
    let mut characters = path.chars();
    characters.next() == Some('/')
        && !matches!(characters.next(), Some('/' | '\\'))
        && !path
            .chars()
            .any(|character| character.is_control() || !character.is_ascii())
}

/// Asks a command to stop.
pub(crate) async fn stop(
    visit: Visit,
    State(web): State<Web>,
    Path(id): Path<String>,
    Extension(_arrival): Extension<crate::arrival::Arrival>,
) -> Response {
    if web.control.cancel_run(&visit.viewer.web, &id) {
        (StatusCode::SEE_OTHER, [(LOCATION, format!("/runs/{id}"))]).into_response()
    } else {
        pages::refused(
            StatusCode::NOT_FOUND,
            Some(&visit.viewer),
            "Not found",
            "There is no such command, or it is not remembered any more.".to_owned(),
        )
    }
}

/// The whole log of a build, to be kept as a file.
pub(crate) async fn build_log(
    visit: Visit,
    State(web): State<Web>,
    Path((_, build)): Path<(String, String)>,
) -> Response {
    let missing = || (StatusCode::NOT_FOUND, "There is no such log\n").into_response();
    let (Ok(app), Ok(build)) = (visit.app(), BuildId::parse(&build)) else {
        return missing();
    };
    let Ok(path) = web.control.build_log_path(app, &build).await else {
        return missing();
    };
    let Ok(file) = tokio::fs::File::open(path).await else {
        return missing();
    };
    let name = format!("attachment; filename=\"{app}-{build}.log\"");
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, name),
    ];
    (headers, Body::from_stream(ReaderStream::new(file))).into_response()
}

#[cfg(test)]
mod tests {
    use super::is_local;

    #[test]
    fn one_is_led_back_to_pages_of_ours_only() {
        for ours in ["/", "/apps/shop", "/apps/shop?x=1"] {
            assert!(is_local(ours), "{ours}");
        }
        for other in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://x",
            "/a\r\nb",
            "apps",
        ] {
            assert!(!is_local(other), "{other:?}");
        }
    }
}
