//! What an app's processes say: chosen by process, words and time, and followed.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use sarsen_control::board::{AppBoard, LogLine};
use sarsen_domain::ProcessType;
use serde::Deserialize;

use super::frame::{Frame, Head};
use super::{escaped, show, with_colours};
use crate::Web;
use crate::visit::Visit;
use crate::words::now;

/// Without a time the page begins with so many lines.
const LINES: u32 = 300;
/// Of each process, so many are looked through for a time or for words.
const LOOKED_THROUGH: u32 = 5000;
/// A page shows so many.
const MOST: usize = 2000;

#[derive(Template)]
#[template(path = "logs.html")]
struct LogsPage {
    frame: Frame,
    head: Head,
    sources: Vec<Chip>,
    chosen: String,
    search: String,
    ranges: Vec<Span>,
    problem: String,
    /// HTML.
    log: String,
    stream: String,
}

struct Chip {
    name: String,
    href: String,
    here: bool,
}

struct Span {
    value: &'static str,
    name: &'static str,
    here: bool,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    /// A process type.
    #[serde(default)]
    ps: String,
    /// Words that lines must contain.
    #[serde(default)]
    q: String,
    #[serde(default)]
    range: String,
}

const RANGES: [(&str, &str, i64); 5] = [
    ("", "the last lines", 0),
    ("15m", "the last 15 minutes", 900),
    ("1h", "the last hour", 3600),
    ("6h", "the last 6 hours", 21_600),
    ("24h", "the last day", 86_400),
];

pub(crate) async fn logs(
    visit: Visit,
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Result<Response, Response> {
    let app = visit.app()?;
    let page = async {
        let Some(board) = web.control.app_board(&visit.viewer.actor, app).await? else {
            return Ok(None);
        };
        let process = ProcessType::parse(&asked.ps).ok();
        let since = RANGES.iter().find(|(value, ..)| *value == asked.range);
        let since = since
            .filter(|(.., length)| *length > 0)
            .map(|(.., length)| now() - length);
        let narrowed = since.is_some() || !asked.q.is_empty();
        let count = if narrowed { LOOKED_THROUGH } else { LINES };
        let lines = web.control.log_lines(app, process.as_ref(), count).await;
        let (lines, problem) = match lines {
            Ok(lines) => (lines, String::new()),
            Err(failure) => (Vec::new(), failure.message),
        };
        let name = board.card.name.clone();
        let query = match &process {
            Some(process) => format!("?ps={process}"),
            None => String::new(),
        };
        Ok(Some(LogsPage {
            frame: Frame::new(&visit, "apps", &format!("/apps/{name}/logs{query}")).commands([
                match &process {
                    Some(process) => format!("sarsen logs {name} --tail --ps {process}"),
                    None => format!("sarsen logs {name} --tail"),
                },
            ]),
            head: Head::new(&visit, &board, "/logs"),
            sources: chips(&board, &asked.ps),
            ranges: ranges(&asked.range),
            stream: stream(&board, process.as_ref(), &lines),
            log: html(&lines, since, &asked.q),
            chosen: asked.ps,
            search: asked.q,
            problem,
        }))
    };
    Ok(super::found(&visit, page.await))
}

fn chips(board: &AppBoard, chosen: &str) -> Vec<Chip> {
    let name = &board.card.name;
    let all = Chip {
        name: "all".to_owned(),
        href: format!("/apps/{name}/logs"),
        here: chosen.is_empty(),
    };
    let running = board
        .processes
        .iter()
        .filter(|row| !row.instances.is_empty());
    let own = running.map(|row| Chip {
        name: row.process.clone(),
        href: format!("/apps/{name}/logs?ps={}", row.process),
        here: row.process == chosen,
    });
    [all].into_iter().chain(own).collect()
}

fn ranges(chosen: &str) -> Vec<Span> {
    let span = |(value, name, _): &(&'static str, &'static str, i64)| Span {
        value,
        name,
        here: *value == chosen,
    };
    RANGES.iter().map(span).collect()
}

/// Goes on after the last line of the page.
fn stream(board: &AppBoard, process: Option<&ProcessType>, lines: &[LogLine]) -> String {
    if board.processes.iter().all(|row| row.instances.is_empty()) {
        return String::new();
    }
    let after = lines
        .last()
        .map(|line| line.at.as_str())
        .unwrap_or_default();
    let process = process
        .map(|process| format!("ps={process}&"))
        .unwrap_or_default();
    format!("/apps/{}/logs/live?{process}after={after}", board.card.name)
}

fn html(lines: &[LogLine], since: Option<i64>, words: &str) -> String {
    let words = words.to_lowercase();
    let since = since.map(crate::words::exact).unwrap_or_default();
    let wanted: Vec<_> = lines
        .iter()
        // Times of one form are in the order of their letters.
        .filter(|line| line.at.as_str() >= since.as_str())
        .filter(|line| words.is_empty() || line.text.to_lowercase().contains(&words))
        .collect();
    let skipped = wanted.len().saturating_sub(MOST);
    let mut html = String::new();
    for line in wanted.into_iter().skip(skipped) {
        html.push_str("<span class=\"l\"><time>");
        html.push_str(&escaped(line.at.get(..19).unwrap_or(&line.at)));
        html.push_str("</time> <span class=\"who\">");
        html.push_str(&escaped(&line.dyno));
        html.push_str("</span> ");
        html.push_str(&with_colours(&line.text));
        html.push_str("\n</span>");
    }
    html
}
