//! What filters let through.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::Filter;

fn row() -> Value {
    json!({
        "Node": {"Node": "baz", "Meta": {"os": "linux", "a.b": "x"}, "Address": "10.0.0.1"},
        "Service": {
            "ID": "web1", "Service": "web", "Tags": ["v1", "public"], "Port": 443, "Address": "",
            "Meta": {"version": "1"}, "EnableTagOverride": false, "Connect": {"Native": true},
        },
        "Checks": [],
        "All": [{"Status": "passing"}, {"Status": "critical"}],
        "NodeMeta": null,
    })
}

fn fits(filter: &str) -> Result<bool, String> {
    let kept = Filter::parse(filter)?.rows(vec![row()])?;
    Ok(!kept.is_empty())
}

#[test]
fn every_operator_says_what_it_should() {
    for (filter, expected) in [
        ("Service.Service == web", true),
        ("Service.Service==\"web\"", true),
        ("Service.Service != `web`", false),
        ("Service.Port == 443", true),
        ("Service.Port != 443", false),
        ("Service.EnableTagOverride == false", true),
        ("Service.EnableTagOverride == true", false),
        ("v1 in Service.Tags", true),
        ("v2 not in Service.Tags", true),
        ("Service.Tags contains \"public\"", true),
        ("Service.Tags not contains public", false),
        ("os in Node.Meta", true),
        ("Service.ID contains eb", true),
        ("Checks is empty", true),
        ("Checks.Status == critical", false),
        ("All.Status == critical", true),
        ("All.Status != passing", true),
        ("All.Status == warning", false),
        ("Service.Tags is not empty", true),
        ("Service.Address is empty", true),
        ("Service.Address == ``", true),
        ("Service.ID matches `^web[0-9]+$`", true),
        ("Service.ID not matches `^db`", true),
        ("Node.Meta[\"a.b\"] == x", true),
        ("Node[\"Meta\"].os == linux", true),
        ("Node.Address == 10.0.0.1", true),
        ("Service.Connect.Native == true", true),
    ] {
        assert_eq!(fits(filter), Ok(expected), "{filter}");
    }
}

#[test]
fn and_binds_before_or_and_not_before_both() {
    for (filter, expected) in [
        (
            "Service.Port == 1 and Service.Port == 2 or Node.Node == baz",
            true,
        ),
        (
            "Node.Node == baz or Service.Port == 1 and Service.Port == 2",
            true,
        ),
        (
            "(Node.Node == baz or Service.Port == 1) and Service.Port == 2",
            false,
        ),
        ("not Service.Port == 1 and Node.Node == baz", true),
        ("not (Service.Port == 1 or Node.Node == baz)", false),
        ("not not Node.Node == baz", true),
    ] {
        assert_eq!(fits(filter), Ok(expected), "{filter}");
    }
}

#[test]
fn what_is_not_there_equals_nothing_or_is_a_mistake() {
    for (filter, expected) in [
        ("Node.Meta.rack == r1", false),
        ("Node.Meta.rack != r1", true),
        ("r1 in Node.Meta.rack", false),
        ("Node.Meta.rack is empty", true),
        ("Node.Meta.rack is not empty", false),
        ("NodeMeta.rack != r1", true),
        ("Service.Kind == ``", true),
        ("Service.Proxy.DestinationServiceName == web", false),
        ("Service.TaggedAddresses.lan.Port != 80", true),
    ] {
        assert_eq!(fits(filter), Ok(expected), "{filter}");
    }
    for filter in [
        "Colour == red",
        "Service.Colour == red",
        "Service.Port.Low == 1",
    ] {
        assert!(
            fits(filter).unwrap_err().contains("is not valid"),
            "{filter}"
        );
    }
    for filter in [
        "Service.Port is empty",
        "Service.Tags == v1",
        "Service.Port == many",
    ] {
        assert!(
            fits(filter).unwrap_err().contains("does not fit"),
            "{filter}"
        );
    }
}

#[test]
fn what_cannot_be_read_is_told() {
    let deep = "(".repeat(1000);
    let long = "a".repeat(5000);
    for filter in [
        "",
        "Node",
        "== x",
        "Node ==",
        "Node == x y",
        "Node = x",
        "(Node == x",
        "Node == \"x",
        "Node is full",
        "Node likes x",
        "Node[x] == y",
        "Node[\"x\" == y",
        "Node matches `(`",
        "Node == x and",
        "\"Node\" == x",
        "Node..x == y",
        "Node == \"\\q\"",
        "§",
        &deep,
        &long,
    ] {
        assert!(Filter::parse(filter).is_err(), "{filter}");
    }
}

/// Texts that look like filters.
fn texts() -> impl Strategy<Value = String> {
    let words = [
        "Node",
        "Service.Meta",
        ".version",
        "[\"os\"]",
        "==",
        "!=",
        "in",
        "not",
        "contains",
        "is",
        "empty",
        "matches",
        "and",
        "or",
        "(",
        ")",
        "`x`",
        "\"1\"",
        "-3",
        "[",
        "\\",
        "é",
    ];
    let word = prop::sample::select(words.to_vec());
    prop::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_text_is_an_answer_or_a_complaint(text in prop_oneof![texts(), any::<String>()]) {
        let negated = fits(&format!("not ({text})"));
        match fits(&text) {
            Ok(is_so) => prop_assert_eq!(negated, Ok(!is_so)),
            Err(why) => prop_assert!(!why.is_empty()),
        }
    }
}
