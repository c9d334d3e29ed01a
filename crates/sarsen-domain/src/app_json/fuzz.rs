//! Whatever somebody pushes as app.json, the parser answers: it never panics, and its complaints name the file.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::AppJson;

/// JSON of any form, with the keys that mean something more often than others.
fn value() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "cron",
            "command",
            "schedule",
            "concurrency_policy",
            "maintenance",
            "env",
            "value",
            "generator",
            "required",
            "sync",
            "formation",
            "quantity",
            "max_parallel",
            "web",
            "healthchecks",
            "path",
            "uptime",
            "scripts",
            "dokku",
            "predeploy",
            "postdeploy",
            "buildpacks",
            "url",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec![
            "* * * * *",
            "@daily",
            "secret",
            "forbid",
            "true",
            "/up",
            ""
        ])
        .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_json_is_answered(value in value()) {
        if let Err(error) = AppJson::parse(&value.to_string()) {
            prop_assert!(error.to_string().contains("app.json"), "{}", error);
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        if let Err(error) = AppJson::parse(&text) {
            prop_assert!(error.to_string().contains("app.json"), "{}", error);
        }
    }

    #[test]
    fn what_is_well_formed_is_read(command in "[a-z][a-z ]{0,30}[a-z]", minute in 0_u8..60, count in 0_u32..500) {
        let text = json!({
            "cron": [{"command": command, "schedule": format!("{minute} * * * *")}],
            "formation": {"web": {"quantity": count}},
        });
        let read = AppJson::parse(&text.to_string()).unwrap();
        prop_assert_eq!(&read.cron[0].command, &command);
        prop_assert_eq!(read.formation.quantity(&crate::ProcessType::web()), count);
    }
}
