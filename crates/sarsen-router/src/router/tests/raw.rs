//! Ports that are passed on as they are, and what a balancer in front says about a client.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UdpSocket};

use super::kit::{Backend, SOON, Site, eventually};
use crate::{AppState, PortKind, RouterSettings, TrustedProxies};

async fn tcp(settings: RouterSettings) -> Site {
    Site::start_by(settings, |router, listener, stop| async move {
        router.serve_tcp(listener, stop).await.unwrap();
    })
    .await
}

fn route(site: &Site, kind: PortKind, instances: &[(i64, SocketAddr)]) {
    site.route_kind(kind, AppState::Serving, instances);
}

/// Says its name, takes all there is, and only then tells how much it was.
async fn counting(name: &'static str) -> Backend {
    Backend::start(move |mut wire, _| async move {
        wire.say(&format!("{name}\n")).await;
        let all = wire.raw_to_end().await;
        wire.say(&format!("{} bytes\n", all.len())).await;
    })
    .await
}

#[tokio::test]
async fn bytes_pass_both_ways_and_each_side_ends_for_itself() {
    let backend = counting("db").await;
    let site = tcp(RouterSettings::default()).await;
    route(&site, PortKind::Tcp, &[(1, backend.address)]);
    let mut wire = site.connect().await;
    assert_eq!(wire.hear_until("\n").await.unwrap(), "db\r\n");
    site.in_flight_becomes(1, 1).await;
    wire.send(&[0; 100_000]).await;
    wire.stream.shutdown().await.unwrap();
    assert_eq!(wire.hear_until("\n").await.unwrap(), "100000 bytes\r\n");
    assert!(wire.is_over().await);
    site.in_flight_becomes(1, 0).await;
    eventually(|| site.router.stats().apps[0].bytes == 100_018).await;
}

#[tokio::test]
async fn a_container_that_refuses_is_passed_over() {
    let backend = counting("b").await;
    let site = tcp(RouterSettings::default()).await;
    let dead = backend.neighbour(3);
    route(&site, PortKind::Tcp, &[(1, dead), (2, backend.address)]);
    for _ in 0..4 {
        let mut wire = site.connect().await;
        assert_eq!(wire.hear_until("\n").await.unwrap(), "b\r\n");
    }
    route(&site, PortKind::Tcp, &[]);
    assert!(site.hangs_up().await);
    // The port is a raw one: nobody reads requests there.
    site.route(&[(1, backend.address)]);
    assert!(site.hangs_up().await);
}

#[tokio::test]
async fn connections_to_a_replaced_container_are_cut_when_patience_is_over() {
    let old = counting("old").await;
    let new = counting("new").await;
    let site = tcp(RouterSettings {
        tunnel_patience: Duration::from_millis(50),
        ..RouterSettings::default()
    })
    .await;
    route(&site, PortKind::Tcp, &[(1, old.address)]);
    let mut wire = site.connect().await;
    assert_eq!(wire.hear_until("\n").await.unwrap(), "old\r\n");
    route(&site, PortKind::Tcp, &[(2, new.address)]);
    let mut second = site.connect().await;
    assert_eq!(second.hear_until("\n").await.unwrap(), "new\r\n");
    let drained = site.router.drain(1, SOON).await;
    assert_eq!((drained.completed, drained.cut), (0, 1));
    assert!(wire.is_over().await);
    site.stop.cancel();
    assert!(second.is_over().await);
    site.tasks.close();
    site.tasks.wait().await;
}

#[tokio::test]
async fn silence_ends_a_raw_connection() {
    let backend = counting("b").await;
    let site = tcp(RouterSettings {
        tcp_idle_timeout: Duration::from_millis(100),
        ..RouterSettings::default()
    })
    .await;
    route(&site, PortKind::Tcp, &[(1, backend.address)]);
    let mut wire = site.connect().await;
    wire.hear_until("\n").await.unwrap();
    assert!(wire.is_over().await);
}

#[tokio::test]
async fn proxy_protocol_counts_from_those_who_are_trusted_with_it() {
    let backend = Backend::echoing().await;
    let request = "GET / HTTP/1.1\nHost: app.test\n\n";
    let header = "PROXY TCP6 2001:db8::1 ::1 5555 80\n";
    let trusting = Site::start(RouterSettings {
        proxy_protocol: TrustedProxies::parse(["127.0.0.0/8"]).unwrap(),
        ..RouterSettings::default()
    })
    .await;
    trusting.route(&[(1, backend.address)]);
    let reply = trusting.ask(&format!("{header}{request}")).await;
    assert!(
        reply.body.contains("\nx-forwarded-for: 2001:db8::1\n"),
        "{reply}"
    );
    let mut without = trusting.connect().await;
    without.say(request).await;
    assert!(without.is_over().await);

    let other = Site::in_front_of(&backend).await;
    assert_eq!(other.ask(&format!("{header}{request}")).await.status(), 400);
}

