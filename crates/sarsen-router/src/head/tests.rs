//! Headers, case by case.

use http::header::{ACCEPT_ENCODING, COOKIE};

use super::*;

fn headers(list: &[(&str, &str)]) -> HeaderMap {
    let pair = |&(name, value): &(&str, &str)| {
        (
            name.parse::<HeaderName>().unwrap(),
            value.parse::<HeaderValue>().unwrap(),
        )
    };
    let mut map = HeaderMap::new();
    for (name, value) in list.iter().map(pair) {
        map.append(name, value);
    }
    map
}

#[derive(Clone, Copy)]
enum Proxy {
    Trusted,
    Unknown,
}

fn voucher(proxy: Proxy) -> Voucher {
    Voucher {
        proto: HeaderValue::from_static("http"),
        client: HeaderValue::from_static("9.9.9.9"),
        is_trusted: matches!(proxy, Proxy::Trusted),
        port: HeaderValue::from_static("80"),
        via: Some(HeaderValue::from_static("1.1 sarsen")),
    }
}

fn prepared(list: &[(&str, &str)], proxy: Proxy) -> HeaderMap {
    let mut map = headers(list);
    let id = request_id(&map).header();
    prepare_request(&mut map, &voucher(proxy), id, None);
    map
}

const SPOOFED: &[(&str, &str)] = &[
    ("host", "a.b"),
    ("x-forwarded-for", "1.1.1.1"),
    ("x-forwarded-for", "2.2.2.2"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-host", "evil.com"),
    ("x-forwarded-prefix", "/x"),
    ("forwarded", "for=1.1.1.1"),
    ("x-real-ip", "1.1.1.1"),
    ("x-request-start", "17"),
    ("x_forwarded_for", "3.3.3.3"),
];

#[test]
fn a_strangers_forwarding_headers_are_replaced() {
    let map = prepared(SPOOFED, Proxy::Unknown);
    assert_eq!(map["x-forwarded-for"], "9.9.9.9");
    assert_eq!(map.get_all("x-forwarded-for").iter().count(), 1);
    assert_eq!(map["x-forwarded-proto"], "http");
    assert_eq!(map["x-forwarded-port"], "80");
    assert_ne!(map["x-request-start"], "17");
    for gone in [
        "x-forwarded-host",
        "x-forwarded-prefix",
        "forwarded",
        "x-real-ip",
        "x_forwarded_for",
    ] {
        assert!(!map.contains_key(gone), "{gone}");
    }
    assert_eq!(map["host"], "a.b");
    assert_eq!(map["via"], "1.1 sarsen");
}

#[test]
fn a_trusted_proxys_are_kept_and_continued() {
    let map = prepared(SPOOFED, Proxy::Trusted);
    assert_eq!(map["x-forwarded-for"], "1.1.1.1, 2.2.2.2, 9.9.9.9");
    assert_eq!(map["x-forwarded-proto"], "https");
    assert_eq!(map["x-forwarded-port"], "443");
    assert_eq!(map["x-forwarded-host"], "evil.com");
    assert_eq!(map["x-request-start"], "17");
    assert!(!map.contains_key("x_forwarded_for"));
}

#[test]
fn hop_by_hop_headers_end_here() {
    let map = prepared(
        &[
            ("host", "a.b"),
            ("connection", "keep-alive, X-Mine, host"),
            ("connection", "x-other, , content-length"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("x-yours", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "secret"),
            ("te", "gzip, trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("upgrade", "websocket"),
            ("expect", "100-continue"),
        ],
        Proxy::Unknown,
    );
    for gone in [
        "connection",
        "x-mine",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "transfer-encoding",
        "upgrade",
        "expect",
    ] {
        assert!(!map.contains_key(gone), "{gone}");
    }
    for (kept, value) in [
        ("host", "a.b"),
        ("x-yours", "1"),
        ("content-length", "3"),
        ("te", "trailers"),
    ] {
        assert_eq!(map[kept], value);
    }
}

#[test]
fn request_ids_are_kept_when_decent() {
    let decent = "a".repeat(20);
    let longest = "Az09+/=-".repeat(25);
    for id in [&decent, &longest] {
        assert_eq!(request_id(&headers(&[("x-request-id", id)])).header(), id);
    }
    for id in [
        "",
        "short",
        &"a".repeat(201),
        "aaaaaaaaaaaaaaaaaaaa\"",
        "aaaaaaaaaaaaaaa aaaaaa",
    ] {
        let new = request_id(&headers(&[("x-request-id", id)])).header();
        let text = new.to_str().unwrap();
        assert_ne!(text, id);
        assert_eq!(text.len(), 36);
        let dashes: Vec<_> = text.match_indices('-').map(|(at, _)| at).collect();
        assert_eq!(dashes, [8, 13, 18, 23]);
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&text.as_bytes()[19]));
    }
    let fresh = || request_id(&HeaderMap::new()).header();
    assert_ne!(fresh(), fresh());
}

#[test]
fn upgrades_must_be_asked_for_properly() {
    let websocket: &[_] = &[
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
    ];
    assert_eq!(
        wanted_upgrade(Version::HTTP_11, &headers(websocket)).unwrap(),
        "websocket"
    );
    assert!(wanted_upgrade(Version::HTTP_10, &headers(websocket)).is_none());
    for refused in [
        &[("upgrade", "websocket")][..],
        &[("connection", "upgrade")],
        &[
            ("connection", "upgrade, http2-settings"),
            ("upgrade", "h2c"),
        ],
        &[("connection", "upgrade"), ("upgrade", "websocket, H2C")],
    ] {
        assert!(
            wanted_upgrade(Version::HTTP_11, &headers(refused)).is_none(),
            "{refused:?}"
        );
    }
    let mut map = headers(websocket);
    prepare_request(
        &mut map,
        &voucher(Proxy::Unknown),
        HeaderValue::from_static("id"),
        Some("websocket".parse().unwrap()),
    );
    assert_eq!(
        (&map["connection"], &map["upgrade"]),
        (&"upgrade".parse().unwrap(), &"websocket".parse().unwrap())
    );
}

#[test]
fn responses_lose_what_concerned_the_upstreams_connection() {
    let mut map = headers(&[
        ("connection", "close, x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("transfer-encoding", "chunked"),
        ("content-length", "7"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("server", "app"),
    ]);
    prepare_response(&mut map, None, None);
    let left: Vec<_> = map
        .iter()
        .map(|(n, v)| format!("{n}: {}", v.to_str().unwrap()))
        .collect();
    assert_eq!(left, ["set-cookie: a=1", "set-cookie: b=2", "server: app"]);
}

#[test]
fn everything_else_passes_untouched() {
    let map = prepared(
        &[
            ("host", "a.b"),
            ("cookie", "a=1"),
            ("accept-encoding", "br"),
            ("via", "1.0 edge"),
            ("trailer", "x"),
        ],
        Proxy::Unknown,
    );
    assert_eq!(
        (&map[COOKIE], &map[ACCEPT_ENCODING], &map["trailer"]),
        (
            &HeaderValue::from_static("a=1"),
            &HeaderValue::from_static("br"),
            &HeaderValue::from_static("x"),
        )
    );
    let via: Vec<_> = map.get_all(VIA).iter().collect();
    assert_eq!(via, ["1.0 edge", "1.1 sarsen"]);
}
