//! What is written comes back, per app, and secrets are not legible in the file.

use super::*;
use crate::Scope;
use crate::test_support::{TestStore, app};

#[tokio::test]
async fn every_wish_comes_back_with_its_app() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let routing = store.routing();
    let (a, b) = (app("a"), app("b"));
    let to = |destination: &str| StoredRedirect {
        source: "old.test".to_owned(),
        destination: destination.to_owned(),
        code: 301,
    };
    routing.set_redirect(&a, &to("x.test")).await.unwrap();
    routing.set_redirect(&a, &to("y.test")).await.unwrap();
    routing.set_user(&a, "ann", "$2b$hash").await.unwrap();
    routing.set_user(&b, "bob", "$2b$other").await.unwrap();
    routing.add_address(&b, "10.0.0.0/8").await.unwrap();
    routing.add_address(&b, "10.0.0.0/8").await.unwrap();
    routing.set_page(&b, "maintenance", b"<p>").await.unwrap();
    let properties = store.properties();
    let (scope, global) = (Scope::from(&a), Scope::Global);
    properties
        .set(&scope, "nginx", "hsts", "false")
        .await
        .unwrap();
    properties.set(&scope, "git", "x", "y").await.unwrap();
    properties
        .set(&global, "nginx", "hsts", "true")
        .await
        .unwrap();
    let (all, global) = routing.all(&["nginx", "router"]).await.unwrap();
    let key = ("nginx".to_owned(), "hsts".to_owned());
    assert_eq!(all[&a].redirects, [to("y.test")]);
    assert_eq!(all[&a].users["ann"], "$2b$hash");
    assert_eq!(all[&a].properties.len(), 1);
    assert_eq!(all[&a].properties[&key], "false");
    assert_eq!(global.properties[&key], "true");
    assert_eq!(all[&b].addresses, ["10.0.0.0/8"]);
    assert_eq!(all[&b].pages["maintenance"], b"<p>");
    assert!(routing.remove_page(&b, "maintenance").await.unwrap());
    assert!(!routing.remove_page(&b, "maintenance").await.unwrap());
    assert!(routing.remove_user(&a, "ann").await.unwrap());
    assert!(!routing.unset_redirect(&b, "old.test").await.unwrap());
    store.apps().destroy(&b).await.unwrap();
    let (all, _) = routing.all(&["nginx"]).await.unwrap();
    assert!(!all.contains_key(&b) && all[&a].users.is_empty());
}

#[tokio::test]
async fn a_hash_opens_for_its_user_only() {
    let store = TestStore::with_apps(&["a"]).await;
    let a = app("a");
    store
        .routing()
        .set_user(&a, "ann", "$2b$hash")
        .await
        .unwrap();
    let readable = store
        .tamper("UPDATE http_auth_users SET name = 'eve' WHERE hash LIKE '%$2b$%'")
        .await;
    assert_eq!(readable, 0);
    store
        .tamper("UPDATE http_auth_users SET name = 'eve'")
        .await;
    assert!(store.routing().all(&[]).await.is_err());
}
