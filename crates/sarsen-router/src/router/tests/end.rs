//! Stopping: no request under way is lost.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::kit::{Backend, SOON, Site};
use crate::RouterSettings;

async fn site_with_request_under_way(
    settings: RouterSettings,
) -> (Site, Backend, Arc<Notify>, super::kit::Wire) {
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let backend = Backend::start(move |mut wire, _| {
        let waits = Arc::clone(&waits);
        async move {
            while wire.hear().await.is_some() {
                waits.notified().await;
                wire.answer("done").await;
            }
        }
    })
    .await;
    let site = Site::start(settings).await;
    site.route(&[(1, backend.address)]);
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    site.in_flight_becomes(1, 1).await;
    (site, backend, go, wire)
}

async fn refuses_connections(site: &Site) {
    let deadline = tokio::time::Instant::now() + SOON;
    while TcpStream::connect(("127.0.0.1", site.port)).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline);
    }
}

#[tokio::test]
async fn requests_under_way_are_finished_and_their_connections_closed() {
    let (site, _backend, go, mut wire) =
        site_with_request_under_way(RouterSettings::default()).await;
    let mut idle = site.connect().await;
    site.stop.cancel();
    assert!(idle.is_over().await);
    refuses_connections(&site).await;
    go.notify_one();
    let reply = wire.hear_response("").await;
    assert_eq!((reply.status(), reply.body.as_str()), (200, "done"));
    assert_eq!(reply.header("connection"), Some("close"));
    assert!(wire.is_over().await);
    site.tasks.close();
    tokio::time::timeout(SOON, site.tasks.wait()).await.unwrap();
    assert_eq!(site.router.stats().connections, 0);
}

#[tokio::test]
async fn a_request_without_end_does_not_hold_up_the_shutdown() {
    let (site, _backend, _go, mut wire) = site_with_request_under_way(RouterSettings {
        shutdown_deadline: Duration::from_millis(100),
        ..RouterSettings::default()
    })
    .await;
    site.stop.cancel();
    site.tasks.close();
    tokio::time::timeout(SOON, site.tasks.wait()).await.unwrap();
    assert!(wire.is_over().await);
    assert_eq!(site.router.in_flight(1), 0);
}

#[tokio::test]
async fn tunnels_end_when_the_patience_is_over() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await;
        wire.say("HTTP/1.1 101 X\nConnection: upgrade\nUpgrade: websocket\n\n")
            .await;
        wire.hear().await;
    })
    .await;
    let site = Site::start(RouterSettings {
        tunnel_patience: Duration::from_millis(100),
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let mut wire = site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\nConnection: upgrade\nUpgrade: websocket\n\n")
        .await;
    assert_eq!(wire.hear_head().await.unwrap().status(), 101);
    site.stop.cancel();
    site.tasks.close();
    tokio::time::timeout(SOON, site.tasks.wait()).await.unwrap();
    assert!(wire.is_over().await);
}

#[tokio::test]
async fn several_listeners_share_one_router() {
    let backend = Backend::saying("here").await;
    let site = Site::in_front_of(&backend).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (router, stop) = (site.router.clone(), site.stop.clone());
    site.tasks
        .spawn(async move { router.serve(listener, stop).await.unwrap() });
    let mut wire = super::kit::Wire::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    // The table knows the app on the first port only.
    assert_eq!(wire.hear_response("").await.status(), 404);
    assert_eq!(site.get("/").await.body, "here");
    site.stop.cancel();
    site.tasks.close();
    tokio::time::timeout(SOON, site.tasks.wait()).await.unwrap();
}
