//! Websockets and whatever else a connection may change to.

use std::time::Duration;

use super::kit::{Backend, Site, Wire};
use crate::RouterSettings;

const UPGRADE: &str = "GET /chat HTTP/1.1\nHost: app.test\nConnection: keep-alive, Upgrade\nUpgrade: websocket\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\nSec-WebSocket-Version: 13\n\n";

/// Speaks first, right behind its 101, and then echoes lines until `bye`.
async fn chatty() -> Backend {
    Backend::start(|mut wire, _| async move {
        let request = wire.hear().await.unwrap();
        assert_eq!(request.header("connection"), Some("upgrade"));
        assert_eq!(request.header("upgrade"), Some("websocket"));
        assert_eq!(request.header("sec-websocket-version"), Some("13"));
        wire.say("HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: x\n\nhello\n")
            .await;
        while let Some(line) = wire.hear_until("\r\n").await {
            wire.say(&format!("> {line}").replace('\r', "")).await;
            if line == "bye\r\n" {
                return;
            }
        }
    })
    .await
}

async fn upgraded(site: &Site) -> Wire {
    let mut wire = site.connect().await;
    wire.say(UPGRADE).await;
    let reply = wire.hear_head().await.unwrap();
    assert_eq!(reply.status(), 101);
    assert_eq!(reply.header("upgrade"), Some("websocket"));
    assert_eq!(reply.header("connection"), Some("upgrade"));
    assert_eq!(reply.header("sec-websocket-accept"), Some("x"));
    assert_eq!(wire.hear_until("\r\n").await.unwrap(), "hello\r\n");
    wire
}

#[tokio::test]
async fn a_websocket_passes_both_ways_until_one_side_closes() {
    let backend = chatty().await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = upgraded(&site).await;
    for line in ["one", "two", "bye"] {
        wire.say(&format!("{line}\n")).await;
        assert_eq!(
            wire.hear_until("\r\n").await.unwrap(),
            format!("> {line}\r\n")
        );
    }
    assert!(wire.is_over().await);
    drop(wire);
    site.in_flight_becomes(1, 0).await;
    let stats = &site.router.stats().apps[0];
    assert_eq!((stats.by_class[0], stats.errors), (1, 0));

    let wire = upgraded(&site).await;
    site.in_flight_becomes(1, 1).await;
    drop(wire);
    site.in_flight_becomes(1, 0).await;
}

#[tokio::test]
async fn bytes_sent_right_behind_the_upgrade_are_not_lost() {
    let backend = chatty().await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    wire.say(&format!("{UPGRADE}early\n")).await;
    assert_eq!(wire.hear_head().await.unwrap().status(), 101);
    assert_eq!(
        wire.hear_until("early\r\n").await.unwrap(),
        "hello\r\n> early\r\n"
    );
}

#[tokio::test]
async fn a_silent_tunnel_is_closed() {
    let backend = chatty().await;
    let site = Site::start(RouterSettings {
        tunnel_idle_timeout: Duration::from_millis(150),
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let mut wire = upgraded(&site).await;
    assert!(wire.is_over().await);
    site.in_flight_becomes(1, 0).await;
}

#[tokio::test]
async fn an_app_may_decline() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    for _ in 0..2 {
        wire.say(UPGRADE).await;
        let reply = wire.hear_response(UPGRADE).await;
        assert_eq!(reply.status(), 200);
        assert_eq!(
            (reply.header("upgrade"), reply.header("connection")),
            (None, None)
        );
    }
}

#[tokio::test]
async fn http2_does_not_slip_through() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let reply = site
        .ask("GET / HTTP/1.1\nHost: app.test\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAA\n\n")
        .await;
    assert_eq!(reply.status(), 200);
    assert!(
        !reply.body.contains("upgrade") && !reply.body.contains("http2"),
        "{reply}"
    );
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_a_bad_answer() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await;
        wire.say("HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade\n\n")
            .await;
        wire.hear().await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let reply = site.get("/").await;
    assert_eq!((reply.status(), reply.code()), (502, "H17"));
}
