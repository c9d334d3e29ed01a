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
