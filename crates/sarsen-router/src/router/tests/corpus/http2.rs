//! HTTP/2 on its way to an app of HTTP/1.1: what has a meaning there that it has not here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt as _;
use tokio::io::AsyncWriteExt;

use super::frames::{Answer, DATA, END_HEADERS, END_STREAM, HEADERS, Wire2, block, frame};
use super::sight::Seen;
use super::upstream::App;
use super::{BEHIND, sight};
use crate::RouterSettings;
use crate::router::tests::kit::Site;

/// A request, and what must come of it.
pub(super) struct Case {
    pub(super) name: &'static str,
    head: Vec<(Vec<u8>, Vec<u8>)>,
    body: Option<&'static str>,
    trailers: Option<(&'static str, &'static str)>,
    /// `GET /c`, if the app is to see it.
    seen: Option<&'static str>,
    has: &'static [&'static str],
    lacks: &'static [&'static str],
}

impl Case {
    fn new(name: &'static str) -> Self {
        let usual = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "app.test"),
            (":path", "/c"),
        ];
        let bytes = |(name, value): (&str, &str)| (name.into(), value.into());
        Self {
            name,
            head: usual.into_iter().map(bytes).collect(),
            body: None,
            trailers: None,
            seen: None,
            has: &[],
            lacks: &[],
        }
    }

    /// A header more.
    fn with(mut self, name: &str, value: &str) -> Self {
        self.head.push((name.into(), value.into()));
        self
    }

    /// Another value for a header that is there.
    fn set(mut self, name: &str, value: &str) -> Self {
        let own = self.head.iter_mut().find(|(n, _)| n == name.as_bytes());
        own.unwrap().1 = value.into();
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.head.retain(|(n, _)| n != name.as_bytes());
        self
    }

    fn post(self, body: &'static str) -> Self {
        Self {
            body: Some(body),
            ..self.set(":method", "POST")
        }
    }

    fn trailer(self, name: &'static str, value: &'static str) -> Self {
        Self {
            trailers: Some((name, value)),
            ..self
        }
    }

    fn seen(self, seen: &'static str) -> Self {
        Self {
            seen: Some(seen),
            ..self
        }
    }

    fn has(self, has: &'static [&'static str]) -> Self {
        Self { has, ..self }
    }

    fn lacks(self, lacks: &'static [&'static str]) -> Self {
        Self { lacks, ..self }
    }

    fn frames(&self) -> Vec<u8> {
        let end = |is_last| if is_last { END_STREAM } else { 0 };
        let is_last = self.body.is_none() && self.trailers.is_none();
        let mut all = frame(HEADERS, END_HEADERS | end(is_last), 1, &block(&self.head));
        if let Some(body) = self.body {
            let flags = end(self.trailers.is_none());
            all.extend(frame(DATA, flags, 1, body.as_bytes()));
        }
        if let Some((name, value)) = self.trailers {
            let trailers = block(&[(name.into(), value.into())]);
            all.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers));
        }
        all
    }

    async fn run(&self, site: &Site) {
        let mut wire = Wire2::connect(site).await;
        wire.stream.write_all(&self.frames()).await.unwrap();
        let answer = wire.answer().await;
        match self.seen {
            Some(seen) => assert_eq!(answer, Answer::Ok(seen.to_owned()), "{}", self.name),
            None => assert!(
                !matches!(answer, Answer::Ok(_)),
                "{}: {answer:?}",
                self.name
            ),
        }
    }

    fn judge(&self, seen: &[Seen]) {
        let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
        assert_eq!(lines, Vec::from_iter(self.seen), "{}", self.name);
        let Some(seen) = seen.first() else {
            return;
        };
        for line in self.has {
            assert!(seen.has(line), "{}: no {line} in {seen:?}", self.name);
        }
        for name in self.lacks {
            assert!(!seen.names(name), "{}: {name} in {seen:?}", self.name);
        }
        assert_eq!(seen.body, self.body.unwrap_or_default(), "{}", self.name);
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = malformed();
    all.extend(lengths());
    all.extend(passed_on());
    all
}

