//! The audit trail against a real database.

use serde_json::{Value, json};

use super::NewEvent;
use crate::test_support::TestStore;

async fn append(store: &TestStore, action: &str, detail: &Value) {
    let event = NewEvent {
        actor: "ann",
        source_ip: Some("192.0.2.7".parse().unwrap()),
        action,
        object: "app",
        detail,
    };
    store.events().append(event).await.unwrap();
}

#[tokio::test]
async fn entries_come_back_newest_first() {
    let store = TestStore::new().await;
    append(&store, "apps:create", &Value::Null).await;
    append(&store, "config:set", &json!({"keys": ["A"]})).await;
    let local = NewEvent {
        actor: "root",
        source_ip: None,
        action: "x",
        object: "",
        detail: &json!(1),
    };
    store.events().append(local).await.unwrap();
    let list = store.events().list(2).await.unwrap();
    let actions: Vec<_> = list.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["x", "config:set"]);
    assert_eq!((list[0].source_ip, list[0].actor.as_str()), (None, "root"));
    assert_eq!(list[1].detail, json!({"keys": ["A"]}));
    assert_eq!(list[1].source_ip, Some("192.0.2.7".parse().unwrap()));
    assert!(list[1].at_ms > 1_700_000_000_000);
    assert_eq!(store.events().first_broken().await.unwrap(), None);
}

#[tokio::test]
async fn tampering_shows_where_it_began() {
    for (sql, broken) in [
        ("UPDATE events SET actor = 'bob' WHERE id = 3", Some(3)),
        ("UPDATE events SET detail = '{}' WHERE id = 5", Some(5)),
        ("UPDATE events SET source_ip = NULL WHERE id = 1", Some(1)),
        (
            "UPDATE events SET actor = 'an', action = 'ndo' WHERE id = 2",
            Some(2),
        ),
        ("DELETE FROM events WHERE id = 2", Some(3)),
        ("DELETE FROM events WHERE id = 1", Some(2)),
        ("UPDATE events SET hash = x'00' WHERE id = 4", Some(4)),
        ("UPDATE events SET id = 9 WHERE id = 2", Some(3)),
    ] {
        let store = TestStore::new().await;
        for _ in 0..5 {
            append(&store, "do", &Value::Null).await;
        }
        assert_eq!(store.tamper(sql).await, 1, "{sql}");
        assert_eq!(
            store.events().first_broken().await.unwrap(),
            broken,
            "{sql}"
        );
    }
}

#[tokio::test]
async fn a_long_chain_is_checked_page_by_page() {
    let store = TestStore::new().await;
    let pages = usize::try_from(super::PAGE).unwrap() + 5;
    for _ in 0..pages {
        append(&store, "do", &Value::Null).await;
    }
    assert_eq!(store.events().first_broken().await.unwrap(), None);
    store
        .tamper("UPDATE events SET object = 'x' WHERE id = (SELECT max(id) FROM events)")
        .await;
    let last = store.events().list(1).await.unwrap()[0].id;
    assert_eq!(store.events().first_broken().await.unwrap(), Some(last));
}
