//! When the app is not there, or breaks off.

use super::kit::{Backend, Site};
use crate::{AppState, RouterSettings};

#[tokio::test]
async fn an_app_without_containers_says_why() {
    let site = Site::start(RouterSettings::default()).await;
    let reply = site.get("/").await;
    assert_eq!((reply.status(), reply.code()), (404, "unknown-host"));
    for (state, code) in [
        (AppState::NoWeb, "H14"),
        (AppState::Serving, "H14"),
        (AppState::Crashed, "H10"),
        (AppState::NeverDeployed, "H81"),
    ] {
        site.route_as(state, &[]);
        let reply = site.get("/").await;
        assert_eq!((reply.status(), reply.code()), (503, code));
        assert_eq!(
            reply.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        let reply = site
            .ask("GET / HTTP/1.1\nHost: app.test\nAccept: text/html\n\n")
            .await;
        assert!(reply.body.starts_with("<!doctype html>") && reply.body.contains(code));
    }
    assert_eq!(site.router.stats().apps[0].errors, 8);
}

#[tokio::test]
async fn nobody_listens() {
    let backend = Backend::saying("x").await;
    let site = Site::in_front_of(&backend).await;
    site.route(&[(1, backend.neighbour(9))]);
    let mut wire = site.connect().await;
    for _ in 0..2 {
        wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
        let reply = wire.hear_response("").await;
        assert_eq!((reply.status(), reply.code()), (502, "H21"));
    }
    site.in_flight_becomes(1, 0).await;
}

#[tokio::test]
async fn the_app_hangs_up_or_talks_nonsense_instead_of_answering() {
    for (answer, code) in [
        ("", "H13"),
        ("HTTP/1.1 200 OK\nContent-Le", "H13"),
        ("SSH-2.0-OpenSSH_9\n", "H17"),
        ("HTTP/1.1 2x0 OK\n\n", "H17"),
    ] {
        let backend = Backend::start(move |mut wire, _| async move {
            wire.hear().await;
            wire.say(answer).await;
        })
        .await;
        let site = Site::in_front_of(&backend).await;
        let reply = site.get("/").await;
        assert_eq!((reply.status(), reply.code()), (502, code), "{answer:?}");
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_breaks_off_for_the_client_too() {
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let backend = Backend::start(move |mut wire, _| async move {
            wire.hear().await;
            wire.say(&format!("HTTP/1.1 200 OK\n{head}\n\n4\nabcd\n"))
                .await;
        })
        .await;
        let site = Site::in_front_of(&backend).await;
        let mut wire = site.connect().await;
        wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
        assert_eq!(wire.hear_head().await.unwrap().status(), 200);
        let rest = wire.hear_bytes(usize::MAX).await;
        assert!(
            rest.contains("abcd") && !rest.contains("0\r\n\r\n"),
            "{rest:?}"
        );
        site.in_flight_becomes(1, 0).await;
        let stats = &site.router.stats().apps[0];
        assert_eq!((stats.by_class[1], stats.errors), (1, 1));
    }
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let (left, mut sees_it) = tokio::sync::mpsc::channel(1);
    let backend = Backend::start(move |mut wire, _| {
        let left = left.clone();
        async move {
            wire.hear().await;
            left.send(wire.hear().await.is_none()).await.unwrap();
        }
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    site.in_flight_becomes(1, 1).await;
    drop(wire);
    assert!(sees_it.recv().await.unwrap());
    site.in_flight_becomes(1, 0).await;
    let stats = &site.router.stats().apps[0];
    assert_eq!((stats.by_class[3], stats.errors), (1, 1));
}

#[tokio::test]
async fn an_early_answer_reaches_the_client_in_the_middle_of_its_upload() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear_head().await;
        wire.say("HTTP/1.1 413 Too Large\nContent-Length: 3\nConnection: close\n\nbig")
            .await;
        wire.hear().await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    wire.say("POST / HTTP/1.1\nHost: app.test\nContent-Length: 100000\n\nsome of it")
        .await;
    let reply = wire.hear_response("").await;
    assert_eq!((reply.status(), reply.body.as_str()), (413, "big"));
}

#[tokio::test]
async fn who_was_answered_early_may_ask_again_on_the_same_connection() {
    let backend = Backend::start(|mut wire, _| async move {
        while let Some(head) = wire.hear_head().await {
            wire.answer(&head.start).await;
            if head.start.starts_with("POST") {
                break;
            }
        }
        std::future::pending::<()>().await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    let chunk = format!("4000\n{}\n", "x".repeat(0x4000));
    for (length, body) in [
        ("Content-Length: 1000000", "x".repeat(1_000_000)),
        (
            "Transfer-Encoding: chunked",
            format!("{}0\n\n", chunk.repeat(60)),
        ),
        // What nobody reads is no request either.
        (
            "Content-Length: 39",
            "GET /other HTTP/1.1\nHost: app.test\n\n".to_owned(),
        ),
    ] {
        wire.say(&format!(
            "POST /early HTTP/1.1\nHost: app.test\n{length}\n\n"
        ))
        .await;
        let answer = wire.hear_response("POST").await;
        assert_eq!(answer.body, "POST /early HTTP/1.1");
        assert_eq!(answer.header("connection"), None, "{length}");
        wire.say(&body).await;
        wire.say("GET /next HTTP/1.1\nHost: app.test\n\n").await;
        let answer = wire.hear_response("GET").await;
        assert_eq!(answer.body, "GET /next HTTP/1.1", "{length}");
    }
}