fn malformed() -> Vec<Case> {
    let with = |case: &'static str, name: &str, value: &str| Case::new(case).with(name, value);
    let without = |case: &'static str, name: &str| Case::new(case).without(name);
    let mut all = vec![
        with(
            "2: a name with line ends",
            "x: a\r\ntransfer-encoding",
            "chunked",
        ),
        with("2: a name with a colon", "x:y", "a"),
        with("2: a name with a space", "x y", "a"),
        with("2: a name in capitals", "X-Upper", "a"),
        with("2: no name", "", "a"),
        with(
            "2: a value with line ends",
            "x",
            "a\r\ntransfer-encoding: chunked",
        ),
        with("2: a value with a line feed", "x", "a\nb"),
        with("2: a value with a carriage return", "x", "a\rb"),
        with("2: a value with NUL", "x", "a\0b"),
        with("2: a pseudo-header that is unknown", ":x", "a"),
        with("2: a status in a request", ":status", "200"),
        with("2: two paths", ":path", "/d"),
        with("2: two methods", ":method", "GET"),
        with("2: two authorities", ":authority", "app.test"),
        without("2: a path behind a header", ":path")
            .with("x", "a")
            .with(":path", "/c"),
    ];
    all.extend(targets());
    all.extend(for_one_connection());
    all
}

fn targets() -> Vec<Case> {
    let set = |case: &'static str, name: &str, value: &str| Case::new(case).set(name, value);
    let without = |case: &'static str, name: &str| Case::new(case).without(name);
    let path = format!("/c HTTP/1.1\r\nHost: app.test\r\n\r\n{BEHIND}");
    vec![
        set("2: no path at all", ":path", ""),
        set("2: a path with a space", ":path", "/c d"),
        set("2: a path with a request", ":path", &path),
        set("2: a path without slash", ":path", "c"),
        set("2: a path that is a URL", ":path", "http://app.test/c"),
        set("2: GET *", ":path", "*"),
        set(
            "2: a method with a request",
            ":method",
            "GET /smuggled HTTP/1.1\r\nx: ",
        ),
        set(
            "2: an authority with line ends",
            ":authority",
            "app.test\r\nx: a",
        ),
        set("2: an authority with a user", ":authority", "u@app.test"),
        set("2: an authority with a path", ":authority", "app.test/x"),
        set("2: an empty authority", ":authority", ""),
        set("2: CONNECT", ":method", "CONNECT")
            .without(":path")
            .without(":scheme"),
        set("2: a tunnel of a strange kind", ":method", "CONNECT").with(":protocol", "h2c"),
        without("2: no method", ":method"),
        without("2: no scheme", ":scheme"),
        without("2: no path", ":path"),
        without("2: neither authority nor host", ":authority"),
    ]
}

fn for_one_connection() -> Vec<Case> {
    let with = |case: &'static str, name: &str, value: &str| Case::new(case).with(name, value);
    vec![
        with("2: another host than the authority", "host", "other.test"),
        with("2: two hosts", "host", "app.test").with("host", "app.test"),
        with("2: connection", "connection", "x-forwarded-for"),
        with("2: chunks", "transfer-encoding", "chunked").set(":method", "POST"),
        with("2: keep-alive", "keep-alive", "5"),
        with("2: proxy-connection", "proxy-connection", "close"),
        with("2: an upgrade", "upgrade", "websocket"),
        with("2: other codings than trailers", "te", "gzip"),
        Case::new("2: a pseudo-header for a trailer")
            .post("ab")
            .trailer(":path", "/d")
            .seen("POST /c")
            .lacks(&[":path"]),
        Case::new("2: a trailer with line ends")
            .post("ab")
            .trailer("x", "a\r\nb: c"),
        Case::new("2: chunks for a trailer")
            .post("ab")
            .trailer("transfer-encoding", "chunked"),
    ]
}

