//! Tests of what is kept about authorities.

use super::*;
use crate::test_support::{TestStore, app};

#[tokio::test]
async fn accounts_are_kept_sealed_and_apart() {
    let store = TestStore::new().await;
    let acme = store.acme();
    let (one, two) = ("https://one.test", "https://two.test");
    for (directory, text) in [(one, "a"), (two, "b"), (one, "c")] {
        let secret = Secret::new(text.to_owned());
        acme.keep_account(directory, "me@x.test", &secret)
            .await
            .unwrap();
    }
    let found = acme.account(one, "me@x.test").await.unwrap();
    assert_eq!(found.unwrap().expose(), "c");
    assert!(acme.account(one, "you@x.test").await.unwrap().is_none());
    assert_eq!(
        store
            .tamper("UPDATE acme_accounts SET email = 'x' WHERE credentials = CAST('b' AS BLOB)")
            .await,
        0
    );
}

#[tokio::test]
async fn failures_add_up_until_it_goes_well() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let acme = store.acme();
    assert_eq!(acme.state(&app("a")).await.unwrap(), None);
    assert!(acme.failed(&app("a"), "no", 5).await.is_err());
    acme.enable(&app("a"), Wanted::Yes).await.unwrap();
    acme.failed(&app("a"), "no", 5).await.unwrap();
    acme.failed(&app("a"), "still no", 9).await.unwrap();
    let state = acme.state(&app("a")).await.unwrap().unwrap();
    let expected = AcmeState {
        is_enabled: true,
        failures: 2,
        retry_at: 9,
        error: Some("still no".to_owned()),
        renew_at: None,
    };
    assert_eq!(state, expected);
    acme.succeeded(&app("a"), 70).await.unwrap();
    let state = acme.all().await.unwrap().remove(&app("a")).unwrap();
    let expected = AcmeState {
        is_enabled: true,
        renew_at: Some(70),
        ..AcmeState::default()
    };
    assert_eq!(state, expected);
    acme.enable(&app("a"), Wanted::No).await.unwrap();
    assert!(!acme.state(&app("a")).await.unwrap().unwrap().is_enabled);
}

#[tokio::test]
async fn orders_are_counted_per_authority_and_names() {
    let store = TestStore::new().await;
    let acme = store.acme();
    for (directory, hosts, outcome) in [
        ("one", "a b", Some(OrderOutcome::Issued)),
        ("one", "a b", Some(OrderOutcome::Failed)),
        ("one", "c", Some(OrderOutcome::Failed)),
        ("one", "a b", None),
        ("two", "a b", Some(OrderOutcome::Issued)),
    ] {
        let id = acme.begin_order(directory, hosts).await.unwrap();
        if let Some(outcome) = outcome {
            acme.end_order(id, outcome).await.unwrap();
        }
    }
    let lately = acme.orders_lately("one", "a b").await.unwrap();
    assert_eq!((lately.recent, lately.same_names, lately.failed), (4, 1, 1));
    assert!(lately.first_failed_at.is_some());
    store.tamper("UPDATE acme_orders SET at = at - 7200").await;
    let lately = acme.orders_lately("one", "a b").await.unwrap();
    assert_eq!((lately.recent, lately.same_names, lately.failed), (4, 1, 0));
    store
        .tamper("UPDATE acme_orders SET at = at - 40 * 86400")
        .await;
    acme.begin_order("one", "z").await.unwrap();
    assert_eq!(acme.orders_lately("one", "a b").await.unwrap().recent, 1);
}
