//! What an app's containers write: the command `logs --tail`, line by line.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use axum::response::sse::Event;
use sarsen_control::{Front, Io, Output, Request, outlets};
use serde::Deserialize;
use tokio::sync::mpsc::Receiver;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Lines, batches, event, last_id, line_event, send};
use crate::Web;
use crate::visit::Visit;

/// Lines from before, at first and after a break.
const FIRST: u32 = 200;
const AFTER_A_BREAK: u32 = 1000;
const QUEUE: usize = 64;

#[derive(Deserialize)]
pub(crate) struct Wanted {
    ps: Option<String>,
    q: Option<String>,
    num: Option<u32>,
}

struct Tailing {
    output: Receiver<Output>,
    lines: Lines,
    /// Lower case.
    wanted: Option<String>,
    /// Lines up to this time were seen before.
    since: Option<String>,
    over: bool,
    _gone: DropGuard,
}

/// `line`: `TIME app[web.1]: TEXT` as JSON text, its id the time. `end`: why there is no more.
pub(crate) async fn stream(
    visit: Visit,
    State(web): State<Web>,
    Query(wanted): Query<Wanted>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let app = match visit.app() {
        Ok(app) => app.clone(),
        Err(response) => return response,
    };
    let since = last_id(&headers, &uri).map(str::to_owned);
    let before = wanted.num.unwrap_or(FIRST).min(AFTER_A_BREAK);
    let before = if since.is_some() {
        AFTER_A_BREAK
    } else {
        before
    };
    let mut argv = vec![
        "logs".to_owned(),
        "--tail".to_owned(),
        format!("--num={before}"),
    ];
    argv.extend(
        wanted
            .ps
            .filter(|ps| !ps.is_empty())
            .map(|ps| format!("--ps={ps}")),
    );
    argv.push(app.to_string());
    let gone = CancellationToken::new();
    let tailing = Tailing {
        output: follow(&web, &visit, argv, gone.clone()),
        lines: Lines::default(),
        wanted: wanted.q.filter(|q| !q.is_empty()).map(|q| q.to_lowercase()),
        since,
        over: false,
        _gone: gone.drop_guard(),
    };
    send(&web, &visit, Some(app), batches(tailing, Tailing::next))
}

/// Has the command run until `gone`.
fn follow(
    web: &Web,
    visit: &Visit,
    argv: Vec<String>,
    gone: CancellationToken,
) -> Receiver<Output> {
    let (stdout, stderr, output) = outlets(QUEUE, None);
    let request = Request {
        actor: visit.viewer.actor.clone(),
        argv,
        terminal: None,
        git_protocol: None,
        folder: None,
        variables: Default::default(),
    };
    let io = Io {
        stdin: Box::new(tokio::io::empty()),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        gone,
    };
    let control = web.control.clone();
    web.control
        .tasks
        .spawn(async move { control.run(request, io).await });
    output
}

impl Tailing {
    async fn next(mut self) -> Option<(Vec<Event>, Self)> {
        if self.over {
            return None;
        }
        let Some(output) = self.output.recv().await else {
            self.over = true;
            let rest = self.lines.rest().and_then(|(_, line)| self.shown(line));
            let events = rest
                .into_iter()
                .chain([event("end", &"The app's containers are gone")]);
            return Some((events.collect(), self));
        };
        let lines = self.lines.push(&output.bytes);
        let events = lines.into_iter().filter_map(|(_, line)| self.shown(line));
        Some((events.collect(), self))
    }

    /// A line that is wanted and new.
    fn shown(&self, line: String) -> Option<Event> {
        let time = line.split(' ').next().unwrap_or_default().to_owned();
        let seen = self
            .since
            .as_ref()
            .is_some_and(|since| is_time(&time) && time <= *since);
        let other = self
            .wanted
            .as_ref()
            .is_some_and(|wanted| !line.to_lowercase().contains(wanted));
        (!seen && !other).then(|| line_event((time, line)))
    }
}

/// `2026-11-22T10:00:00.123456789Z`, which sorts as text.
fn is_time(word: &str) -> bool {
    word.len() >= 20 && word.starts_with(|first: char| first.is_ascii_digit()) && word.contains('T')
}
