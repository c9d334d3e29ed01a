//! Policies, one by one, on real sockets.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::kit::{Backend, Message, Site};
use crate::policy::*;
use crate::{AppRoute, AppState, RoutePort, RouteTable, RouterSettings, TrustedProxies, Upstream};

fn app(site: &Site, name: &str, host: &str, policy: Policy, backends: &[&Backend]) -> AppRoute {
    let upstream = |(n, backend): (usize, &&Backend)| Upstream {
        instance: i64::try_from(n).unwrap() + 1,
        dyno: format!("web.{}", n + 1),
        ip: backend.address.ip(),
    };
    AppRoute {
        app: name.parse().unwrap(),
        hosts: vec![host.parse().unwrap()],
        ports: vec![RoutePort::http(
            site.port,
            backends.first().map_or(1, |b| b.address.port()),
        )],
        upstreams: backends.iter().enumerate().map(upstream).collect(),
        state: AppState::Serving,
        policy: Arc::new(policy),
    }
}

async fn site(policy: Policy, backend: &Backend) -> Site {
    let site = Site::start(RouterSettings {
        trusted_proxies: TrustedProxies::parse(["127.0.0.0/8"]).unwrap(),
        ..RouterSettings::default()
    })
    .await;
    change(&site, policy, backend);
    site
}

fn change(site: &Site, policy: Policy, backend: &Backend) {
    let route = app(site, "app", "app.test", policy, &[backend]);
    site.router.swap(RouteTable::new(vec![route]));
}

async fn get_with(site: &Site, path: &str, headers: &str) -> Message {
    site.ask(&format!("GET {path} HTTP/1.1\nHost: app.test\n{headers}\n"))
        .await
}

#[tokio::test]
async fn maintenance_answers_in_the_apps_place_and_ends_at_once() {
    let backend = Backend::saying("hello").await;
    let page = |html: &'static str| Policy {
        maintenance: Some(Page {
            html: Bytes::from_static(html.as_bytes()),
        }),
        ..Policy::default()
    };
    let site = site(page(""), &backend).await;
    let mut kept = site.connect().await;
    let request = "GET / HTTP/1.1\nHost: app.test\n\n";
    kept.say(request).await;
    let reply = kept.hear_response(request).await;
    assert_eq!((reply.status(), reply.code()), (503, "H80"));
    change(&site, page("<h1>Back at five</h1>"), &backend);
    let reply = site.get("/").await;
    assert_eq!(
        (reply.status(), &*reply.body),
        (503, "<h1>Back at five</h1>")
    );
    change(&site, Policy::default(), &backend);
    kept.say(request).await;
    assert_eq!(kept.hear_response(request).await.body, "hello");
    let stats = site.router.stats().apps.remove(0);
    assert_eq!((stats.requests, stats.errors), (3, 0));
}

#[tokio::test]
async fn redirects_go_by_name_and_path_and_carry_the_rest_along() {
    let backend = Backend::saying("hello").await;
    let redirect = |from: &str, to: &str, code| Redirect::new(from, to, code).unwrap();
    let policy = Policy {
        redirects: vec![
            redirect("old.test", "app.test", 301),
            redirect("/old", "/new", 302),
            redirect("/ext", "https://x.test/y?z=1", 308),
        ],
        canonical_host: Some("app.test".to_owned()),
        ..Policy::default()
    };
    let site = site(Policy::default(), &backend).await;
    let mut route = app(&site, "app", "app.test", policy, &[&backend]);
    route.hosts.push("www.app.test".parse().unwrap());
    site.router.swap(RouteTable::new(vec![route]));
    for (host, path, status, location) in [
        ("old.test", "/a?b=c", 301, "http://app.test/a?b=c"),
        ("app.test", "/old?q=1", 302, "/new?q=1"),
        ("app.test", "/ext", 308, "https://x.test/y?z=1"),
        ("www.app.test:81", "/a", 301, "http://app.test:81/a"),
    ] {
        let reply = site
            .ask(&format!("GET {path} HTTP/1.1\nHost: {host}\n\n"))
            .await;
        assert_eq!(reply.status(), status, "{host}{path}");
        assert_eq!(reply.header("location"), Some(location), "{host}{path}");
    }
    assert_eq!(site.get("/older").await.body, "hello");
}

