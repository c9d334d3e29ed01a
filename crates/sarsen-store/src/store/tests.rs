//! Opening, keys, modes, and that released migrations stay as they are.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::MIGRATIONS;
use crate::test_support::{TestStore, app, config, db_path, key_path, open};
use crate::{Scope, SealError, Store, StoreError};

/// Every migration ever released, with its hash. Add a line for a new file; never change one.
const RELEASED: &[(&str, &str)] = &[
    (
        "20261122100000_first.sql",
        "7e0a0a1b0842a368f8913bea9d24fa738b095a102b6ee774d98e82c90a54538e",
    ),
    (
        "20261122110000_services.sql",
        "c85be6d821af0b5e60160e423c0c8b8c80519fe9753442652cdddccf8564668c",
    ),
    (
        "20261122140101_container_shape.sql",
        "739cc025d8594626d4b06397917f421cfb79c2ba8b0eb8cbbe99e01b7f1abdc0",
    ),
    (
        "20261122140200_cron.sql",
        "efdd11976dffd54951806eb4b64374ff431dd152b2e892d41d0f2ea03cd63025",
    ),
    (
        "20261122140300_git_credentials.sql",
        "796b4422faae0f3ea31feead72f8175ac5db53d1a884df6ccbd61107d0770300",
    ),
    (
        "20261122140401_access.sql",
        "e57a0f6b30b51b54ae66dc9bf42c022e80ccadbb403ccc24d740ac2cae9a1841",
    ),
    (
        "20261122140610_routing.sql",
        "2b45004304fe4421bddde1e99de926ccaa3533c9b1c3df447fde68601af58470",
    ),
    (
        "20261122140701_certificates.sql",
        "2d494bc6af2d0aa393d07ef4da0be19184c2d87b7eda382974a266c36da88474",
    ),
    (
        "20261122140801_plugin_runs.sql",
        "3f50cebe6b64d2516efaedbcee87bd5607689ff96d3aedc4239a5e8ae7bb2be9",
    ),
    (
        "20261122141001_registrations.sql",
        "88b8ea6dab2e8aba1e98f64ddd79a3cf0539431e0dbac5fc339ff6df75f7d232",
    ),
    (
        "20261122141100_key_values.sql",
        "8d730e9a92433a73bec85ac9f53f7d84a2b1cec0a484452fb8b474f9e7ca25ab",
    ),
    (
        "20261122141201_service_settings.sql",
        "088d010e5fa1b4c7d934ecae57e955cca11fbdbbd97527df78abfd9f1d741cd3",
    ),
    (
        "20261122141301_web.sql",
        "68d5c24a1da42b0be2e121a1be76cc8cb4fac1b2d2b18694480d9d002ac4c959",
    ),
    (
        "20261122142001_storage_marks.sql",
        "3c6cc0356b538381a47a6811afc588411538e5b30dbba6e2ec36cb1001dd68b1",
    ),
    (
        "20261122200001_usage_of_app.sql",
        "882b199bfec734fb1ce940b46b386a8515678a48bcfc3bc4d7d08979c1c1a621",
    ),
];

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn released_migrations_are_never_edited() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|file| {
            let file = file.unwrap();
            let hash = Sha256::digest(fs::read(file.path()).unwrap());
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            (file.file_name().into_string().unwrap(), hash)
        })
        .collect();
    found.sort();
    let released: Vec<_> = RELEASED
        .iter()
        .map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned()))
        .collect();
    assert_eq!(
        found, released,
        "a released migration must not change: add another file after it"
    );
    assert_eq!(
        MIGRATIONS.iter().count(),
        RELEASED.len(),
        "each one is compiled in"
    );
}

#[tokio::test]
async fn the_first_start_makes_private_files() {
    let store = TestStore::with_apps(&["a"]).await;
    assert_eq!(mode(&key_path(&store.folder)), 0o600);
    assert_eq!(fs::read(key_path(&store.folder)).unwrap().len(), 32);
    for file in fs::read_dir(store.folder.path()).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    store.ping().await.unwrap();
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
    assert_eq!(Some(store.schema_version().await.unwrap()), newest);
}

