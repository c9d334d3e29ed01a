//! Config vars: hidden until asked for, edited as text, and shown as a difference before they are saved.

mod edit;

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::Response;
use sarsen_control::board::{AppBoard, ConfigRow};
use sarsen_control::{Keeping, Order, Outcome};
use sarsen_domain::AppName;
use serde::Deserialize;

use super::frame::{Frame, Head};
use super::show;
use crate::Web;
use crate::runs;
use crate::visit::Visit;
use edit::{Change, Edit};

/// Stands for a value that is not shown.
pub(super) const MASK: &str = "••••••••";

#[derive(Template)]
#[template(path = "config.html")]
struct ConfigPage {
    frame: Frame,
    head: Head,
    vars: Vec<ConfigRow>,
    /// What the editor begins with.
    text: String,
    known: String,
}

#[derive(Template)]
#[template(path = "config_review.html")]
struct ReviewPage {
    frame: Frame,
    head: Head,
    problem: String,
    changes: Vec<Change>,
    text: String,
    known: String,
}

#[derive(Deserialize)]
pub(crate) struct Draft {
    #[serde(default)]
    text: String,
    /// The names that were there when the editor was opened: only these can be removed.
    #[serde(default)]
    known: String,
    #[serde(default)]
    apply: String,
}

pub(crate) async fn config(visit: Visit, State(web): State<Web>) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let vars = web.control.config_rows(app).await?;
        let own = || {
            vars.iter()
                .filter(|var| !var.global)
                .map(|var| var.key.as_str())
        };
        Ok(Some(ConfigPage {
            frame: frame(&visit, &board),
            head: Head::new(&visit, &board, "/config"),
            text: own().map(|key| format!("{key}={MASK}\n")).collect(),
            known: own().collect::<Vec<_>>().join(" "),
            vars,
        }))
    };
    Ok(super::found(&visit, page.await))
}

pub(crate) async fn review(
    visit: Visit,
    State(web): State<Web>,
    Form(draft): Form<Draft>,
) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let (changes, problem) = match edit(&web, app, &draft).await? {
            Ok(edit) => (edit.changes(), String::new()),
            Err(problem) => (Vec::new(), problem),
        };
        Ok(Some(ReviewPage {
            frame: frame(&visit, &board),
            head: Head::new(&visit, &board, "/config"),
            problem,
            changes,
            text: draft.text,
            known: draft.known,
        }))
    };
    Ok(super::found(&visit, page.await))
}

/// Sets and removes in one step: what is masked keeps its value.
pub(crate) async fn save(
    visit: Visit,
    State(web): State<Web>,
    Form(draft): Form<Draft>,
) -> Result<Response, Response> {
    let app = visit.app()?;
    let edit = match edit(&web, app, &draft).await {
        Ok(Ok(edit)) => edit,
        Ok(Err(problem)) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Ok(super::say(&visit.viewer, status, "Not saved", &problem));
        }
        Err(failure) => return Ok(super::broken(&failure)),
    };
    let later = draft.apply == "later";
    let words = ["--quiet", "config:import", "--format", "json", "--replace"];
    let words = words.into_iter().chain(later.then_some("--no-restart"));
    let argv: Vec<_> = words
        .chain([app.as_str(), "-"])
        .map(str::to_owned)
        .collect();
    let order = Order {
        shown: format!("sarsen {} < vars.json", argv.join(" ")),
        argv,
        stdin: edit.whole().into_bytes(),
        app: Some(app.to_string()),
        keeping: Keeping::Hour,
    };
    Ok(runs::carry_out(&web, &visit, order, &format!("/apps/{app}/config")).await)
}

async fn edit(web: &Web, app: &AppName, draft: &Draft) -> Outcome<Result<Edit, String>> {
    let now = web.control.config_values(app).await?;
    Ok(Edit::parse(&draft.text, &draft.known, now))
}

fn frame(visit: &Visit, board: &AppBoard) -> Frame {
    let name = &board.card.name;
    Frame::new(visit, "apps", &format!("/apps/{name}/config")).commands([
        format!("sarsen config:show {name}"),
        format!("sarsen config:set {name} KEY=VALUE"),
        format!("sarsen config:unset {name} KEY"),
        format!("sarsen config:import --replace {name} - < vars.env"),
    ])
}