#[tokio::test]
async fn plain_requests_go_to_https_where_there_is_a_certificate() {
    let backend = Backend::saying("hello").await;
    let site = site(Policy::default(), &backend).await;
    let policy = |from| Policy {
        https: HttpsPolicy {
            redirect: Some(HttpsRedirect { from, to: 443 }),
            hsts: Some(Hsts {
                max_age: 60,
                reach: HstsReach::Subdomains,
                preload: HstsPreload::Yes,
            }),
        },
        ..Policy::default()
    };
    change(&site, policy(1), &backend);
    assert_eq!(site.get("/a?b").await.status(), 200, "another port");
    change(&site, policy(site.port), &backend);
    let reply = site.get("/a?b").await;
    assert_eq!(reply.status(), 301);
    assert_eq!(reply.header("location"), Some("https://app.test/a?b"));
    assert_eq!(reply.header("strict-transport-security"), None);
    let challenge = site.get("/.well-known/acme-challenge/token").await;
    assert_eq!(challenge.status(), 200);
    let reply = get_with(&site, "/", "X-Forwarded-Proto: https\n").await;
    assert_eq!(reply.body, "hello");
    assert_eq!(
        reply.header("strict-transport-security"),
        Some("max-age=60; includeSubDomains; preload")
    );
}

#[tokio::test]
async fn passwords_keep_strangers_out_and_stay_with_the_router() {
    let backend = Backend::echoing().await;
    let policy = Policy {
        auth: Some(BasicAuth {
            users: vec![AuthUser {
                name: "ann".to_owned(),
                hash: PasswordHash::of("secret").unwrap(),
            }],
            allowed: vec!["203.0.113.0/24".parse().unwrap()],
        }),
        ..Policy::default()
    };
    let site = site(policy, &backend).await;
    let reply = site.get("/").await;
    assert_eq!((reply.status(), reply.code()), (401, "auth"));
    assert!(
        reply
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic")
    );
    // ann:wrong, ann:secret
    let wrong = get_with(&site, "/", "Authorization: Basic YW5uOndyb25n\n").await;
    assert_eq!(wrong.status(), 401);
    let right = get_with(&site, "/", "Authorization: Basic YW5uOnNlY3JldA==\n").await;
    assert_eq!(right.status(), 200);
    assert!(!right.body.contains("authorization"), "{}", right.body);
    let inside = get_with(&site, "/", "X-Forwarded-For: 203.0.113.9\n").await;
    assert_eq!(inside.status(), 200);
}

#[tokio::test]
async fn addresses_and_rates_are_the_clients_behind_trusted_proxies() {
    let backend = Backend::saying("hello").await;
    let policy = Policy {
        allow: vec!["10.0.0.0/8".parse().unwrap()],
        deny: vec!["10.6.6.6".parse().unwrap()],
        rate: Some(Rate::per_second(1, 2)),
        ..Policy::default()
    };
    let site = site(policy, &backend).await;
    let from = |ip: &str| format!("X-Forwarded-For: 1.1.1.1, {ip}\n");
    for (ip, status) in [
        ("10.1.1.1", 200),
        ("10.6.6.6", 403),
        ("11.1.1.1", 403),
        ("10.1.1.1", 200),
        ("10.1.1.1", 429),
        ("10.1.1.2", 200),
    ] {
        let reply = get_with(&site, "/", &from(ip)).await;
        assert_eq!(reply.status(), status, "{ip}");
        let later = (status == 429).then_some("1");
        assert_eq!(reply.header("retry-after"), later);
    }
}

