//! Bodies pass as they come, and no faster than they are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::kit::{Backend, Site, eventually};

#[tokio::test]
async fn the_first_byte_of_a_response_arrives_before_the_last_is_sent() {
    let goes_on = Arc::new(Notify::new());
    let waits = Arc::clone(&goes_on);
    let backend = Backend::start(move |mut wire, _| {
        let waits = Arc::clone(&waits);
        async move {
            wire.hear().await;
            wire.say("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-End\n\n5\nfirst\n")
                .await;
            waits.notified().await;
            wire.say("4\nlast\n0\nX-End: yes\n\n").await;
            wire.hear().await;
        }
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\nTE: trailers\n\n")
        .await;
    assert_eq!(wire.hear_head().await.unwrap().status(), 200);
    assert_eq!(
        wire.hear_until("first\r\n").await.unwrap(),
        "5\r\nfirst\r\n"
    );
    assert_eq!(site.router.in_flight(1), 1);
    goes_on.notify_one();
    assert_eq!(
        wire.hear_until("\r\n\r\n").await.unwrap(),
        "4\r\nlast\r\n0\r\nx-end: yes\r\n\r\n"
    );
    site.in_flight_becomes(1, 0).await;
}

#[tokio::test]
async fn the_first_byte_of_a_request_arrives_before_the_last_is_sent() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear_head().await;
        assert_eq!(wire.hear_bytes(5).await, "first");
        wire.say("HTTP/1.1 200 OK\nContent-Length: 9\n\nfirst")
            .await;
        let rest = wire.hear_bytes(4).await;
        wire.say(&rest).await;
        wire.hear().await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    wire.say("POST / HTTP/1.1\nHost: app.test\nContent-Length: 9\n\nfirst")
        .await;
    assert_eq!(wire.hear_head().await.unwrap().status(), 200);
    assert_eq!(wire.hear_bytes(5).await, "first");
    wire.say("last").await;
    assert_eq!(wire.hear_bytes(4).await, "last");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_upstream_back() {
    const PIECE: usize = 64 * 1024;
    const PIECES: usize = 1000;
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let backend = Backend::start(move |mut wire, _| {
        let count = Arc::clone(&count);
        async move {
            wire.hear().await;
            wire.say(&format!(
                "HTTP/1.1 200 OK\nContent-Length: {}\n\n",
                PIECE * PIECES
            ))
            .await;
            let piece = vec![b'x'; PIECE];
            for _ in 0..PIECES {
                wire.stream.write_all(&piece).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
            wire.hear().await;
        }
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    wire.hear_head().await;
    // Standing still means: as much as the kernel's buffers hold, and far from everything.
    let mut before = usize::MAX;
    while sent.load(Ordering::SeqCst) != before {
        before = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before < PIECES / 2, "{before} pieces were sent to nobody");
    assert_eq!(wire.hear_bytes(PIECE * PIECES).await.len(), PIECE * PIECES);
    eventually(|| sent.load(Ordering::SeqCst) == PIECES).await;
    site.in_flight_becomes(1, 0).await;
    assert_eq!(site.router.stats().apps[0].bytes, (PIECE * PIECES) as u64);
}

#[tokio::test]
async fn large_bodies_arrive_whole_both_ways() {
    let backend = Backend::start(|mut wire, _| async move {
        while let Some(message) = wire.hear().await {
            wire.answer(&message.body).await;
        }
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let body: String = (0..200_000)
        .map(|n| char::from(b'a' + u8::try_from(n % 26).unwrap()))
        .collect();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut wire = site.connect().await;
    for _ in 0..3 {
        wire.send(head.as_bytes()).await;
        wire.send(body.as_bytes()).await;
        assert!(wire.hear_response("").await.body == body);
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_response_without_a_length_ends_with_its_connection() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await;
        wire.say("HTTP/1.0 200 OK\nContent-Type: text/plain\n\nall of it")
            .await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    for _ in 0..2 {
        let reply = site.get("/").await;
        assert_eq!((reply.status(), reply.body.as_str()), (200, "all of it"));
    }
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_sent_is_not_lost() {
    let backend = Backend::start(|mut wire, _| async move {
        let request = wire.hear_head().await.unwrap();
        wire.answer(&request.start).await;
        // Not a byte of the body is read, and the connection stays open.
        std::future::pending::<()>().await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    for host in ["app.test", "other.test"] {
        let mut wire = site.connect().await;
        wire.say(&format!(
            "PUT / HTTP/1.1\nHost: {host}\nContent-Length: 33554432\n\n"
        ))
        .await;
        let (mut reader, mut writer) = wire.stream.into_split();
        let sending = tokio_util::task::TaskTracker::new().spawn(async move {
            let piece = vec![b'x'; 64 * 1024];
            let mut sent = 0;
            while sent < 4 << 20 && writer.write_all(&piece).await.is_ok() {
                sent += piece.len();
                tokio::task::yield_now().await;
            }
            sent
        });
        let mut answer = Vec::new();
        reader.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let status = if host == "app.test" { "200" } else { "404" };
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert_eq!(sending.await.unwrap(), 4 << 20, "{host}");
    }
    site.in_flight_becomes(1, 0).await;
    let reply = site.get("/again").await;
    assert_eq!(reply.body, "GET /again HTTP/1.1");
}
