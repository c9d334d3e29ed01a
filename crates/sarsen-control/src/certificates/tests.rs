//! Tests of certificates in use.

use super::*;

const DAY: i64 = 24 * 3600;

fn facts(hosts: &[&str]) -> CertificateFacts {
    CertificateFacts {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        subject: String::new(),
        issuer: String::new(),
        starts_at: 10 * DAY,
        expires_at: 100 * DAY,
        is_self_signed: false,
    }
}

fn domains(names: &[&str]) -> Vec<Domain> {
    names
        .iter()
        .map(|name| Domain::parse(name).unwrap())
        .collect()
}

#[test]
fn warnings_come_before_visitors_see_them() {
    let facts = facts(&["a.test", "*.b.test"]);
    for (day, expected) in [
        (5, Some("not valid yet")),
        (50, None),
        (90, Some("expires in 10 days")),
        (100, Some("has expired")),
    ] {
        let found = warning(&facts, &[], day * DAY);
        match expected {
            Some(text) => assert!(found.unwrap().contains(text), "day {day}"),
            None => assert_eq!(found, None),
        }
    }
    let names = uncovered(
        &facts,
        domains(&["a.test", "x.b.test", "b.test", "_", "y.x.b.test"]),
    );
    assert_eq!(names, domains(&["b.test", "y.x.b.test"]));
    let found = warning(&facts, &names, 50 * DAY).unwrap();
    assert_eq!(found, "The certificate is not for b.test, y.x.b.test");
}

#[test]
fn https_follows_http() {
    let parse = |list: &[&str]| {
        list.iter()
            .map(|text| text.parse().unwrap())
            .collect::<Vec<sarsen_domain::PortMapping>>()
    };
    for (before, after) in [
        (
            &["http:80:5000"][..],
            &["http:80:5000", "https:443:5000"][..],
        ),
        (&["http:80:1", "https:443:2"], &["http:80:1", "https:443:2"]),
        (&["http:8080:8080"], &["https:8080:8080"]),
        (&["tcp:1:1"], &["tcp:1:1"]),
    ] {
        assert_eq!(with_https(&parse(before)), parse(after));
    }
}
