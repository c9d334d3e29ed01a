//! Tests of what is kept of certificates.

use super::*;
use crate::test_support::{TestStore, app};

fn new(text: &str) -> NewCertificate {
    NewCertificate {
        source: CertificateSource::Imported,
        chain: format!("chain {text}"),
        key: Secret::new(format!("key {text}")),
    }
}

async fn shown(store: &TestStore) -> Option<String> {
    let found = store.certificates().get(&app("a")).await.unwrap()?;
    assert_eq!(found.key.expose().replace("key", "chain"), found.chain);
    Some(found.chain)
}

#[tokio::test]
async fn the_last_one_counts_and_a_few_are_kept() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let certificates = store.certificates();
    assert_eq!(shown(&store).await, None);
    for text in ["1", "2", "3", "4", "5", "6"] {
        certificates.set(&app("a"), &new(text)).await.unwrap();
    }
    let id = certificates.get(&app("a")).await.unwrap().unwrap().id;
    assert_eq!(certificates.current().await.unwrap(), [(app("a"), id)]);
    assert!(!certificates.exists(&app("b")).await.unwrap());
    certificates.rollback(&app("a")).await.unwrap().unwrap();
    assert_eq!(shown(&store).await.as_deref(), Some("chain 5"));
    // The newest is among the kept ones now, so going back again returns to it.
    certificates.rollback(&app("a")).await.unwrap().unwrap();
    assert_eq!(shown(&store).await.as_deref(), Some("chain 6"));
    assert!(certificates.remove(&app("a")).await.unwrap());
    assert!(!certificates.remove(&app("a")).await.unwrap());
    assert!(certificates.rollback(&app("a")).await.unwrap().is_none());
}

#[tokio::test]
async fn keys_are_sealed_for_their_row_and_go_with_the_app() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    store
        .certificates()
        .set(&app("a"), &new("1"))
        .await
        .unwrap();
    store
        .certificates()
        .set(&app("b"), &new("2"))
        .await
        .unwrap();
    let readable = store
        .tamper("UPDATE certificates SET chain = 'x' WHERE instr(key, 'key') > 0")
        .await;
    assert_eq!(readable, 0, "a key is readable in the database");
    store
        .tamper("UPDATE certificates SET key = (SELECT key FROM certificates WHERE id = 2) WHERE id = 1")
        .await;
    let error = store.certificates().get(&app("a")).await.unwrap_err();
    assert!(error.to_string().contains("tampered"), "{error}");
    store.apps().destroy(&app("a")).await.unwrap();
    assert_eq!(store.certificates().current().await.unwrap().len(), 1);
}
