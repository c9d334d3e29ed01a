//! Keys and sessions against a real database.

use super::{KvChange, KvEntry, KvSession, KvState};
use crate::test_support::TestStore;

fn entry(key: &str, index: u64) -> KvEntry {
    KvEntry {
        key: key.to_owned(),
        value: vec![0, 159, 146, 150],
        flags: u64::MAX,
        lock_index: 2,
        session: Some("s".to_owned()),
        create_index: 1,
        modify_index: index,
    }
}

fn session(id: &str) -> KvSession {
    KvSession {
        id: id.to_owned(),
        name: "leader".to_owned(),
        node: "here".to_owned(),
        ttl: 10_000,
        lock_delay: 15_000,
        deletes: true,
        node_checks: vec!["serfHealth".to_owned()],
        service_checks: vec!["service:web".to_owned()],
        create_index: 2,
        modify_index: 2,
    }
}

#[tokio::test]
async fn what_a_change_leaves_is_read_again() {
    let store = TestStore::with_apps(&[]).await;
    let empty = store.key_values().load().await.unwrap();
    assert_eq!((empty.index, empty.entries.len()), (1, 0));
    let change = KvChange {
        index: 3,
        entries: vec![entry("a", 3), entry("b", 3)],
        sessions: vec![session("s"), session("t")],
        ..KvChange::default()
    };
    store.key_values().apply(&change).await.unwrap();
    let change = KvChange {
        index: 4,
        entries: vec![entry("a", 4)],
        removed_entries: vec!["b".to_owned(), "never".to_owned()],
        removed_sessions: vec!["t".to_owned()],
        ..KvChange::default()
    };
    store.key_values().apply(&change).await.unwrap();
    let expected = KvState {
        entries: vec![entry("a", 4)],
        sessions: vec![session("s")],
        index: 4,
    };
    assert_eq!(store.key_values().load().await.unwrap(), expected);
}
