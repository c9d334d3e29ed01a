//! Pooled connections that died at rest, and upstreams that cannot be reached.

use std::collections::HashMap;
use std::time::Duration;

use super::kit::{Backend, Site};
use crate::RouterSettings;

/// Answers one request per connection, then closes as soon as the next one arrives: the worst moment there is.
async fn forgetful() -> Backend {
    Backend::start(|mut wire, _| async move {
        let message = wire.hear().await.unwrap();
        wire.answer(&message.start).await;
        wire.hear().await;
    })
    .await
}

#[tokio::test]
async fn a_request_on_a_dead_pooled_connection_is_sent_again_on_a_fresh_one() {
    let backend = forgetful().await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    for n in 0..5 {
        let request = format!("GET /{n} HTTP/1.1\nHost: app.test\n\n");
        wire.say(&request).await;
        let reply = wire.hear_response(&request).await;
        assert_eq!(
            (reply.status(), reply.body),
            (200, format!("GET /{n} HTTP/1.1"))
        );
    }
    assert_eq!(backend.connections(), 5);
}

#[tokio::test]
async fn a_request_that_must_not_be_repeated_is_not() {
    let backend = forgetful().await;
    let site = Site::in_front_of(&backend).await;
    assert_eq!(site.get("/").await.status(), 200);
    let reply = site
        .ask("POST / HTTP/1.1\nHost: app.test\nContent-Length: 1\n\nx")
        .await;
    assert_eq!((reply.status(), reply.code()), (502, "H13"));
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_connection_closed_at_rest_is_noticed_before_it_is_used() {
    let backend = Backend::start(|mut wire, _| async move {
        let message = wire.hear().await.unwrap();
        wire.answer(&message.body).await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    for n in 1..=20 {
        let reply = site
            .ask("POST / HTTP/1.1\nHost: app.test\nContent-Length: 1\n\nx")
            .await;
        assert_eq!((reply.status(), reply.body.as_str()), (200, "x"));
        // The close is on its way from the backend to us.
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert_eq!(backend.connections(), n);
    }
}

#[tokio::test]
async fn a_connection_that_rested_long_is_not_trusted_with_a_post() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    site.get("/").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    site.get("/").await;
    assert_eq!(backend.connections(), 1);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(
        site.ask("POST / HTTP/1.1\nHost: app.test\nContent-Length: 1\n\nx")
            .await
            .status(),
        200
    );
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn the_next_upstream_is_tried_when_one_refuses_even_with_a_body() {
    let good = Backend::saying("good").await;
    let site = Site::start(RouterSettings::default()).await;
    site.route(&[
        (1, good.neighbour(2)),
        (2, good.address),
        (3, good.neighbour(3)),
    ]);
    for _ in 0..12 {
        let reply = site
            .ask("POST / HTTP/1.1\nHost: app.test\nContent-Length: 3\n\nabc")
            .await;
        assert_eq!((reply.status(), reply.body.as_str()), (200, "good"));
    }
}

#[tokio::test]
async fn a_fresh_connection_closed_at_once_sends_a_repeatable_request_on() {
    let good = Backend::saying("good").await;
    let bad = Backend::start_at(good.neighbour(2), |wire, _| async move { drop(wire) }).await;
    let site = Site::start(RouterSettings::default()).await;
    site.route(&[(1, bad.address), (2, good.address)]);
    for _ in 0..6 {
        assert_eq!(site.get("/").await.body, "good");
    }
    assert!(bad.connections() > 0);
}

#[tokio::test]
async fn requests_go_round_all_upstreams() {
    let first = Backend::saying("1").await;
    let second = Backend::saying_at(first.neighbour(2), "2").await;
    let third = Backend::saying_at(first.neighbour(3), "3").await;
    let site = Site::start(RouterSettings::default()).await;
    site.route(&[(1, first.address), (2, second.address), (3, third.address)]);
    let mut counts = HashMap::new();
    for _ in 0..30 {
        *counts.entry(site.get("/").await.body).or_insert(0) += 1;
    }
    assert_eq!(
        counts,
        HashMap::from([
            ("1".to_owned(), 10),
            ("2".to_owned(), 10),
            ("3".to_owned(), 10)
        ])
    );
}

#[tokio::test]
async fn idle_connections_are_bounded_and_let_go() {
    let backend = Backend::echoing().await;
    let site = Site::start(RouterSettings {
        pool_size: 0,
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    for n in 1..=3 {
        site.get("/").await;
        assert_eq!(backend.connections(), n);
    }

    let backend = Backend::echoing().await;
    let site = Site::start(RouterSettings {
        pool_idle_timeout: Duration::from_millis(50),
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    site.get("/").await;
    tokio::time::sleep(Duration::from_millis(80)).await;
    site.get("/").await;
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn a_swap_closes_the_idle_connections_of_those_that_left_only() {
    let stays = Backend::saying("stays").await;
    let (closed, mut sees_close) = tokio::sync::mpsc::channel(1);
    let leaves = Backend::start_at(stays.neighbour(2), move |mut wire, _| {
        let closed = closed.clone();
        async move {
            while wire.hear().await.is_some() {
                wire.answer("leaves").await;
            }
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let site = Site::start(RouterSettings::default()).await;
    site.route(&[(1, stays.address), (2, leaves.address)]);
    for _ in 0..4 {
        site.get("/").await;
    }
    site.route(&[(1, stays.address)]);
    tokio::time::timeout(super::kit::SOON, sees_close.recv())
        .await
        .unwrap()
        .unwrap();
    site.get("/").await;
    assert_eq!((stays.connections(), leaves.connections()), (1, 1));
}
