//! What goes on while one looks: server-sent events. Each stream ends with the session, the right, or the daemon.

pub(crate) mod build;
pub(crate) mod deploys;
pub(crate) mod logs;
pub(crate) mod run;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::header::{HeaderMap, RETRY_AFTER};
use axum::http::{StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::{self, Stream};
use sarsen_control::{Action, WebPass};
use sarsen_domain::AppName;

use crate::Web;
use crate::visit::Visit;

/// Streams at once: of one session or token, and of all.
const OWN_AT_ONCE: usize = 8;
const AT_ONCE: usize = 128;
/// How often it is asked whether the viewer may still look.
const RECHECK: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Counts the streams that are open.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<HashMap<WebPass, usize>>);

/// One open stream.
#[derive(Debug)]
pub(crate) struct Seat {
    limits: Arc<Limits>,
    pass: WebPass,
}

impl Limits {
    /// A seat, unless there are too many already.
    fn take(self: &Arc<Self>, pass: WebPass) -> Option<Seat> {
        let mut seats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = seats.values().sum();
        let own = seats.entry(pass).or_default();
        if *own >= OWN_AT_ONCE || all >= AT_ONCE {
            return None;
        }
        *own += 1;
        drop(seats);
        Some(Seat {
            limits: Arc::clone(self),
            pass,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.limits.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = seats.get_mut(&self.pass) {
            *own -= 1;
        }
        seats.retain(|_, own| *own > 0);
    }
}

/// Sends events for as long as there are any and the viewer may look.
fn send<S>(web: &Web, visit: &Visit, app: Option<AppName>, events: S) -> Response
where
    S: Stream<Item = Event> + Send + 'static,
{
    let Some(seat) = web.streams.take(visit.viewer.web.pass) else {
        let text = "Too many pages of yours are open: close some, and try again\n";
        return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "30")], text).into_response();
    };
    let (control, viewer) = (web.control.clone(), visit.viewer.web.clone());
    let watch = async move {
        let action = if app.is_some() {
            Action::Read
        } else {
            Action::List
        };
        loop {
            tokio::select! {
                () = tokio::time::sleep(RECHECK) => {}
                () = control.shutdown.cancelled() => return,
            }
            if !control.still_may(&viewer, action, app.as_ref()).await {
                return;
            }
        }
    };
    let events = events.take_until(Box::pin(watch)).map(move |event| {
        // The seat is taken until the stream is dropped.
        let _ = &seat;
        Ok::<_, Infallible>(event)
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response()
}

/// The id of the last event that the browser has. A page that holds the beginning already says so with `?after=ID`.
fn last_id<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let known = headers.get("last-event-id");
    let fields = uri.query().unwrap_or_default().split('&');
    let asked = || {
        fields
            .filter_map(|field| field.strip_prefix("after="))
            .next()
    };
    known.and_then(|value| value.to_str().ok()).or_else(asked)
}

/// An event with a value as JSON.
fn event(name: &str, value: &impl serde::Serialize) -> Event {
    let text = serde_json::to_string(value).unwrap_or_default();
    Event::default().event(name).data(text)
}

/// Bytes that come in pieces as whole lines, each with the number of bytes up to its end.
#[derive(Debug, Default)]
struct Lines {
    position: u64,
    pending: Vec<u8>,
}

impl Lines {
    fn at(position: u64) -> Self {
        Self {
            position,
            pending: Vec::new(),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Vec<(u64, String)> {
        self.pending.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            self.position += line.len() as u64;
            lines.push((self.position, text(&line)));
        }
        lines
    }

    /// What is left without an end.
    fn rest(&mut self) -> Option<(u64, String)> {
        if self.pending.is_empty() {
            return None;
        }
        let line = std::mem::take(&mut self.pending);
        self.position += line.len() as u64;
        Some((self.position, text(&line)))
    }
}

fn text(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end_matches(['\n', '\r']).to_owned()
}

fn line_event((id, line): (impl ToString, String)) -> Event {
    event("line", &line).id(id.to_string())
}

/// Events that a function makes one batch after the other, until it makes none.
fn batches<T, F, Fut>(state: T, next: F) -> impl Stream<Item = Event> + Send
where
    T: Send + 'static,
    F: FnMut(T) -> Fut + Send + 'static,
    Fut: Future<Output = Option<(Vec<Event>, T)>> + Send + 'static,
{
    stream::unfold(state, next).flat_map(stream::iter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_and_know_their_place() {
        let mut lines = Lines::at(10);
        assert_eq!(lines.push(b"on"), []);
        let expected = [(14, "one".to_owned()), (19, "two".to_owned())];
        assert_eq!(lines.push(b"e\ntwo\r\nth"), expected);
        assert_eq!(lines.rest(), Some((21, "th".to_owned())));
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn seats_are_few_and_come_back() {
        let limits = Arc::new(Limits::default());
        let (own, other) = (WebPass::Session(1), WebPass::Token(1));
        let mut seats: Vec<_> = (0..OWN_AT_ONCE)
            .map(|_| limits.take(own).unwrap())
            .collect();
        assert!(limits.take(own).is_none() && limits.take(other).is_some());
        seats.pop();
        assert!(limits.take(own).is_some());
        let mut all: Vec<_> = (0..)
            .map_while(|id| limits.take(WebPass::Token(100 + id)))
            .collect();
        assert!(limits.take(other).is_none());
        all.clear();
        assert!(limits.take(other).is_some());
    }
}
