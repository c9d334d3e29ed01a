//! Times and checks as containers write them.

use super::*;
use sarsen_domain::{ContainerId, Health};
use std::collections::BTreeMap;

fn check(values: &[(&str, &str)]) -> Option<CheckSpec> {
    let service = Service {
        id: "h:c:80".into(),
        name: "c".into(),
        address: "127.0.0.1:8080".parse().unwrap(),
        tags: vec![],
        attributes: BTreeMap::new(),
        health: Health::Passing,
        container: ContainerId::parse("abc").unwrap(),
        owner: None,
    };
    check_of(&service, &Metadata::given(values), 80)
}

#[test]
fn times_are_written_as_in_go() {
    for (text, millis) in [
        ("10s", Some(10_000)),
        ("1m30s", Some(90_000)),
        ("500ms", Some(500)),
        ("1.5h", Some(5_400_000)),
        ("0", Some(0)),
        ("", None),
        ("10", None),
        ("s", None),
        ("-1s", None),
        ("1d", None),
        ("1..2s", None),
    ] {
        let expected = millis.map(Duration::from_millis);
        assert_eq!(duration(text), expected, "{text}");
    }
}

#[test]
fn the_first_of_several_checks_counts() {
    let all = [
        ("CHECK_HTTP", "up"),
        ("CHECK_HTTPS", "/s"),
        ("CHECK_CMD", "c"),
        ("CHECK_SCRIPT", "s"),
        ("CHECK_TTL", "5s"),
        ("CHECK_TCP", "true"),
    ];
    let probe = |from: usize| check(&all[from..]).unwrap().probe;
    let url = |probe: Probe| {
        let Probe::Http(http) = probe else {
            panic!("{probe:?}");
        };
        http.url
    };
    assert_eq!(url(probe(0)), "http://127.0.0.1:8080/up");
    assert_eq!(url(probe(1)), "https://127.0.0.1:8080/s");
    for (from, text) in [(2, "c"), (3, "s")] {
        let Probe::Command { argv, env, .. } = probe(from) else {
            panic!("{from}");
        };
        assert_eq!(argv, ["/bin/sh", "-c", text]);
        assert_eq!(env, ["SERVICE_IP=127.0.0.1", "SERVICE_PORT=8080"]);
    }
    assert_eq!(probe(4), Probe::Ttl(Duration::from_secs(5)));
    assert_eq!(probe(5), Probe::Tcp("127.0.0.1:8080".into()));
    assert_eq!(check(&[]), None);
    assert_eq!(check(&[("CHECK_TCP", "false")]), None);
}

#[test]
fn modifiers_are_read_and_what_cannot_be_is_told() {
    let spec = check(&[
        ("CHECK_HTTP", "/"),
        ("CHECK_HTTP_METHOD", "head"),
        ("CHECK_INTERVAL", "2s"),
        ("CHECK_TIMEOUT", "500ms"),
        ("CHECK_INITIAL_STATUS", "passing"),
        ("CHECK_FAILURES_BEFORE_CRITICAL", "3"),
        ("CHECK_SUCCESS_BEFORE_PASSING", "0"),
    ]);
    let spec = spec.unwrap();
    assert_eq!(spec.id, "service:h:c:80");
    assert_eq!(
        (spec.interval, spec.timeout),
        (Duration::from_secs(2), Duration::from_millis(500))
    );
    assert_eq!(spec.initial, CheckStatus::Passing);
    assert_eq!((spec.passes_needed, spec.failures_needed), (1, 3));
    assert_eq!(spec.notes, "");
    assert!(matches!(spec.probe, Probe::Http(http) if http.method == "HEAD"));
    let odd = check(&[("CHECK_TCP", "1"), ("CHECK_INTERVAL", "soon")]).unwrap();
    assert_eq!(odd.interval, CheckSpec::INTERVAL);
    assert_eq!(
        odd.notes,
        "SERVICE_CHECK_INTERVAL=soon cannot be read: 10s counts"
    );
    assert_eq!(odd.initial, CheckStatus::Critical);
    let quick = check(&[("CHECK_TCP", "1"), ("CHECK_INTERVAL", "1ms")]).unwrap();
    assert_eq!(quick.interval, INTERVAL_MIN);
}
