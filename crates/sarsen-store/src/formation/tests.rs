//! Formations against a real database.

use sarsen_domain::Formation;

use crate::StoreError;
use crate::test_support::{TestStore, app, process};

#[tokio::test]
async fn set_leaves_the_other_types_alone() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let formations = store.formation();
    let change: Formation = [(process("worker"), 2), (process("clock"), 0)]
        .into_iter()
        .collect();
    formations.set(&app("a"), &change).await.unwrap();
    let change: Formation = [(process("worker"), 3)].into_iter().collect();
    formations.set(&app("a"), &change).await.unwrap();
    let formation = formations.get(&app("a")).await.unwrap();
    let expected: Formation = [
        (process("web"), 1),
        (process("worker"), 3),
        (process("clock"), 0),
    ]
    .into_iter()
    .collect();
    assert_eq!(formation, expected);
    let all = formations.all().await.unwrap();
    assert_eq!(all.get(&app("a")), Some(&expected));
    assert_eq!(all.get(&app("b")), Some(&Formation::initial()));
    assert!(matches!(
        formations.get(&app("c")).await,
        Err(StoreError::NoSuchApp(_))
    ));
}
