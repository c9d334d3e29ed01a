//! Deploys of an app: the list, and one of them with its phases and its log.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use sarsen_control::board::{AppBoard, DeployBoard};
use sarsen_domain::BuildId;

use super::frame::{Frame, Head};
use super::show;
use crate::Web;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "deploys.html")]
struct DeploysPage {
    frame: Frame,
    head: Head,
    board: AppBoard,
}

#[derive(Template)]
#[template(path = "deploy.html")]
struct DeployPage {
    frame: Frame,
    head: Head,
    board: DeployBoard,
    /// HTML.
    log: String,
    omitted: u64,
    /// Where the rest of the log comes from while it is written.
    stream: String,
}

pub(crate) async fn deploys(visit: Visit, State(web): State<Web>) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let name = &board.card.name;
        Ok(Some(DeploysPage {
            frame: Frame::new(&visit, "apps", &format!("/apps/{name}/deploys"))
                .lively(0)
                .busy(board.card.deploying.is_some())
                .commands([
                    format!("sarsen builds:list {name}"),
                    format!("sarsen releases {name}"),
                    format!("sarsen git:from-image {name} IMAGE"),
                    format!("sarsen git:sync --build {name} REPOSITORY"),
                    format!("sarsen ps:rebuild {name}"),
                ]),
            head: Head::new(&visit, &board, "/deploys"),
            board,
        }))
    };
    Ok(super::found(&visit, page.await))
}

pub(crate) async fn deploy(
    visit: Visit,
    State(web): State<Web>,
    Path((_, build)): Path<(String, String)>,
) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Ok(id) = BuildId::parse(&build) else {
            return Ok(None);
        };
        let whole = web.control.app_board(&visit.viewer.actor, app).await?;
        let details = web.control.build_details(app, &id).await?;
        let deploy = web.control.deploy_board(app, &id).await?;
        let (Some(whole), Some(details), Some(board)) = (whole, details, deploy) else {
            return Ok(None);
        };
        let name = &whole.card.name;
        let busy = board.build.finished_at.is_none();
        // What stands after the last line end comes with the stream.
        let lines_end = details.log.rfind('\n').map_or(0, |at| at + 1);
        let text = details
            .log
            .get(..lines_end)
            .filter(|_| busy)
            .unwrap_or(&details.log);
        let end = details.omitted + text.len() as u64;
        let path = format!("/apps/{name}/deploys/{id}");
        Ok(Some(DeployPage {
            stream: match busy {
                true => format!("{path}/live?after={end}"),
                false => String::new(),
            },
            log: super::lines(text),
            omitted: details.omitted,
            frame: Frame::new(&visit, "apps", &path).busy(busy).commands([
                format!("sarsen builds:output {name} {id}"),
                format!("sarsen builds:info {name} {id}"),
                format!("sarsen builds:cancel {name}"),
            ]),
            head: Head::new(&visit, &whole, "/deploys"),
            board,
        }))
    };
    Ok(super::found(&visit, page.await))
}

/// Pages were called so before.
pub(crate) async fn old(
    visit: Visit,
    State(web): State<Web>,
    Path((_, build)): Path<(String, String)>,
) -> Result<Response, Response> {
    let app = visit.app()?;
    let Ok(id) = BuildId::parse(&build) else {
        return Ok(super::missing(&visit.viewer, "deploy"));
    };
    Ok(match web.control.build_details(app, &id).await {
        Ok(Some(_)) => Redirect::permanent(&format!("/apps/{app}/deploys/{id}")).into_response(),
        Ok(None) => super::missing(&visit.viewer, "deploy"),
        Err(failure) => super::broken(&failure),
    })
}