#[tokio::test]
async fn a_database_that_others_could_read_is_closed_to_them() {
    let store = TestStore::new().await;
    store.close().await;
    let path = db_path(&store.folder);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let store = store.reopened().await;
    assert_eq!(mode(&path), 0o600);
    drop(store);
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart() {
    let store = TestStore::with_apps(&["a"]).await;
    let scope = Scope::App(app("a"));
    store
        .config()
        .replace(&scope, &config(&[("A", "1")]))
        .await
        .unwrap();
    let store = store.reopened().await;
    assert_eq!(
        store.config().get(&scope).await.unwrap(),
        config(&[("A", "1")])
    );
}

/// What a crash leaves behind: files copied while the store is open, log not folded in.
#[tokio::test]
async fn what_was_committed_survives_a_crash() {
    let store = TestStore::with_apps(&["a"]).await;
    store
        .config()
        .replace(&Scope::Global, &config(&[("A", "1")]))
        .await
        .unwrap();
    let mut unfinished = store.write().await.unwrap();
    sqlx::query("DELETE FROM apps")
        .execute(&mut *unfinished)
        .await
        .unwrap();
    let crashed = tempfile::tempdir().unwrap();
    for name in ["sarsen.db", "sarsen.db-wal", "sarsen.key"] {
        fs::copy(store.folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    let revived = open(&crashed).await.unwrap();
    assert_eq!(revived.apps().list().await.unwrap(), [app("a")]);
    assert_eq!(
        revived.config().get(&Scope::Global).await.unwrap(),
        config(&[("A", "1")])
    );
}

#[tokio::test]
async fn two_stores_on_one_file_wait_for_each_other() {
    let store = TestStore::with_apps(&["a"]).await;
    let second = open(&store.folder).await.unwrap();
    let (first_scope, second_scope) = (Scope::App(app("a")), Scope::Global);
    for round in 0..20 {
        let vars = config(&[("ROUND", &round.to_string())]);
        let (first, second) = (store.config(), second.config());
        let (one, two) = tokio::join!(
            first.replace(&first_scope, &vars),
            second.replace(&second_scope, &vars)
        );
        one.unwrap();
        two.unwrap();
    }
    let merged = second.config().merged(&app("a")).await.unwrap();
    assert_eq!(merged, config(&[("ROUND", "19")]));
}

#[tokio::test]
async fn a_hundred_writers_and_readers_at_once() {
    let store = TestStore::new().await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let store: Store = store.store.clone();
        tasks.spawn(async move {
            let name = app(&format!("app-{number}"));
            store.apps().create(&name).await.unwrap();
            assert!(
                store.apps().exists(&name).await.unwrap(),
                "a write is seen at once"
            );
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(store.apps().list().await.unwrap().len(), 100);
}

#[tokio::test]
async fn a_write_that_is_given_up_leaves_nothing() {
    let store = TestStore::with_apps(&["a"]).await;
    let mut transaction = store.write().await.unwrap();
    sqlx::query("DELETE FROM apps")
        .execute(&mut *transaction)
        .await
        .unwrap();
    drop(transaction);
    assert_eq!(store.apps().list().await.unwrap(), [app("a")]);
    store.apps().create(&app("b")).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_named() {
    let store = TestStore::with_apps(&["a"]).await;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count")
        .fetch_one(&store.writer)
        .await
        .unwrap();
    let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
    sqlx::query(limit).execute(&store.writer).await.unwrap();
    let (settings, scope) = (store.config(), Scope::App(app("a")));
    let large = config(&[("LARGE", &"x".repeat(1 << 20))]);
    let error = settings.replace(&scope, &large).await.unwrap_err();
    assert!(matches!(error, StoreError::Full), "{error}");
}

#[tokio::test]
async fn a_transaction_that_sqlite_ended_by_itself_is_nobody_elses_trouble() {
    let store = TestStore::with_apps(&["a"]).await;
    let mut transaction = store.write().await.unwrap();
    // As it does when the disk is full.
    sqlx::query("ROLLBACK")
        .execute(&mut *transaction)
        .await
        .unwrap();
    drop(transaction);
    store.apps().create(&app("b")).await.unwrap();
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let store = TestStore::with_apps(&["a"]).await;
    let mut reader = store.read().await.unwrap();
    let refused = sqlx::query("DELETE FROM apps").execute(&mut *reader).await;
    assert!(refused.unwrap_err().to_string().contains("readonly"));
}

#[tokio::test]
async fn without_its_key_the_store_does_not_open() {
    let store = TestStore::new().await;
    store.close().await;
    let path = key_path(&store.folder);
    let key = fs::read(&path).unwrap();

    fs::remove_file(&path).unwrap();
    let error = open(&store.folder).await.err().unwrap();
    assert!(matches!(
        error,
        StoreError::Sealed(SealError::KeyMissing(_))
    ));
    assert!(
        error.to_string().contains("sarsen.key is missing"),
        "{error}"
    );
    assert!(
        !path.exists(),
        "no new key is made in place of the lost one"
    );

    fs::write(&path, [9; 32]).unwrap();
    let error = open(&store.folder).await.err().unwrap();
    assert!(matches!(
        error,
        StoreError::Sealed(SealError::KeyForeign(_))
    ));
    assert!(
        error.to_string().contains("does not fit this database"),
        "{error}"
    );

    fs::write(&path, [9; 31]).unwrap();
    let error = open(&store.folder).await.err().unwrap();
    assert!(matches!(
        error,
        StoreError::Sealed(SealError::KeyDamaged(_))
    ));

    fs::write(&path, key).unwrap();
    open(&store.folder).await.unwrap();
}

#[tokio::test]
async fn a_crash_between_key_and_database_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(key_path(&folder), [3; 32]).unwrap();
    let store = open(&folder).await.unwrap();
    store
        .config()
        .replace(&Scope::Global, &config(&[("A", "1")]))
        .await
        .unwrap();
    store.close().await;
    let store = open(&folder).await.unwrap();
    assert_eq!(
        store.config().get(&Scope::Global).await.unwrap(),
        config(&[("A", "1")])
    );
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        db_path(&folder),
        "this is a text file, and a rather long one at that".repeat(100),
    )
    .unwrap();
    let error = open(&folder).await.err().unwrap();
    assert!(matches!(error, StoreError::Database(_)), "{error}");
    let nowhere = folder.path().join("no/such/folder/db");
    let error = Store::open(&nowhere, &key_path(&folder))
        .await
        .err()
        .unwrap();
    assert!(matches!(&error, StoreError::File { .. }), "{error}");
    assert!(error.to_string().contains("no/such/folder/db"), "{error}");
}

#[tokio::test]
async fn a_database_of_a_later_version_is_refused() {
    let store = TestStore::new().await;
    store
        .tamper(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (29990101000000, 'future', 1, x'00', 0)",
        )
        .await;
    store.close().await;
    let error = open(&store.folder).await.err().unwrap();
    assert!(
        matches!(error, StoreError::Database(sqlx::Error::Migrate(_))),
        "{error}"
    );
}