#[tokio::test]
async fn bodies_are_as_large_as_allowed_announced_or_not() {
    let backend = Backend::echoing().await;
    let policy = Policy {
        max_body: Some(10),
        ..Policy::default()
    };
    let site = site(policy, &backend).await;
    let post =
        |headers: &str, body: &str| format!("POST / HTTP/1.1\nHost: app.test\n{headers}\n\n{body}");
    for (headers, body, status) in [
        ("Content-Length: 10", "0123456789", 200),
        ("Content-Length: 11", "0123456789a", 413),
        ("Transfer-Encoding: chunked", "5\n01234\n0\n\n", 200),
        (
            "Transfer-Encoding: chunked",
            "8\n01234567\n8\n01234567\n0\n\n",
            413,
        ),
    ] {
        let reply = site.ask(&post(headers, body)).await;
        assert_eq!(reply.status(), status, "{headers} {body}");
    }
}

#[tokio::test]
async fn headers_follow_the_rules_in_both_directions() {
    let backend = Backend::echoing().await;
    let rules = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect();
    let policy = Policy {
        request_headers: rules(&["X-Env: test", "-Cookie"]),
        response_headers: rules(&["X-Frame-Options: DENY", "+Link: <a>", "-Content-Type"]),
        ..Policy::default()
    };
    let site = site(policy, &backend).await;
    let reply = get_with(&site, "/", "Cookie: a=b\nX-Env: other\n").await;
    assert!(reply.body.contains("\nx-env: test\n") && !reply.body.contains("cookie"));
    assert_eq!(reply.header("x-frame-options"), Some("DENY"));
    assert_eq!(reply.header("link"), Some("<a>"));
    assert_eq!(reply.header("content-type"), None);
}

#[test]
fn rules_that_would_take_a_message_apart_are_refused() {
    for bad in [
        "Host: x",
        "-Content-Length",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "X",
        "",
        "X Y: z",
        "X: a\nb",
        "-",
        "+: x",
    ] {
        assert!(bad.parse::<HeaderRule>().is_err(), "{bad:?}");
    }
    for good in ["X-A: b: c", "-Server", "+Set-Cookie: a=b"] {
        let rule: HeaderRule = good.parse().unwrap();
        assert_eq!(rule.to_string().to_lowercase(), good.to_lowercase());
    }
}

#[tokio::test]
async fn paths_lead_to_different_apps_of_one_name() {
    let (root, api) = (Backend::saying("root").await, Backend::echoing().await);
    let site = Site::start(RouterSettings::default()).await;
    let below = |path: &str| Policy {
        path: Some(
            path.parse::<PathPrefix>()
                .unwrap()
                .with(PrefixFate::Stripped),
        ),
        ..Policy::default()
    };
    let apps = vec![
        app(&site, "root", "app.test", Policy::default(), &[&root]),
        app(&site, "api", "app.test", below("/api"), &[&api]),
        app(&site, "only", "only.test", below("/x"), &[&root]),
        app(&site, "wild", "*.test", Policy::default(), &[&root]),
    ];
    site.router.swap(RouteTable::new(apps));
    assert_eq!(site.get("/apix").await.body, "root");
    let reply = site.get("/api/v1?a=b").await;
    assert!(
        reply.body.contains("GET /v1?a=b HTTP/1.1"),
        "{}",
        reply.body
    );
    assert!(reply.body.contains("x-forwarded-prefix: /api"));
    assert!(site.get("/api").await.body.contains("GET / HTTP/1.1"));
    // A name is somebody's: the wildcard does not answer for the rest of it.
    let reply = site.ask("GET /y HTTP/1.1\nHost: only.test\n\n").await;
    assert_eq!((reply.status(), reply.code()), (404, "unknown-host"));
}

#[tokio::test]
async fn own_error_pages_replace_the_routers() {
    let backend = Backend::saying("hello").await;
    let html = Bytes::from_static(b"<p>gone fishing</p>");
    let policy = Policy {
        error_pages: BTreeMap::from([(503, Page { html })]),
        ..Policy::default()
    };
    let site = site(policy.clone(), &backend).await;
    assert_eq!(site.get("/").await.body, "hello");
    let mut route = app(&site, "app", "app.test", policy, &[]);
    route.state = AppState::Crashed;
    site.router.swap(RouteTable::new(vec![route]));
    let reply = site.get("/").await;
    assert_eq!((reply.status(), reply.code()), (503, "H10"));
    assert_eq!(reply.body, "<p>gone fishing</p>");
}

