//! Requests that two servers might read in two ways, over raw sockets: what comes back, and what the app may have seen.
//!
//! Each case runs against two apps: one of ours that takes nothing but what is strictly right, and Python's
//! `http.server`, made to believe `Content-Length` before anything else, as careless servers do. After each case another
//! client asks for something of its own: had a part of the case been left on a connection to the app, that client would
//! get the wrong answer.

mod chunks;
mod flood;
mod frames;
mod framing;
mod headers;
mod http2;
mod lines;
mod paths;
mod sight;
mod targets;
mod upstream;
mod wording;

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt as _;

use self::sight::Seen;
use self::upstream::App;
use super::kit::{Site, Wire};
use crate::RouterSettings;

/// What stands behind a request that ends too early or too late for somebody.
const BEHIND: &str = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";

/// One thing to send, and what must come of it.
struct Case {
    name: &'static str,
    sent: Vec<u8>,
    replies: Replies,
    end: End,
    /// `POST /c`, one for each request that reaches the app whole.
    seen: Vec<&'static str>,
    /// Lines that the last of them has (`name: value`), and names that it lacks.
    has: Vec<&'static str>,
    lacks: Vec<&'static str>,
    body: Option<&'static str>,
}

enum Replies {
    Are(&'static [u16]),
    /// The request was under way when it broke: 400, or the end of the connection.
    NoneOr400,
}

#[derive(PartialEq)]
enum End {
    Open,
    Closed,
}

// ===== impl Case =====

impl Case {
    fn new(name: &'static str, sent: impl Into<Vec<u8>>) -> Self {
        Self {
            name,
            sent: sent.into(),
            replies: Replies::Are(&[200]),
            end: End::Open,
            seen: Vec::new(),
            has: Vec::new(),
            lacks: Vec::new(),
            body: None,
        }
    }

    /// Refused before anybody else sees it, and nothing behind it counts.
    fn refused(name: &'static str, sent: impl Into<Vec<u8>>) -> Self {
        Self::new(name, sent).gets(&[400]).closed()
    }

    /// Broken in the middle: the app never has the whole of it.
    fn cut(name: &'static str, sent: impl Into<Vec<u8>>) -> Self {
        Self {
            replies: Replies::NoneOr400,
            ..Self::new(name, sent).closed()
        }
    }

    /// Understood, and passed on in a form that has one meaning.
    fn passes(name: &'static str, sent: impl Into<Vec<u8>>, seen: &'static str) -> Self {
        Self::new(name, sent).sees(&[seen])
    }

    fn gets(mut self, replies: &'static [u16]) -> Self {
        self.replies = Replies::Are(replies);
        self
    }

    fn closed(mut self) -> Self {
        self.end = End::Closed;
        self
    }

    fn sees(mut self, seen: &[&'static str]) -> Self {
        self.seen = seen.to_vec();
        self
    }

    fn has(mut self, lines: &[&'static str]) -> Self {
        self.has = lines.to_vec();
        self
    }

    fn lacks(mut self, names: &[&'static str]) -> Self {
        self.lacks = names.to_vec();
        self
    }

    fn body(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }

    async fn run(&self, site: &Site) {
        let mut wire = site.connect().await;
        // The router may have hung up before it has read everything.
        tokio::io::AsyncWriteExt::write_all(&mut wire.stream, &self.sent)
            .await
            .ok();
        match self.replies {
            Replies::Are(statuses) => self.expect(&mut wire, statuses).await,
            Replies::NoneOr400 => {
                let rest = wire.raw_to_end().await;
                let rest = String::from_utf8_lossy(&rest);
                let is_right = rest.is_empty() || rest.starts_with("HTTP/1.1 400 ");
                assert!(is_right, "{}: {rest}", self.name);
                assert_eq!(rest.matches("HTTP/1.1 ").count(), rest.len().min(1));
            }
        }
    }

    async fn expect(&self, wire: &mut Wire, statuses: &[u16]) {
        let request = if self.sent.starts_with(b"HEAD") {
            "HEAD"
        } else {
            ""
        };
        for status in statuses {
            let reply = wire.hear_response(request).await;
            assert_eq!(reply.status(), *status, "{}: {reply}", self.name);
        }
        if self.end == End::Open {
            // Nothing is left over that would be in front of the next request.
            wire.say("GET /next HTTP/1.1\nHost: app.test\nConnection: close\n\n")
                .await;
            let next = wire.hear_response("").await;
            assert_eq!(next.body, "GET /next", "{}", self.name);
        }
        assert!(wire.is_over().await, "{}: more came", self.name);
    }

    fn judge(&self, seen: &[Seen]) {
        let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
        let mut expected = self.seen.clone();
        if self.end == End::Open && matches!(self.replies, Replies::Are(_)) {
            expected.push("GET /next");
        }
        assert_eq!(lines, expected, "{}: the app saw others", self.name);
        let Some(last) = self.seen.len().checked_sub(1).and_then(|n| seen.get(n)) else {
            return;
        };
        for line in &self.has {
            assert!(last.has(line), "{}: no {line} in {last:?}", self.name);
        }
        for name in &self.lacks {
            assert!(!last.names(name), "{}: {name} in {last:?}", self.name);
        }
        if let Some(body) = self.body {
            assert_eq!(last.body, body, "{}", self.name);
        }
    }
}

/// Runs all cases against one app, and names those that went wrong.
async fn run(cases: &[Case], mut app: App) {
    let site = Site::start(RouterSettings::default()).await;
    site.route(&[(1, app.address())]);
    let mut wrong = Vec::new();
    for case in cases {
        let ran = AssertUnwindSafe(case.run(&site)).catch_unwind().await;
        let seen = sight(&site, &mut app, case.name).await;
        let judged = catch_unwind(AssertUnwindSafe(|| case.judge(&seen)));
        if ran.is_err() || judged.is_err() {
            wrong.push(case.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    app.end().await;
}

/// What the app has seen up to now, as far as a client can tell that asks for something of its own.
async fn sight(site: &Site, app: &mut App, name: &str) -> Vec<Seen> {
    let reply = site.get("/innocent").await;
    assert_eq!(
        (reply.status(), reply.body.as_str()),
        (200, "GET /innocent"),
        "after {name}: another client's answer"
    );
    app.seen_until("GET /innocent").await
}

fn all() -> Vec<Case> {
    let mut all = framing::framing();
    all.extend(lines::lines());
    all.extend(targets::hosts());
    all.extend(targets::targets());
    all.extend(headers::passed_on());
    all.extend(chunks::cases());
    all
}

#[tokio::test]
async fn a_strict_app_gets_one_request_for_one() {
    run(&all(), App::strict().await).await;
}

#[tokio::test]
async fn a_careless_app_gets_one_request_for_one() {
    run(&all(), App::careless().await).await;
}

#[test]
fn there_are_enough_cases() {
    let (over_1, over_2) = (all(), http2::cases());
    assert!(over_1.len() >= 100 && over_2.len() >= 40);
    let mut names: Vec<_> = over_1.iter().map(|case| case.name).collect();
    names.extend(over_2.iter().map(|case| case.name));
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two cases have one name");
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
