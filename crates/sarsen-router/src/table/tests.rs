//! Look-ups, case by case.

use super::*;

fn app(name: &str, hosts: &[&str], ports: &[(u16, u16)]) -> AppRoute {
    AppRoute {
        app: name.parse().unwrap(),
        hosts: hosts.iter().map(|h| h.parse().unwrap()).collect(),
        ports: ports
            .iter()
            .map(|&(host, container)| RoutePort::http(host, container))
            .collect(),
        upstreams: Vec::new(),
        state: AppState::Serving,
        policy: Arc::default(),
    }
}

fn table() -> RouteTable {
    RouteTable::new(vec![
        app(
            "shop",
            &["shop.example.com", "www.shop.com"],
            &[(80, 5000), (8080, 3000)],
        ),
        app("wild", &["*.example.com"], &[(80, 5000)]),
        app("deep", &["*.eu.example.com"], &[(80, 5000)]),
        app("rest", &["_"], &[(8080, 5000)]),
        app(
            "thief",
            &["shop.example.com", "*.example.com", "_"],
            &[(80, 1), (9090, 1)],
        ),
        app("quiet", &[], &[(7000, 5000)]),
    ])
}

#[test]
fn exact_then_longest_wildcard_then_catch_all() {
    let table = table();
    for (port, host, expected) in [
        (80, "shop.example.com", Some(("shop", 5000))),
        (8080, "shop.example.com", Some(("shop", 3000))),
        (80, "SHOP.Example.Com.:80", Some(("shop", 5000))),
        (80, "other.example.com", Some(("wild", 5000))),
        (80, "a.b.example.com", Some(("wild", 5000))),
        (80, "a.eu.example.com", Some(("deep", 5000))),
        (80, "a.b.eu.example.com", Some(("deep", 5000))),
        (80, "eu.example.com", Some(("wild", 5000))),
        (80, "example.com", Some(("thief", 1))),
        (80, "unknown.org", Some(("thief", 1))),
        (8080, "unknown.org", Some(("rest", 5000))),
        (8080, "[::1]:8080", Some(("rest", 5000))),
        (9090, "shop.example.com", Some(("thief", 1))),
        (7000, "anything", None),
        (443, "shop.example.com", None),
        (80, "not a host", None),
        (80, "", None),
    ] {
        let found = table.find(port, host, "/");
        let found = found.map(|r| (r.app.app.as_str(), r.port.container_port));
        assert_eq!(found, expected, "{host} on {port}");
    }
}

#[test]
fn a_catch_all_is_not_a_name() {
    let table = RouteTable::new(vec![
        app("any", &["_"], &[(80, 1)]),
        app("b", &["b.c"], &[(81, 1)]),
    ]);
    assert!(table.find(80, "_", "/").is_some());
    assert!(table.find(81, "_", "/").is_none());
}

#[test]
fn the_mapping_gives_the_upstreams_port() {
    let upstream = Upstream {
        instance: 1,
        dyno: "web.1".to_owned(),
        ip: "172.17.0.2".parse().unwrap(),
    };
    let table = table();
    let route = table.find(8080, "shop.example.com", "/").unwrap();
    assert_eq!(
        upstream.address(route.port),
        "172.17.0.2:3000".parse().unwrap()
    );
}

#[test]
fn raw_ports_belong_to_one_app_whatever_its_names() {
    let raw = |kind, host_port| RoutePort {
        kind,
        ..RoutePort::http(host_port, 5432)
    };
    let mut first = app("first", &[], &[]);
    first.ports = vec![raw(PortKind::Tcp, 5432), raw(PortKind::Udp, 53)];
    let mut second = app("second", &["_"], &[(80, 5000)]);
    second
        .ports
        .extend([raw(PortKind::Tcp, 5432), raw(PortKind::Tcp, 53)]);
    let table = RouteTable::new(vec![first, second]);
    let app_at = |kind, port| table.locate_raw(kind, port).map(|target| target.app);
    assert_eq!(app_at(PortKind::Tcp, 5432), Some(0));
    assert_eq!(app_at(PortKind::Tcp, 53), Some(1));
    assert_eq!(app_at(PortKind::Udp, 53), Some(0));
    assert_eq!(app_at(PortKind::Udp, 5432), None);
    assert!(table.find(5432, "any.test", "/").is_none());
}