async fn squeezed(site: &Site, accept: &str) -> (String, Vec<u8>) {
    let address = SocketAddr::from(([127, 0, 0, 1], site.port));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: app.test\r\nAccept-Encoding: {accept}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    let end = all.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    (
        String::from_utf8(all[..end].to_vec()).unwrap(),
        all[end..].to_vec(),
    )
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(end) = body.windows(2).position(|w| w == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        all.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 4 + size..];
    }
    all
}

#[tokio::test]
async fn text_is_compressed_for_those_who_take_it() {
    let text = "all work and no play ".repeat(1000);
    let answer = format!(
        "HTTP/1.1 200 OK\nContent-Type: text/html\nETag: \"x\"\nContent-Length: {}\n\n{text}",
        text.len()
    );
    let backend = Backend::start(move |mut wire, _| {
        let answer = answer.clone();
        async move {
            while wire.hear().await.is_some() {
                wire.say(&answer).await;
            }
        }
    })
    .await;
    let policy = Policy {
        compression: Compression::Gzip,
        ..Policy::default()
    };
    let site = site(policy, &backend).await;
    let (head, body) = squeezed(&site, "br, gzip;q=0.8").await;
    let head = head.to_lowercase();
    for line in [
        "content-encoding: gzip",
        "vary: accept-encoding",
        "etag: w/\"x\"",
    ] {
        assert!(head.contains(line), "{line} is not in {head}");
    }
    assert!(!head.contains("content-length"), "{head}");
    let mut plain = String::new();
    let bytes = unchunked(&body);
    assert!(bytes.len() < 1000);
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_string(&mut plain)
        .unwrap();
    assert_eq!(plain, text);
    let (head, body) = squeezed(&site, "gzip;q=0").await;
    assert!(head.to_lowercase().contains("vary: accept-encoding"));
    assert_eq!(body, text.as_bytes());
}

#[tokio::test]
async fn a_compressed_stream_arrives_as_it_is_written() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await.unwrap();
        wire.say(
            "HTTP/1.1 200 OK\nContent-Type: text/plain\nTransfer-Encoding: chunked\n\n5\nfirst\n",
        )
        .await;
        // The rest comes when the client has seen this much, which is when it closes.
        wire.hear().await;
    })
    .await;
    let policy = Policy {
        compression: Compression::Gzip,
        ..Policy::default()
    };
    let site = site(policy, &backend).await;
    let mut stream = TcpStream::connect(("127.0.0.1", site.port)).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\nAccept-Encoding: gzip\r\n\r\n")
        .await
        .unwrap();
    let mut seen = Vec::new();
    let read = async {
        loop {
            stream.read_buf(&mut seen).await.unwrap();
            let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n") else {
                continue;
            };
            let body = &seen[end + 4..];
            let Some(line) = body.windows(2).position(|w| w == b"\r\n") else {
                continue;
            };
            let mut plain = [0; 5];
            let mut decoder = flate2::read::GzDecoder::new(&body[line + 2..]);
            if decoder.read_exact(&mut plain).is_ok() {
                return plain;
            }
        }
    };
    let plain = tokio::time::timeout(Duration::from_secs(5), read).await;
    assert_eq!(&plain.unwrap(), b"first");
}

