//! One app at a glance: what happened, what runs, how it is doing.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sarsen_control::board::{Activity, AppBoard, Comparison, Range};
use serde::Deserialize;

use super::chart::{self, Chart};
use super::frame::{Frame, Head};
use super::show;
use crate::Web;
use crate::visit::Visit;

#[derive(Template)]
#[template(path = "app.html")]
struct AppPage {
    frame: Frame,
    head: Head,
    board: AppBoard,
    charts: Vec<Chart>,
    feed: Vec<Entry>,
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    frame: Frame,
    head: Head,
    board: Comparison,
}

/// A line of the feed.
struct Entry {
    at: i64,
    tone: &'static str,
    text: String,
    href: String,
    /// `ada over ssh · `
    by: String,
    release: u32,
    compare: String,
    /// The release can be gone back to.
    can_return: bool,
}

#[derive(Deserialize)]
pub(crate) struct Pair {
    a: Option<u32>,
    b: Option<u32>,
}

pub(crate) async fn app(visit: Visit, State(web): State<Web>) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let charts = web.control.charts(app, Range::Hour).await?;
        let name = &board.card.name;
        Ok(Some(AppPage {
            frame: Frame::new(&visit, "apps", &format!("/apps/{name}"))
                .lively(10)
                .busy(board.card.deploying.is_some())
                .commands([
                    format!("git remote add sarsen {}", board.remote),
                    format!("sarsen ps:report {name}"),
                    format!("sarsen ps:scale {name} web=2"),
                    format!("sarsen rollback {name}"),
                ]),
            head: Head::new(&visit, &board, ""),
            charts: chart::four(&charts),
            feed: board
                .activity
                .iter()
                .map(|one| entry(&board, one))
                .collect(),
            board,
        }))
    };
    Ok(super::found(&visit, page.await))
}

fn entry(board: &AppBoard, one: &Activity) -> Entry {
    let name = &board.card.name;
    let release = one.release.unwrap_or_default();
    let of_list = board.releases.iter().find(|row| row.number == release);
    let can_return = one.kind == "release" && of_list.is_some_and(|row| row.state == "retired");
    let is_release = one.kind == "release" && release > 0;
    Entry {
        at: one.at,
        tone: match (one.ok, one.kind) {
            (false, _) | (_, "crash") => "bad",
            (_, "release") => "good",
            _ => "idle",
        },
        text: match is_release {
            true => format!("v{release} {}", show::first_line(&one.text)),
            false if one.ok => show::first_line(&one.text),
            false => format!("Failed: {}", show::first_line(&one.text)),
        },
        href: one.build.as_ref().map_or(String::new(), |build| {
            format!("/apps/{name}/deploys/{build}")
        }),
        by: match (one.actor.as_str(), one.door.as_str()) {
            ("", _) => String::new(),
            (actor, "") => format!("{actor} · "),
            (actor, door) => format!("{actor}, {door} · "),
        },
        release,
        compare: match is_release && release > 1 {
            true => format!("/apps/{name}/compare?a={}&b={release}", release - 1),
            false => String::new(),
        },
        can_return,
    }
}

pub(crate) async fn compare(
    visit: Visit,
    State(web): State<Web>,
    Query(pair): Query<Pair>,
) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let newest = board.releases.first().map_or(1, |release| release.number);
        let to = pair.b.unwrap_or(newest);
        let from = pair.a.unwrap_or_else(|| to.saturating_sub(1));
        let name = &board.card.name;
        Ok(Some(ComparePage {
            frame: Frame::new(
                &visit,
                "apps",
                &format!("/apps/{name}/compare?a={from}&b={to}"),
            )
            .commands([
                format!("sarsen releases:info {name} v{from}"),
                format!("sarsen releases:info {name} v{to}"),
            ]),
            head: Head::new(&visit, &board, "/deploys"),
            board: web.control.compare_releases(app, from, to).await?,
        }))
    };
    Ok(super::found(&visit, page.await))
}