// ===== UDP =====

struct Udp {
    site: Site,
    port: u16,
}

impl Udp {
    async fn start(settings: RouterSettings) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let mut site = Site::start_by(settings, |router, _: TcpListener, stop| async move {
            router.serve_udp(socket, stop).await.unwrap();
        })
        .await;
        site.port = port;
        Self { site, port }
    }

    async fn client(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(("127.0.0.1", self.port)).await.unwrap();
        socket
    }
}

async fn ask(client: &UdpSocket, text: &str) -> String {
    client.send(text.as_bytes()).await.unwrap();
    hear(client).await
}

async fn hear(client: &UdpSocket) -> String {
    let mut buffer = [0; 2048];
    let heard = tokio::time::timeout(SOON, client.recv(&mut buffer)).await;
    String::from_utf8_lossy(&buffer[..heard.unwrap().unwrap()]).into_owned()
}

/// Answers each datagram with its own name, the sender's port and what it got.
fn echo(name: &'static str, socket: UdpSocket) -> SocketAddr {
    let address = socket.local_addr().unwrap();
    tokio_util::task::TaskTracker::new().spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((bytes, from)) = socket.recv_from(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..bytes]);
            let answer = format!("{name} {} {text}", from.port());
            socket.send_to(answer.as_bytes(), from).await.unwrap();
        }
    });
    address
}

async fn echoing(name: &'static str) -> SocketAddr {
    echo(name, UdpSocket::bind("127.0.0.1:0").await.unwrap())
}

#[tokio::test]
async fn datagrams_find_their_way_back_to_the_client_that_asked() {
    let backend = echoing("dns").await;
    let udp = Udp::start(RouterSettings::default()).await;
    route(&udp.site, PortKind::Udp, &[(1, backend)]);
    let (one, two) = (udp.client().await, udp.client().await);
    let first = ask(&one, "a").await;
    let second = ask(&two, "b").await;
    let again = ask(&one, "a").await;
    assert!(
        first.starts_with("dns ") && first.ends_with(" a"),
        "{first}"
    );
    assert_eq!(first, again);
    assert_ne!(first.split(' ').nth(1), second.split(' ').nth(1));
    assert_eq!(udp.site.router.in_flight(1), 2);
    udp.site.stop.cancel();
    udp.site.tasks.close();
    udp.site.tasks.wait().await;
    assert_eq!(udp.site.router.in_flight(1), 0);
}

#[tokio::test]
async fn a_client_moves_on_when_its_container_was_replaced() {
    let (old, new) = (echoing("old").await, echoing("new").await);
    let udp = Udp::start(RouterSettings::default()).await;
    route(&udp.site, PortKind::Udp, &[(1, old)]);
    let client = udp.client().await;
    assert!(ask(&client, "x").await.starts_with("old "));
    route(&udp.site, PortKind::Udp, &[(2, new)]);
    assert!(ask(&client, "x").await.starts_with("new "));
    udp.site.in_flight_becomes(1, 0).await;
}

#[tokio::test]
async fn what_a_replaced_container_was_asked_it_may_still_answer() {
    let old = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let new = echoing("new").await;
    let udp = Udp::start(RouterSettings::default()).await;
    route(&udp.site, PortKind::Udp, &[(1, old.local_addr().unwrap())]);
    let client = udp.client().await;
    client.send(b"x").await.unwrap();
    let mut buffer = [0; 16];
    let (_, asker) = old.recv_from(&mut buffer).await.unwrap();
    route(&udp.site, PortKind::Udp, &[(2, new)]);
    assert!(ask(&client, "y").await.starts_with("new "));
    assert_eq!(udp.site.router.in_flight(1), 1);
    old.send_to(b"late", asker).await.unwrap();
    assert_eq!(hear(&client).await, "late");
    udp.site.in_flight_becomes(1, 0).await;
}

#[tokio::test]
async fn sessions_are_bounded_and_end_in_silence() {
    let backend = echoing("b").await;
    let udp = Udp::start(RouterSettings {
        udp_sessions: 2,
        udp_idle_timeout: Duration::from_millis(300),
        ..RouterSettings::default()
    })
    .await;
    route(&udp.site, PortKind::Udp, &[(1, backend)]);
    for _ in 0..5 {
        ask(&udp.client().await, "x").await;
    }
    udp.site.in_flight_becomes(1, 2).await;
    udp.site.in_flight_becomes(1, 0).await;
}
