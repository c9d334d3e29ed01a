//! Config vars against a real database: scopes, layers, and that nothing readable is on disk.

use crate::test_support::{TestStore, app, config, db_path, key};
use crate::{Scope, SealError, StoreError};

fn vars(vars: &[(&str, &str)]) -> Vec<(sarsen_domain::EnvKey, String)> {
    vars.iter()
        .map(|(name, value)| (key(name), (*value).to_owned()))
        .collect()
}

#[tokio::test]
async fn set_unset_replace_clear() {
    let store = TestStore::with_apps(&["a"]).await;
    let (store_config, scope) = (store.config(), Scope::App(app("a")));
    store_config
        .set(&scope, vars(&[("A", "1"), ("B", "2")]))
        .await
        .unwrap();
    store_config
        .set(&scope, vars(&[("B", "zwei 🦀\n"), ("C", "")]))
        .await
        .unwrap();
    let expected = config(&[("A", "1"), ("B", "zwei 🦀\n"), ("C", "")]);
    assert_eq!(store_config.get(&scope).await.unwrap(), expected);
    let removed = store_config
        .unset(&scope, &[key("A"), key("NOT_THERE")])
        .await
        .unwrap();
    assert_eq!(removed, [key("A")]);
    let replacement = config(&[("X", "y")]);
    store_config.replace(&scope, &replacement).await.unwrap();
    assert_eq!(store_config.get(&scope).await.unwrap(), replacement);
    store_config.clear(&scope).await.unwrap();
    assert!(store_config.get(&scope).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_app_wins_over_global_and_others_see_nothing() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let store_config = store.config();
    let (a, b) = (Scope::App(app("a")), Scope::App(app("b")));
    store_config
        .set(&Scope::Global, vars(&[("A", "global"), ("G", "1")]))
        .await
        .unwrap();
    store_config
        .set(&Scope::Global, vars(&[("A", "global again")]))
        .await
        .unwrap();
    store_config.set(&a, vars(&[("A", "own")])).await.unwrap();
    store_config.set(&b, vars(&[("A", "other")])).await.unwrap();
    let merged = store_config.merged(&app("a")).await.unwrap();
    assert_eq!(merged, config(&[("A", "own"), ("G", "1")]));
    let global = store_config.get(&Scope::Global).await.unwrap();
    assert_eq!(global, config(&[("A", "global again"), ("G", "1")]));
    store_config.clear(&Scope::Global).await.unwrap();
    assert_eq!(
        store_config.merged(&app("b")).await.unwrap(),
        config(&[("A", "other")])
    );
}

#[tokio::test]
async fn an_app_that_does_not_exist_has_no_config() {
    let store = TestStore::new().await;
    let scope = Scope::App(app("none"));
    let store_config = store.config();
    assert!(matches!(
        store_config.get(&scope).await,
        Err(StoreError::NoSuchApp(_))
    ));
    assert!(matches!(
        store_config.set(&scope, vars(&[("A", "1")])).await,
        Err(StoreError::NoSuchApp(_))
    ));
    assert!(matches!(
        store_config.merged(&app("none")).await,
        Err(StoreError::NoSuchApp(_))
    ));
}

#[tokio::test]
async fn no_value_is_readable_on_disk() {
    let store = TestStore::with_apps(&["a"]).await;
    let secret = "hunter2-hunter2-hunter2";
    store
        .config()
        .set(&Scope::App(app("a")), vars(&[("PASSWORD", secret)]))
        .await
        .unwrap();
    let build = store.release("a").await.build;
    let mut new = crate::test_support::new_release("a", &build);
    new.config = config(&[("PASSWORD", secret)]);
    store.releases().create(new).await.unwrap();
    store.close().await;
    for file in std::fs::read_dir(store.folder.path()).unwrap() {
        let content = std::fs::read(file.unwrap().path()).unwrap();
        let found = content
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found);
    }
    let content = std::fs::read(db_path(&store.folder)).unwrap();
    assert!(
        content.windows(8).any(|window| window == b"PASSWORD"),
        "the search finds what is there"
    );
}

#[tokio::test]
async fn a_value_moved_or_altered_does_not_open() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let (a, b) = (Scope::App(app("a")), Scope::App(app("b")));
    store
        .config()
        .set(&a, vars(&[("A", "of a"), ("B", "of a")]))
        .await
        .unwrap();
    store
        .config()
        .set(&b, vars(&[("A", "of b")]))
        .await
        .unwrap();
    let swapped = store
        .tamper(
            "UPDATE config SET sealed = (SELECT sealed FROM config WHERE app_id = 1 AND key = 'A') \
                 WHERE app_id = 2",
        )
        .await;
    assert_eq!(swapped, 1);
    let error = store.config().get(&b).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Sealed(SealError::Tampered(name)) if name == "A"),
        "{error}"
    );
    assert!(
        store.config().get(&a).await.is_ok(),
        "the other app is not harmed"
    );
    store
        .tamper("UPDATE config SET sealed = x'00' WHERE app_id = 1 AND key = 'B'")
        .await;
    let error = store.config().merged(&app("a")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "The stored value of B was tampered with or damaged: it does not open"
    );
}