fn lengths() -> Vec<Case> {
    let length = |name: &'static str, body: &'static str, length: &str| {
        Case::new(name).post(body).with("content-length", length)
    };
    vec![
        length("2: a body shorter than its length", "ab", "5"),
        length("2: a body longer than its length", BEHIND, "2"),
        Case::new("2: a length without body").with("content-length", "40"),
        length("2: a negative length", "ab", "-2"),
        length("2: a length with a plus", "ab", "+2"),
        length("2: two lengths in one line", "ab", "2, 2"),
        length("2: two lengths", "ab", "2").with("content-length", "3"),
        length("2: one length twice", "ab", "2")
            .with("content-length", "2")
            .seen("POST /c")
            .has(&["content-length: 2"]),
        length("2: a length", "ab", "2")
            .seen("POST /c")
            .has(&["content-length: 2"]),
        Case::new("2: no length")
            .post("ab")
            .seen("POST /c")
            .has(&["transfer-encoding: chunked"]),
        Case::new("2: a request in a body")
            .post(BEHIND)
            .seen("POST /c"),
        Case::new("2: a body of a GET")
            .post(BEHIND)
            .set(":method", "GET")
            .seen("GET /c"),
        Case::new("2: an empty body").post("").seen("POST /c"),
    ]
}

fn passed_on() -> Vec<Case> {
    let with = |case: &'static str, name: &str, value: &str| {
        Case::new(case).with(name, value).seen("GET /c")
    };
    let trailer = |case: &'static str, name: &'static str| {
        Case::new(case)
            .post("ab")
            .with("trailer", name)
            .trailer(name, "1")
            .seen("POST /c")
    };
    vec![
        Case::new("2: nothing strange")
            .seen("GET /c")
            .has(&["host: app.test"]),
        with("2: a host that is the authority", "host", "APP.test:80").has(&["host: app.test"]),
        with("2: a host in place of the authority", "host", "app.test")
            .without(":authority")
            .has(&["host: app.test"]),
        with("2: trailers are welcome", "te", "trailers").has(&["te: trailers"]),
        with("2: cookies in crumbs", "cookie", "a=1")
            .with("cookie", "b=2")
            .has(&["cookie: a=1; b=2"]),
        with("2: a spoofed client", "x-forwarded-for", "6.6.6.6")
            .with("x-real-ip", "6.6.6.6")
            .with("forwarded", "for=6.6.6.6")
            .has(&["x-forwarded-for: 127.0.0.1"])
            .lacks(&["x-real-ip", "forwarded"]),
        with(
            "2: a spoofed client with underscores",
            "x_forwarded_for",
            "6.6.6.6",
        )
        .lacks(&["x_forwarded_for"]),
        with("2: a proxy for the app", "proxy", "http://evil.test").lacks(&["proxy"]),
        with("2: a promise to wait", "expect", "100-continue").lacks(&["expect"]),
        with("2: settings in a header", "http2-settings", "AAMAAABk").lacks(&["http2-settings"]),
        with("2: an empty value", "x", ""),
        Case::new("2: a query and no path")
            .set(":path", "?x")
            .seen("GET /?x"),
        Case::new("2: OPTIONS *")
            .set(":method", "OPTIONS")
            .set(":path", "*")
            .seen("OPTIONS *"),
        trailer("2: a trailer", "x-sum"),
        trailer("2: a length for a trailer", "content-length").lacks(&["content-length"]),
        trailer("2: a client for a trailer", "x-real-ip").lacks(&["x-real-ip"]),
        trailer("2: an underscore in a trailer", "x_sum").lacks(&["x_sum"]),
    ]
}

async fn run(mut app: App) {
    let site = Site::start(RouterSettings::default()).await;
    site.route(&[(1, app.address())]);
    let mut wrong = Vec::new();
    for case in &cases() {
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

#[tokio::test]
async fn a_strict_app_gets_nothing_that_http2_hid() {
    run(App::strict().await).await;
}

#[tokio::test]
async fn a_careless_app_gets_nothing_that_http2_hid() {
    run(App::careless().await).await;
}
