//! Requests that mean one thing to one server and another thing to the next.

use super::kit::{Backend, Site, eventually};
use crate::RouterSettings;

#[tokio::test]
async fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let post = "POST / HTTP/1.1\r\nHost: app.test\r\n";
    for request in [
        format!("{post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        format!("{post}Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde"),
        format!("{post}Content-Length: 5, 6\r\n\r\nabcde"),
        format!("{post}Content-Length: +5\r\n\r\nabcde"),
        format!("{post}Content-Length: -5\r\n\r\nabcde"),
        format!("{post}Content-Length : 5\r\n\r\nabcde"),
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: identity\r\n\r\n"),
        format!("{post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        "POST / HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            .to_owned(),
        format!("{post}X: a\r\n b\r\n\r\n"),
        format!("{post}X: a\rb\r\n\r\n"),
        format!("{post}X: a\0b\r\n\r\n"),
        format!("{post}: empty\r\n\r\n"),
        format!("{post}Host: other.test\r\n\r\n"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: app.test/x\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost:\r\n\r\n".to_owned(),
        "GET http://u@app.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n".to_owned(),
        "GET / HTTP/1.1 x\r\nHost: app.test\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nHost: app.test\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}".to_owned() + "GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut wire = site.connect().await;
        wire.send(request.as_bytes()).await;
        let reply = wire.hear_response("").await;
        assert_eq!(reply.status(), 400, "{request:?} {reply}");
        assert!(wire.is_over().await, "{request:?}");
    }
    assert_eq!(backend.connections(), 0);
    // They are counted when their connections have ended.
    eventually(|| site.router.stats().bad_requests == 25).await;
}

#[tokio::test]
async fn connect_is_refused() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    wire.say("CONNECT app.test:80 HTTP/1.1\nHost: app.test\n\n")
        .await;
    let reply = wire.hear_response("").await;
    assert_eq!((reply.status(), reply.code()), (405, "H25"));
    assert!(wire.is_over().await);
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn bare_line_feeds_do_not_reach_the_app() {
    let backend = Backend::start(|mut wire, _| async move {
        let head = wire.hear_until("\r\n\r\n").await.unwrap();
        assert!(!head.replace("\r\n", "").contains('\n'), "{head:?}");
        assert!(head.contains("\r\nx: 1\r\n"), "{head:?}");
        wire.answer("clean").await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    wire.send(b"GET / HTTP/1.1\nHost: app.test\nX: 1\n\n").await;
    assert_eq!(wire.hear_response("").await.body, "clean");
}

#[tokio::test]
async fn bad_chunks_end_the_connection_and_nothing_behind_them_is_a_request() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    for body in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "-1\r\na\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n",
        "3;a=\n1\r\nabc\r\n0\r\n\r\n",
    ] {
        let mut wire = site.connect().await;
        let head = "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n";
        let behind = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
        wire.send(format!("{head}{body}{behind}").as_bytes()).await;
        let rest = wire.hear_bytes(usize::MAX).await;
        assert!(
            rest.is_empty() || rest.starts_with("HTTP/1.1 400 "),
            "{body:?} {rest}"
        );
        assert!(!rest.contains("smuggled"), "{body:?} {rest}");
    }
}

#[tokio::test]
async fn chunks_are_framed_anew_and_trailers_pass() {
    let backend = Backend::start(|mut wire, _| async move {
        let head = wire.hear_head().await.unwrap();
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        assert_eq!(head.header("content-length"), None);
        let body = wire.hear_until("\r\n\r\n").await.unwrap();
        assert!(
            body.starts_with("5\r\nabcde\r\n0\r\nx-sum: 9\r\n\r\n"),
            "{body:?}"
        );
        wire.answer("ok").await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let reply = site
        .ask(
            "POST / HTTP/1.1\nHost: app.test\nTransfer-Encoding: Chunked\nTrailer: X-Sum\n\n\
             5;ext=\"1\"\nabcde\n0\nX-Sum: 9\n\n",
        )
        .await;
    assert_eq!(reply.body, "ok");
}

#[tokio::test]
async fn heads_have_a_limit() {
    let backend = Backend::echoing().await;
    let site = Site::start(RouterSettings {
        max_head_bytes: 4096,
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let request = |bytes: usize| {
        format!(
            "GET / HTTP/1.1\nHost: app.test\nX: {}\n\n",
            "x".repeat(bytes)
        )
    };
    assert_eq!(site.ask(&request(3000)).await.status(), 200);
    assert_eq!(site.ask(&request(5000)).await.status(), 431);
    let many = "A: b\n".repeat(150);
    assert_eq!(
        site.ask(&format!("GET / HTTP/1.1\nHost: app.test\n{many}\n"))
            .await
            .status(),
        431
    );
    let long = "x".repeat(70_000);
    let status = site
        .ask(&format!("GET /{long} HTTP/1.1\nHost: app.test\n\n"))
        .await
        .status();
    assert!(matches!(status, 414 | 431), "{status}");
}
