//! Swapping tables under load, and draining what is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::kit::{Backend, SOON, Site, eventually};
use crate::{Drained, RouterSettings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_containers_are_replaced() {
    const CLIENTS: usize = 8;
    const DEPLOYS: i64 = 12;
    let base = Backend::saying("0").await;
    let site = Arc::new(Site::in_front_of(&base).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let clients = TaskTracker::new();
    for client in 0..CLIENTS {
        let (site, is_over, served) =
            (Arc::clone(&site), Arc::clone(&is_over), Arc::clone(&served));
        clients.spawn(async move {
            let mut wire = site.connect().await;
            while !is_over.load(Ordering::SeqCst) {
                if client % 2 == 0 {
                    wire = site.connect().await;
                }
                wire.say("POST / HTTP/1.1\nHost: app.test\nContent-Length: 2\n\nhi")
                    .await;
                let reply = wire.hear_response("").await;
                assert_eq!(reply.status(), 200, "{reply}");
                served.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let mut old = (1, base);
    for deploy in 2..=DEPLOYS {
        let seen = served.load(Ordering::SeqCst);
        let address = old.1.neighbour(u8::try_from(deploy).unwrap());
        let new = (deploy, Backend::saying_at(address, "n").await);
        site.route(&[(new.0, new.1.address)]);
        let drained = site.router.drain(old.0, SOON).await;
        assert_eq!(drained.cut, 0);
        assert_eq!(site.router.in_flight(old.0), 0);
        old.1.die();
        old = new;
        eventually(|| served.load(Ordering::SeqCst) > seen + 50).await;
    }
    is_over.store(true, Ordering::SeqCst);
    clients.close();
    tokio::time::timeout(SOON, clients.wait()).await.unwrap();
    let stats = &site.router.stats().apps[0];
    assert_eq!(stats.errors, 0);
    assert_eq!(stats.requests, served.load(Ordering::SeqCst) as u64);
}

/// Answers when told to.
async fn reluctant() -> (Backend, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let backend = Backend::start(move |mut wire, _| {
        let waits = Arc::clone(&waits);
        async move {
            while let Some(request) = wire.hear().await {
                if request.header("upgrade").is_some() {
                    wire.say("HTTP/1.1 101 X\nConnection: upgrade\nUpgrade: websocket\n\n")
                        .await;
                    wire.hear_until("never").await;
                    return;
                }
                waits.notified().await;
                wire.answer("at last").await;
            }
        }
    })
    .await;
    (backend, go)
}

#[tokio::test]
async fn draining_waits_for_a_slow_request() {
    let (slow, go) = reluctant().await;
    let site = Site::in_front_of(&slow).await;
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    site.in_flight_becomes(1, 1).await;

    let fresh = Backend::saying("fresh").await;
    site.route(&[(2, fresh.address)]);
    assert_eq!(site.get("/").await.body, "fresh");
    let drain = site.router.drain(1, SOON);
    tokio::pin!(drain);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), &mut drain)
            .await
            .is_err()
    );
    assert_eq!(site.router.in_flight(1), 1);
    go.notify_one();
    assert_eq!(
        drain.await,
        Drained {
            completed: 1,
            cut: 0
        }
    );
    assert_eq!(wire.hear_response("").await.body, "at last");
    // The same connection goes on at the new container.
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    assert_eq!(wire.hear_response("").await.body, "fresh");
}

#[tokio::test]
async fn a_request_without_end_is_left_to_its_container() {
    let (slow, go) = reluctant().await;
    let site = Site::in_front_of(&slow).await;
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    site.in_flight_becomes(1, 1).await;
    site.route(&[]);
    let start = Instant::now();
    let drained = site.router.drain(1, Duration::from_millis(100)).await;
    assert_eq!(
        drained,
        Drained {
            completed: 0,
            cut: 1
        }
    );
    assert!(start.elapsed() < Duration::from_secs(2));
    go.notify_one();
    assert_eq!(wire.hear_response("").await.body, "at last");
}

#[tokio::test]
async fn websockets_have_less_patience() {
    let (slow, go) = reluctant().await;
    let site = Site::start(RouterSettings {
        tunnel_patience: Duration::from_millis(100),
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, slow.address)]);
    let mut socket = site.connect().await;
    socket
        .say("GET / HTTP/1.1\nHost: app.test\nConnection: upgrade\nUpgrade: websocket\n\n")
        .await;
    assert_eq!(socket.hear_head().await.unwrap().status(), 101);
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    site.in_flight_becomes(1, 2).await;
    site.route(&[]);
    let drain = site.router.drain(1, SOON);
    let drain = async {
        let (drained, ()) = tokio::join!(drain, async {
            assert!(socket.is_over().await);
            go.notify_one();
        });
        drained
    };
    assert_eq!(
        drain.await,
        Drained {
            completed: 1,
            cut: 1
        }
    );
    assert_eq!(wire.hear_response("").await.body, "at last");
}

#[tokio::test]
async fn draining_a_container_in_use_closes_nothing() {
    let (slow, _go) = reluctant().await;
    let site = Site::in_front_of(&slow).await;
    let mut socket = site.connect().await;
    socket
        .say("GET / HTTP/1.1\nHost: app.test\nConnection: upgrade\nUpgrade: websocket\n\n")
        .await;
    assert_eq!(socket.hear_head().await.unwrap().status(), 101);
    let drained = site.router.drain(1, Duration::from_millis(50)).await;
    assert_eq!(
        drained,
        Drained {
            completed: 0,
            cut: 1
        }
    );
    assert_eq!(site.router.in_flight(1), 1);
    drop(socket);
    site.in_flight_becomes(1, 0).await;
}

#[tokio::test]
async fn an_instance_may_come_back() {
    let backend = Backend::saying("here").await;
    let site = Site::in_front_of(&backend).await;
    for _ in 0..3 {
        assert_eq!(site.get("/").await.body, "here");
        site.route(&[]);
        assert_eq!(site.get("/").await.status(), 503);
        assert_eq!(
            site.router.drain(1, SOON).await,
            Drained {
                completed: 0,
                cut: 0
            }
        );
        site.route(&[(1, backend.address)]);
    }
    assert_eq!(
        site.router.drain(99, SOON).await,
        Drained {
            completed: 0,
            cut: 0
        }
    );
    assert_eq!(site.router.stats().apps[0].requests, 6);
}

#[tokio::test]
async fn a_route_changes_at_once() {
    let first = Backend::saying("1").await;
    let second = Backend::saying_at(first.neighbour(2), "2").await;
    let site = Site::in_front_of(&first).await;
    for n in 0..20 {
        let (instance, backend, text) = if n % 2 == 0 {
            (1, &first, "1")
        } else {
            (2, &second, "2")
        };
        site.route(&[(instance, backend.address)]);
        assert_eq!(site.get("/").await.body, text);
    }
}
