//! Commands, and what became of them.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use sarsen_control::{Keeping, Order};
use serde::Deserialize;

use super::{WAIT, WAIT_MAX, error, failed, json};
use crate::Web;
use crate::runs::wait_for;
use crate::visit::Visit;

/// `{"words": ["ps:scale", "shop", "web=2"], "stdin": "", "wait": 30}`
#[derive(Deserialize)]
struct Said {
    words: Vec<String>,
    #[serde(default)]
    stdin: String,
    wait: Option<u64>,
}

pub(crate) async fn show(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Response {
    match web.control.run_view(&visit.viewer.web, &id) {
        Some(run) => json(&run),
        None => error(
            StatusCode::NOT_FOUND,
            "There is no such command, or it is not remembered any more",
        ),
    }
}

pub(crate) async fn stop(visit: Visit, State(web): State<Web>, Path(id): Path<String>) -> Response {
    if web.control.cancel_run(&visit.viewer.web, &id) {
        wait_for(&web, &visit, &id, Duration::from_secs(5)).await
    } else {
        error(
            StatusCode::NOT_FOUND,
            "There is no such command, or it is not remembered any more",
        )
    }
}

/// Any command of the table: its own gate says whether the caller may.
pub(crate) async fn command(visit: Visit, State(web): State<Web>, body: Bytes) -> Response {
    let said: Said = match serde_json::from_slice(&body) {
        Ok(said) => said,
        Err(why) => {
            let text = format!("{{\"words\": [\"apps:list\"]}} is needed: {why}");
            return error(StatusCode::BAD_REQUEST, &text);
        }
    };
    let name = said.words.iter().find(|word| !word.starts_with('-'));
    let name = name.cloned().unwrap_or_default();
    let order = Order {
        argv: said.words,
        stdin: said.stdin.into_bytes(),
        // Its words may be secrets.
        shown: format!("sarsen {}", name.escape_debug()),
        app: None,
        keeping: Keeping::OneLook,
    };
    let wait = Duration::from_secs(said.wait.unwrap_or(WAIT).min(WAIT_MAX));
    match web.control.begin_run_of(&visit.viewer.web, order) {
        Ok(id) => wait_for(&web, &visit, &id, wait).await,
        Err(failure) => failed(&failure),
    }
}