#[tokio::test]
async fn a_cookie_keeps_a_client_with_its_container() {
    let one = Backend::saying("one").await;
    let second = SocketAddr::new("127.0.0.2".parse().unwrap(), one.address.port());
    let two = Backend::start_at(second, |mut wire, _| async move {
        while wire.hear().await.is_some() {
            wire.say("HTTP/1.1 200 OK\nContent-Length: 3\n\ntwo").await;
        }
    })
    .await;
    let site = Site::start(RouterSettings::default()).await;
    let policy = Policy {
        balance: Balance {
            sticky: Sticky::Cookie,
            ..Balance::default()
        },
        ..Policy::default()
    };
    let route = app(&site, "app", "app.test", policy, &[&one, &two]);
    site.router.swap(RouteTable::new(vec![route]));
    let first = site.get("/").await;
    let cookie = first.header("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    for _ in 0..4 {
        let again = get_with(&site, "/", &format!("Cookie: a=b; {cookie}\n")).await;
        assert_eq!(again.body, first.body);
        assert_eq!(again.header("set-cookie"), None);
    }
    let nobody = get_with(&site, "/", "Cookie: sarsen_affinity=ffff\n").await;
    assert!(nobody.header("set-cookie").is_some());
}

#[tokio::test]
async fn own_timeouts_hold_for_the_app() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await;
        wire.hear().await;
    })
    .await;
    let policy = Policy {
        timeouts: Timeouts {
            first_byte: Some(Duration::from_millis(50)),
            ..Timeouts::default()
        },
        ..Policy::default()
    };
    let site = site(policy, &backend).await;
    let reply = site.get("/").await;
    assert_eq!((reply.status(), reply.code()), (504, "H12"));
    assert_eq!(site.router.stats().apps[0].upstream_errors, 1);
}

#[test]
fn redirects_that_lead_nowhere_are_refused() {
    for (from, to, code) in [
        ("_", "a.test", 301),
        ("a.test", "a.test", 301),
        ("/a", "/a", 301),
        ("a.test", "//evil.test", 301),
        ("a.test", "javascript:x", 301),
        ("a.test", "ftp://x", 301),
        ("a.test", "b.test\r\nX: y", 301),
        ("a.test", "*.test", 301),
        ("a.test", "b.test", 200),
        ("/a?b", "/c", 301),
        ("a test", "/c", 301),
        ("a.test", "", 301),
    ] {
        assert!(Redirect::new(from, to, code).is_err(), "{from} {to} {code}");
    }
    let wild = Redirect::new("*.test", "www.test", 301).unwrap();
    let at = |host| wild.apply("http", host, &"/".parse().unwrap());
    assert_eq!(at("a.b.test").as_deref(), Some("http://www.test/"));
    assert_eq!(
        (at("www.test"), at("test"), at("atest")),
        (None, None, None)
    );
}

proptest! {
    #[test]
    fn the_longest_path_wins_and_only_whole_parts_count(
        prefixes in proptest::collection::btree_set("(/[ab]{1,2}){1,3}", 1..5),
        path in "(/[ab]{1,3}){0,4}/?",
    ) {
        let list: Vec<String> = prefixes.into_iter().collect();
        let apps = list.iter().enumerate().map(|(n, prefix)| AppRoute {
            app: format!("a{n}").parse().unwrap(),
            hosts: vec!["x.test".parse().unwrap()],
            ports: vec![RoutePort::http(80, 1)],
            upstreams: Vec::new(),
            state: AppState::Serving,
            policy: Arc::new(Policy { path: Some(prefix.parse().unwrap()), ..Policy::default() }),
        });
        let table = RouteTable::new(apps.collect());
        let is_below = |p: &&String| path == **p || path.starts_with(&format!("{p}/"));
        let expected = list.iter().filter(is_below).max_by_key(|p| p.len());
        let found = table.find(80, "x.test", &path).map(|r| r.app.policy.path.clone().unwrap().to_string());
        prop_assert_eq!(found.as_ref(), expected);
        prop_assert!(table.find(80, "y.test", &path).is_none());
    }

    #[test]
    fn networks_print_as_they_are_read(a: [u8; 4], bits in 0u32..=32) {
        let ip = std::net::Ipv4Addr::from(a);
        let network: Network = format!("{ip}/{bits}").parse().unwrap();
        prop_assert!(network.contains(ip.into()));
        prop_assert_eq!(network.to_string().parse::<Network>().unwrap(), network);
    }
}
