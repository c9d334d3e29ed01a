//! Properties against a real database.

use std::collections::BTreeMap;

use crate::test_support::{TestStore, app};
use crate::{Scope, StoreError};

#[tokio::test]
async fn the_app_speaks_before_global() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let properties = store.properties();
    let a = Scope::App(app("a"));
    assert_eq!(
        properties
            .effective(&app("a"), "git", "deploy-branch")
            .await
            .unwrap(),
        None
    );
    properties
        .set(&Scope::Global, "git", "deploy-branch", "main")
        .await
        .unwrap();
    let effective = properties
        .effective(&app("a"), "git", "deploy-branch")
        .await
        .unwrap();
    assert_eq!(effective.as_deref(), Some("main"));
    properties
        .set(&a, "git", "deploy-branch", "trunk")
        .await
        .unwrap();
    properties
        .set(&a, "git", "deploy-branch", "")
        .await
        .unwrap();
    let effective = properties
        .effective(&app("a"), "git", "deploy-branch")
        .await
        .unwrap();
    assert_eq!(effective.as_deref(), Some(""), "an empty value is a value");
    assert_eq!(
        properties
            .get(&Scope::App(app("b")), "git", "deploy-branch")
            .await
            .unwrap(),
        None
    );
    properties.unset(&a, "git", "deploy-branch").await.unwrap();
    properties.unset(&a, "git", "deploy-branch").await.unwrap();
    let effective = properties
        .effective(&app("a"), "git", "deploy-branch")
        .await
        .unwrap();
    assert_eq!(effective.as_deref(), Some("main"));
}

#[tokio::test]
async fn plugins_do_not_see_each_other() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let properties = store.properties();
    let (a, b) = (Scope::App(app("a")), Scope::App(app("b")));
    properties.set(&a, "nginx", "x", "1").await.unwrap();
    properties.set(&a, "nginx", "y", "2").await.unwrap();
    properties.set(&a, "caddy", "x", "3").await.unwrap();
    properties.set(&b, "nginx", "x", "4").await.unwrap();
    properties
        .set(&Scope::Global, "nginx", "x", "5")
        .await
        .unwrap();
    let of = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    assert_eq!(
        properties.all(&a, "nginx").await.unwrap(),
        of(&[("x", "1"), ("y", "2")])
    );
    assert_eq!(
        properties.all(&Scope::Global, "nginx").await.unwrap(),
        of(&[("x", "5")])
    );
    let by_app = properties.by_app("nginx", "x").await.unwrap();
    let expected = [(app("a"), "1".to_owned()), (app("b"), "4".to_owned())];
    assert_eq!(by_app, BTreeMap::from(expected));
    let nobody = properties
        .set(&Scope::App(app("none")), "nginx", "x", "1")
        .await;
    assert!(matches!(nobody, Err(StoreError::NoSuchApp(_))));
}

#[tokio::test]
async fn passwords_are_sealed_and_those_of_earlier_versions_are_sealed_at_the_start() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let (a, key) = (Scope::App(app("a")), "vector-sink");
    let sink = "https://ada:s3cret@logs.example.com/";
    let properties = store.properties();
    properties.set(&a, "logs", key, sink).await.unwrap();
    let global = [("vector-cron-sink".to_owned(), Some(sink.to_owned()))];
    properties
        .change(&Scope::Global, "logs", &global)
        .await
        .unwrap();
    store
        .tamper(
            "INSERT INTO properties SELECT id, 'logs', 'vector-cron-sink', 'https://old:0ld@x/' \
             FROM apps WHERE name = 'b'",
        )
        .await;
    let store = store.reopened().await;
    let dump = store.dump().await.unwrap();
    assert!(!dump.contains("s3cret") && !dump.contains("0ld"), "{dump}");
    let properties = store.properties();
    let own = properties.get(&a, "logs", key).await.unwrap();
    assert_eq!(own.as_deref(), Some(sink));
    let all = properties.all(&Scope::Global, "logs").await.unwrap();
    assert_eq!(all["vector-cron-sink"], sink);
    for (name, expected) in [("a", sink), ("b", "https://old:0ld@x/")] {
        let effective = properties
            .effective(&app(name), "logs", "vector-cron-sink")
            .await
            .unwrap();
        assert_eq!(effective.as_deref(), Some(expected), "{name}");
    }
    let by_app = properties.by_app("logs", key).await.unwrap();
    assert_eq!(by_app[&app("a")], sink);
    assert_eq!(properties.of_scope(&a).await.unwrap(), []);
    // Sealed for its app.
    store
        .apps()
        .clone_as(&app("a"), &app("copy"))
        .await
        .unwrap();
    let copied = properties.get(&app("copy").into(), "logs", key).await;
    assert_eq!(copied.unwrap().as_deref(), Some(sink));
    store
        .tamper("UPDATE properties SET app_id = (SELECT id FROM apps WHERE name = 'b') WHERE key = 'vector-sink' AND app_id = (SELECT id FROM apps WHERE name = 'a')")
        .await;
    assert!(properties.get(&app("b").into(), "logs", key).await.is_err());
}
