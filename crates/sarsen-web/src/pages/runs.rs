//! A command under way, or done: its line, its output, its exit code.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use sarsen_control::{RunState, RunView};
use serde::Deserialize;

use super::frame::Frame;
use super::show;
use crate::Web;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "ran.html")]
struct RanPage {
    frame: Frame,
    run: RunView,
    state: String,
    tone: &'static str,
    back: String,
    /// HTML.
    log: String,
    stream: String,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    back: String,
}

pub(crate) async fn run(
    visit: Visit,
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let Some(run) = web.control.run_view(&visit.viewer.web, &id) else {
        return super::missing(
            &visit.viewer,
            "command: what ended is remembered for an hour",
        );
    };
    let busy = run.state == RunState::Running;
    let (state, tone) = match run.exit_code {
        None => ("running".to_owned(), "odd"),
        Some(0) => ("done".to_owned(), "good"),
        Some(code) => (format!("failed, exit {code}"), "bad"),
    };
    let whole = run.output.rfind('\n').map_or(0, |at| at + 1);
    let text = run
        .output
        .get(..whole)
        .filter(|_| busy)
        .unwrap_or(&run.output);
    let end = run.omitted + text.len() as u64;
    let back = match (&run.app, asked.back.as_str()) {
        (_, back) if back.starts_with('/') && !back.starts_with("//") => back.to_owned(),
        (Some(app), _) => format!("/apps/{app}"),
        (None, _) => "/".to_owned(),
    };
    super::show(Ok(RanPage {
        frame: Frame {
            flash: None,
            ..Frame::new(&visit, "", &format!("/runs/{id}"))
                .busy(busy)
                .commands([run.command.clone()])
        },
        state,
        tone,
        back,
        log: super::lines(text),
        stream: match busy {
            true => format!("/runs/{id}/live?after={end}"),
            false => String::new(),
        },
        run,
    }))
}
