//! Clients and apps that take too long.

use std::time::Duration;

use super::kit::{Backend, Site};
use crate::RouterSettings;

const SHORT: Duration = Duration::from_millis(150);

async fn site(settings: RouterSettings, backend: &Backend) -> Site {
    let site = Site::start(settings).await;
    site.route(&[(1, backend.address)]);
    site
}

#[tokio::test]
async fn a_slow_head_is_cut() {
    let backend = Backend::echoing().await;
    let settings = RouterSettings {
        head_timeout: SHORT,
        ..RouterSettings::default()
    };
    let site = site(settings, &backend).await;
    let mut wire = site.connect().await;
    let request = "GET / HTTP/1.1\nHost: app.test\n\n";
    for _ in 0..2 {
        wire.say(request).await;
        assert_eq!(wire.hear_response(request).await.status(), 200);
    }
    // Waiting between requests is fine; dripping is not, however steadily it drips.
    tokio::time::sleep(SHORT * 2).await;
    wire.say("GET / HTTP/1.1\n").await;
    for _ in 0..2 {
        tokio::time::sleep(SHORT / 3).await;
        wire.say("A: b\n").await;
    }
    let reply = wire.hear_response("").await;
    assert_eq!((reply.status(), reply.code()), (408, "H28"));
    assert!(wire.is_over().await);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let backend = Backend::echoing().await;
    let settings = RouterSettings {
        keep_alive_timeout: SHORT,
        ..RouterSettings::default()
    };
    let site = site(settings, &backend).await;
    let mut fresh = site.connect().await;
    let mut used = site.connect().await;
    used.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    assert_eq!(used.hear_response("").await.status(), 200);
    assert!(used.is_over().await);
    assert!(fresh.is_over().await);
}

#[tokio::test]
async fn an_app_that_does_not_answer_is_given_up() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await;
        wire.hear().await;
    })
    .await;
    let settings = RouterSettings {
        first_byte_timeout: SHORT,
        ..RouterSettings::default()
    };
    let site = site(settings, &backend).await;
    let reply = site.get("/").await;
    assert_eq!((reply.status(), reply.code()), (504, "H12"));
    site.in_flight_becomes(1, 0).await;
}

#[tokio::test]
async fn an_app_that_pauses_for_too_long_is_cut_and_one_that_drips_is_not() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await;
        wire.say("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n")
            .await;
        for _ in 0..6 {
            tokio::time::sleep(SHORT / 3).await;
            wire.say("1\nx\n").await;
        }
        wire.hear().await;
    })
    .await;
    let settings = RouterSettings {
        idle_timeout: SHORT,
        ..RouterSettings::default()
    };
    let site = site(settings, &backend).await;
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    wire.hear_head().await;
    assert_eq!(wire.hear_bytes(usize::MAX).await, "1\r\nx\r\n".repeat(6));
    assert_eq!(site.router.stats().apps[0].errors, 1);
}

#[tokio::test]
async fn an_upload_that_stalls_is_cut() {
    let backend = Backend::echoing().await;
    let settings = RouterSettings {
        idle_timeout: SHORT,
        ..RouterSettings::default()
    };
    let site = site(settings, &backend).await;
    let mut wire = site.connect().await;
    wire.say("POST / HTTP/1.1\nHost: app.test\nContent-Length: 10\n\n")
        .await;
    for _ in 0..6 {
        tokio::time::sleep(SHORT / 3).await;
        wire.say("x").await;
    }
    let reply = wire.hear_response("").await;
    assert_eq!((reply.status(), reply.code()), (408, "H28"));
    assert!(wire.is_over().await);
}

#[tokio::test]
async fn a_client_that_takes_its_time_reading_does_not_count_as_a_slow_app() {
    const PIECE: usize = 4 * 1024 * 1024;
    const PIECES: usize = 12;
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await;
        wire.answer(&"x".repeat(PIECE * PIECES)).await;
        wire.hear().await;
    })
    .await;
    let settings = RouterSettings {
        idle_timeout: SHORT * 4,
        ..RouterSettings::default()
    };
    let site = site(settings, &backend).await;
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    wire.hear_head().await;
    for _ in 0..PIECES {
        tokio::time::sleep(SHORT / 2).await;
        assert_eq!(wire.hear_bytes(PIECE).await.len(), PIECE);
    }
    site.in_flight_becomes(1, 0).await;
    assert_eq!(site.router.stats().apps[0].errors, 0);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await;
        wire.say("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n")
            .await;
        let piece = format!("ffff\n{}\n", "x".repeat(0xffff));
        // Fails when the router hangs up.
        while tokio::io::AsyncWriteExt::write_all(
            &mut wire.stream,
            piece.replace('\n', "\r\n").as_bytes(),
        )
        .await
        .is_ok()
        {}
    })
    .await;
    let settings = RouterSettings {
        idle_timeout: SHORT,
        ..RouterSettings::default()
    };
    let site = site(settings, &backend).await;
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    site.in_flight_becomes(1, 1).await;
    site.in_flight_becomes(1, 0).await;
    assert_eq!(site.router.stats().apps[0].errors, 1);
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let backend = Backend::echoing().await;
    let settings = RouterSettings {
        max_connections: 1,
        ..RouterSettings::default()
    };
    let site = site(settings, &backend).await;
    let mut first = site.connect().await;
    first.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    assert_eq!(first.hear_response("").await.status(), 200);
    let mut second = site.connect().await;
    second.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    let waiting = tokio::time::timeout(SHORT, second.stream.readable()).await;
    assert!(waiting.is_err());
    drop(first);
    assert_eq!(second.hear_response("").await.status(), 200);
}
