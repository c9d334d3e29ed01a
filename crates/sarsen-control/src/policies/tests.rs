//! From stored wishes to policies.

use sarsen_store::StoredRedirect;

use super::*;

fn wishes(app: &[(&str, &str, &str)], global: &[(&str, &str, &str)]) -> Wishes {
    let of = |list: &[(&str, &str, &str)]| RoutingWishes {
        properties: list
            .iter()
            .map(|(plugin, key, value)| {
                (
                    ((*plugin).to_owned(), (*key).to_owned()),
                    (*value).to_owned(),
                )
            })
            .collect(),
        ..RoutingWishes::default()
    };
    Wishes {
        apps: BTreeMap::from([("a".parse().unwrap(), of(app))]),
        global: of(global),
    }
}

fn policy(wishes: &Wishes) -> Policy {
    let (policy, problems) = wishes.policy(&"a".parse().unwrap());
    assert_eq!(problems, Vec::<String>::new());
    policy
}

#[test]
fn nobody_who_wished_nothing_is_limited() {
    let policy = policy(&Wishes::default());
    assert_eq!((policy.max_body, policy.rate), (None, None));
    assert!(policy.auth.is_none() && policy.maintenance.is_none());
    assert_eq!(policy.https.hsts.unwrap().max_age, 15_724_800);
    assert_eq!(policy.timeouts, Timeouts::default());
    assert_eq!(policy.compression, Compression::Gzip);
}

#[test]
fn an_apps_own_values_come_before_the_global_ones() {
    let wishes = wishes(
        &[
            ("nginx", "client-max-body-size", "50m"),
            ("nginx", "proxy-read-timeout", "120s"),
            ("router", "path-prefix", "/api"),
            ("router", "strip-path", "true"),
            ("router", "rate-limit", "5"),
            ("router", "response-headers", "'X-A: b' -Server"),
            ("maintenance", "enabled", "true"),
        ],
        &[
            ("nginx", "client-max-body-size", "1m"),
            ("nginx", "hsts", "false"),
            ("router", "balance", "least-requests"),
        ],
    );
    let policy = policy(&wishes);
    assert_eq!(policy.max_body, Some(50 << 20));
    assert_eq!(policy.timeouts.first_byte, Some(Duration::from_secs(120)));
    assert_eq!(policy.timeouts.idle, policy.timeouts.first_byte);
    let path = policy.path.unwrap();
    assert_eq!((path.as_str(), path.fate), ("/api", PrefixFate::Stripped));
    assert_eq!(policy.rate, Some(Rate::per_second(5, 5)));
    assert_eq!(policy.response_headers.len(), 2);
    assert_eq!(policy.https.hsts, None);
    assert_eq!(policy.balance.by, BalanceBy::LeastRequests);
    assert!(policy.maintenance.is_some());
}

#[test]
fn what_cannot_be_read_is_left_out_and_named() {
    let mut wishes = wishes(&[("nginx", "client-max-body-size", "huge")], &[]);
    let app = wishes.apps.values_mut().next().unwrap();
    app.redirects.push(StoredRedirect {
        source: "_".to_owned(),
        destination: "x.test".to_owned(),
        code: 301,
    });
    let (policy, problems) = wishes.policy(&"a".parse().unwrap());
    assert_eq!(problems.len(), 2);
    assert!(policy.max_body.is_none() && policy.redirects.is_empty());
}

#[test]
fn times_and_sizes() {
    assert_eq!(parse_time("60").unwrap(), parse_time("1m").unwrap());
    assert_eq!(parse_time("500ms").unwrap(), Duration::from_millis(500));
    for bad in [
        "",
        "0",
        "s",
        "-1s",
        "1d",
        "25h",
        "1 s",
        "99999999999999999999",
    ] {
        assert!(parse_time(bad).is_err(), "{bad:?}");
    }
    assert_eq!(parse_size("0").unwrap(), 0);
    assert_eq!(parse_size("2G").unwrap(), 2 << 30);
    for bad in ["", "m", "-1", "1mb", "1.5m", "99999999999999g"] {
        assert!(parse_size(bad).is_err(), "{bad:?}");
    }
    assert!(parse_rules("'X: y").is_err() && parse_rules("Host:x").is_err());
    assert_eq!(parse_networks("10.0.0.1, ::/0").unwrap().len(), 2);
}
