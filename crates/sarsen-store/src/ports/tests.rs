//! Port mappings against a real database.

use sarsen_domain::PortMapping;

use crate::StoreError;
use crate::test_support::{TestStore, app};

fn mappings(texts: &[&str]) -> Vec<PortMapping> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[tokio::test]
async fn set_replaces_and_keeps_the_order() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let ports = store.ports();
    ports
        .set(&app("a"), &mappings(&["https:443:5000", "http:80:5000"]))
        .await
        .unwrap();
    ports
        .set(
            &app("a"),
            &mappings(&["http:8080:1", "http:80:2", "tcp:5432:3"]),
        )
        .await
        .unwrap();
    let expected = mappings(&["http:8080:1", "http:80:2", "tcp:5432:3"]);
    assert_eq!(ports.list(&app("a")).await.unwrap(), expected);
    assert!(ports.list(&app("b")).await.unwrap().is_empty());
    let all = ports.all().await.unwrap();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [(app("a"), expected)]);
    ports.set(&app("a"), &[]).await.unwrap();
    assert!(ports.all().await.unwrap().is_empty());
    assert!(matches!(
        ports.set(&app("c"), &[]).await,
        Err(StoreError::NoSuchApp(_))
    ));
}

#[tokio::test]
async fn a_damaged_mapping_is_told() {
    let store = TestStore::with_apps(&["a"]).await;
    store
        .ports()
        .set(&app("a"), &mappings(&["http:80:5000"]))
        .await
        .unwrap();
    store.tamper("UPDATE ports SET mapping = 'ftp'").await;
    let error = store.ports().list(&app("a")).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with("The database holds a damaged value: mapping: "),
        "{text}"
    );
}
