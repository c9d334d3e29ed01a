//! What an app sees of a request, and a client of a response.

use std::sync::Arc;

use super::kit::{Backend, Site};
use crate::{AppRoute, AppState, RoutePort, RouteTable, RouterSettings, TrustedProxies, Upstream};

#[tokio::test]
async fn a_request_arrives_with_the_routers_headers() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let reply = site
        .ask(
            "GET /a/b?c=%20d HTTP/1.1\nHost: App.Test:80\nConnection: keep-alive, X-Hop\nX-Hop: 1\n\
             X-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https\nX_Forwarded_For: 1.2.3.4\nX-Request-Id: short\n\
             Cookie: a=b\n\n",
        )
        .await;
    assert_eq!(reply.status(), 200);
    let seen = reply.body;
    for line in [
        "GET /a/b?c=%20d HTTP/1.1\n",
        "\nhost: App.Test:80\n",
        "\nx-forwarded-for: 127.0.0.1\n",
        "\nx-forwarded-proto: http\n",
        &format!("\nx-forwarded-port: {}\n", site.port),
        "\ncookie: a=b\n",
        "\nx-request-start: 1",
        "\nx-request-id: ",
    ] {
        assert!(seen.contains(line), "{line:?} is not in {seen}");
    }
    for text in [
        "x-hop",
        "1.2.3.4",
        "x_forwarded_for",
        "connection:",
        "short",
        "via:",
    ] {
        assert!(!seen.contains(text), "{text:?} is in {seen}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_believed_and_via_added_both_ways() {
    let backend = Backend::echoing().await;
    let site = Site::start(RouterSettings {
        trusted_proxies: TrustedProxies::parse(["127.0.0.0/8"]).unwrap(),
        via: Some("sarsen".to_owned()),
        ..RouterSettings::default()
    })
    .await;
    site.route(&[(1, backend.address)]);
    let reply = site
        .ask("GET / HTTP/1.1\nHost: app.test\nX-Forwarded-For: 1.2.3.4\nX-Forwarded-Proto: https\n\n")
        .await;
    assert!(
        reply
            .body
            .contains("\nx-forwarded-for: 1.2.3.4, 127.0.0.1\n")
    );
    assert!(reply.body.contains("\nx-forwarded-proto: https\n"));
    assert!(reply.body.contains("\nvia: 1.1 sarsen\n"));
    assert_eq!(reply.header("via"), Some("1.1 sarsen"));
}

#[tokio::test]
async fn hosts_and_ports_choose_the_app_and_the_containers_port() {
    let first = Backend::saying("first").await;
    let second = Backend::saying("second").await;
    let site = Site::start(RouterSettings::default()).await;
    let app = |name: &str, host: &str, backend: &Backend| AppRoute {
        app: name.parse().unwrap(),
        hosts: vec![host.parse().unwrap()],
        ports: vec![RoutePort::http(site.port, backend.address.port())],
        upstreams: vec![Upstream {
            instance: 1,
            dyno: "web.1".to_owned(),
            ip: backend.address.ip(),
        }],
        state: AppState::Serving,
        policy: Arc::default(),
    };
    let apps = vec![
        app("one", "one.test", &first),
        app("two", "*.test", &second),
    ];
    site.router.swap(RouteTable::new(apps));
    for (host, status, body) in [
        ("one.test", 200, "first"),
        ("ONE.test.:8080", 200, "first"),
        ("other.test", 200, "second"),
    ] {
        let reply = site.ask(&format!("GET / HTTP/1.1\nHost: {host}\n\n")).await;
        assert_eq!(
            (reply.status(), reply.body.as_str()),
            (status, body),
            "{host}"
        );
    }
    let reply = site.ask("GET / HTTP/1.1\nHost: test\n\n").await;
    assert_eq!((reply.status(), reply.code()), (404, "unknown-host"));
    let stats = site.router.stats();
    assert_eq!(stats.unknown_host, 1);
    let requests: Vec<_> = stats
        .apps
        .iter()
        .map(|a| (a.app.as_str(), a.requests, a.bytes))
        .collect();
    assert_eq!(requests, [("one", 2, 10), ("two", 1, 6)]);
}

#[tokio::test]
async fn absolute_targets_become_relative_and_their_host_counts() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let reply = site
        .ask("GET http://app.test/x?y HTTP/1.1\nHost: other.test\n\n")
        .await;
    assert!(
        reply
            .body
            .starts_with("GET /x?y HTTP/1.1\nhost: app.test\n"),
        "{reply}"
    );
    let reply = site.ask("OPTIONS * HTTP/1.1\nHost: app.test\n\n").await;
    assert!(reply.body.starts_with("OPTIONS * HTTP/1.1\n"), "{reply}");
}

#[tokio::test]
async fn connections_are_kept_on_both_sides() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    for n in 0..10 {
        let request = format!("GET /{n} HTTP/1.1\nHost: app.test\n\n");
        wire.say(&request).await;
        let reply = wire.hear_response(&request).await;
        assert!(reply.body.starts_with(&format!("GET /{n} ")));
        let request = format!("POST /{n} HTTP/1.1\nHost: app.test\nContent-Length: 4\n\nbody");
        wire.say(&request).await;
        assert!(wire.hear_response(&request).await.body.ends_with("\nbody"));
    }
    assert_eq!(backend.connections(), 1);
    assert_eq!(site.router.stats().connections, 1);
    assert_eq!(site.router.in_flight(1), 0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    wire.say("GET /1 HTTP/1.1\nHost: app.test\n\nGET /2 HTTP/1.1\nHost: app.test\n\n")
        .await;
    assert!(wire.hear_response("").await.body.starts_with("GET /1 "));
    assert!(wire.hear_response("").await.body.starts_with("GET /2 "));
}

#[tokio::test]
async fn head_and_empty_answers_keep_the_connection() {
    let backend = Backend::start(|mut wire, _| async move {
        while let Some(message) = wire.hear().await {
            let status = message.start.split(['/', ' ']).nth(2).unwrap().to_owned();
            wire.say(&format!(
                "HTTP/1.1 {status} X\nContent-Length: 5\nEtag: x\n\n"
            ))
            .await;
        }
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    for (request, length) in [
        ("HEAD /200", Some("5")),
        ("GET /304", None),
        ("HEAD /404", Some("5")),
    ] {
        wire.say(&format!("{request} HTTP/1.1\nHost: app.test\n\n"))
            .await;
        let reply = wire.hear_head().await.unwrap();
        assert_eq!(
            (reply.header("content-length"), reply.header("etag")),
            (length, Some("x")),
            "{request}"
        );
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn old_clients_get_an_old_answer() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await;
        wire.say("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n")
            .await;
        wire.hear().await;
    })
    .await;
    let site = Site::in_front_of(&backend).await;
    let reply = site.ask("GET / HTTP/1.0\nHost: app.test\n\n").await;
    assert_eq!((reply.status(), reply.body.as_str()), (200, "abc"));
    assert_eq!(reply.header("transfer-encoding"), None);
}

#[tokio::test]
async fn a_client_that_expects_to_be_asked_is_asked() {
    let backend = Backend::echoing().await;
    let site = Site::in_front_of(&backend).await;
    let mut wire = site.connect().await;
    wire.say("POST / HTTP/1.1\nHost: app.test\nContent-Length: 4\nExpect: 100-continue\n\n")
        .await;
    assert_eq!(wire.hear_head().await.unwrap().status(), 100);
    wire.send(b"body").await;
    let reply = wire.hear_response("").await;
    assert!(reply.body.ends_with("\nbody") && !reply.body.contains("expect"));
}
