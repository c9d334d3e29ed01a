//! Apps against a real database.

use std::time::Instant;

use sarsen_domain::{BuildStatus, CommitId, Formation, PortMapping, ReleaseNumber};

use super::{Locked, Stopped};
use crate::test_support::{TestStore, app, config, key, process};
use crate::{Scope, StoreError};

#[tokio::test]
async fn made_once_listed_in_order_and_gone_after_destroy() {
    let store = TestStore::with_apps(&["b", "a"]).await;
    let apps = store.apps();
    assert_eq!(apps.list().await.unwrap(), [app("a"), app("b")]);
    assert!(matches!(
        apps.create(&app("a")).await,
        Err(StoreError::AppExists)
    ));
    assert!(apps.exists(&app("a")).await.unwrap());
    apps.destroy(&app("a")).await.unwrap();
    assert!(!apps.exists(&app("a")).await.unwrap());
    let error = apps.destroy(&app("a")).await.unwrap_err();
    assert_eq!(error.to_string(), "App a does not exist");
    assert_eq!(apps.list().await.unwrap(), [app("b")]);
}

#[tokio::test]
async fn a_new_app_has_one_web_process_and_nothing_else() {
    let store = TestStore::with_apps(&["a"]).await;
    let record = store.apps().get(&app("a")).await.unwrap();
    assert!(record.created_at > 1_700_000_000);
    assert!(!record.locked && !record.stopped && !record.deployed);
    assert_eq!(record.live_release, None);
    let formation = store.formation().get(&app("a")).await.unwrap();
    assert_eq!(formation, Formation::initial());
    assert!(matches!(
        store.apps().get(&app("b")).await,
        Err(StoreError::NoSuchApp(name)) if name == app("b")
    ));
}

#[tokio::test]
async fn marks_are_set_and_cleared() {
    let store = TestStore::with_apps(&["a"]).await;
    let (apps, name) = (store.apps(), app("a"));
    apps.set_locked(&name, Locked::Yes).await.unwrap();
    apps.set_stopped(&name, Stopped::Yes).await.unwrap();
    let record = apps.get(&name).await.unwrap();
    assert!(record.locked && record.stopped);
    apps.set_locked(&name, Locked::No).await.unwrap();
    apps.set_stopped(&name, Stopped::No).await.unwrap();
    let record = apps.get(&name).await.unwrap();
    assert!(!record.locked && !record.stopped);
    let nobody = apps.set_locked(&app("b"), Locked::Yes).await;
    assert!(matches!(nobody, Err(StoreError::NoSuchApp(_))));
}

/// An app with a row in every table.
async fn full_app(store: &TestStore, name: &str) {
    let (this, scope) = (app(name), Scope::App(app(name)));
    store.apps().create(&this).await.unwrap();
    let vars = vec![(key("A"), "1".to_owned())];
    store.config().set(&scope, vars).await.unwrap();
    store
        .properties()
        .set(&scope, "nginx", "hsts", "false")
        .await
        .unwrap();
    store
        .domains()
        .add(&scope, &["x.org".parse().unwrap()])
        .await
        .unwrap();
    let mapping: PortMapping = "http:80:5000".parse().unwrap();
    store.ports().set(&this, &[mapping]).await.unwrap();
    store
        .buildpacks()
        .set(&this, &["heroku/python".parse().unwrap()])
        .await
        .unwrap();
    let release = store.live_release(name).await;
    let planned = [(process("web"), 1, Some(5000))];
    let instances = store.instances();
    instances
        .plan(&this, release.number, &release.build, &planned)
        .await
        .unwrap();
}

async fn rows_of_apps(store: &TestStore) -> i64 {
    let mut connection = store.raw().await;
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM config) + (SELECT count(*) FROM properties) \
           + (SELECT count(*) FROM domains) + (SELECT count(*) FROM ports) \
           + (SELECT count(*) FROM buildpacks) + (SELECT count(*) FROM formation) \
           + (SELECT count(*) FROM builds) + (SELECT count(*) FROM releases) \
           + (SELECT count(*) FROM instances)",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap()
}

#[tokio::test]
async fn destroying_an_app_takes_its_rows_and_no_others() {
    let store = TestStore::new().await;
    full_app(&store, "keep").await;
    let before = rows_of_apps(&store).await;
    full_app(&store, "gone").await;
    assert_eq!(rows_of_apps(&store).await, 2 * before);
    store.apps().destroy(&app("gone")).await.unwrap();
    assert_eq!(rows_of_apps(&store).await, before);
    store.apps().create(&app("gone")).await.unwrap();
    let config = store.config().get(&Scope::App(app("gone"))).await.unwrap();
    assert!(
        config.is_empty(),
        "a new app under an old name starts with nothing"
    );
    assert_eq!(
        store
            .releases()
            .live(&app("gone"))
            .await
            .unwrap()
            .map(|r| r.number),
        None
    );
}

#[tokio::test]
async fn a_renamed_app_keeps_everything() {
    let store = TestStore::with_apps(&["other"]).await;
    full_app(&store, "old").await;
    let (apps, new) = (store.apps(), app("new"));
    assert!(matches!(
        apps.rename(&app("old"), &app("other")).await,
        Err(StoreError::AppExists)
    ));
    assert!(matches!(
        apps.rename(&app("none"), &new).await,
        Err(StoreError::NoSuchApp(_))
    ));
    apps.rename(&app("old"), &new).await.unwrap();
    assert!(!apps.exists(&app("old")).await.unwrap());

    let scope = Scope::App(new.clone());
    assert_eq!(
        store.config().get(&scope).await.unwrap(),
        config(&[("A", "1")])
    );
    let property = store
        .properties()
        .get(&scope, "nginx", "hsts")
        .await
        .unwrap();
    assert_eq!(property.as_deref(), Some("false"));
    assert_eq!(store.domains().list(&scope).await.unwrap().len(), 1);
    assert_eq!(store.ports().list(&new).await.unwrap().len(), 1);
    assert_eq!(store.buildpacks().get(&new).await.unwrap().len(), 1);
    assert_eq!(store.builds().list(&new).await.unwrap()[0].app, new);
    let live = store.releases().live(&new).await.unwrap().unwrap();
    assert_eq!(
        (live.app, live.config.get("A")),
        (new.clone(), Some("s3cret"))
    );
    assert_eq!(store.instances().list(&new).await.unwrap()[0].app, new);
    let record = apps.get(&new).await.unwrap();
    assert_eq!(record.live_release, Some(ReleaseNumber(1)));
}

#[tokio::test]
async fn the_overview_says_what_runs() {
    let store = TestStore::with_apps(&["idle"]).await;
    full_app(&store, "busy").await;
    let release = store.releases().live(&app("busy")).await.unwrap().unwrap();
    let replace = crate::Replace::All;
    let instances = store.instances();
    instances
        .promote(&app("busy"), release.number, &release.build, replace)
        .await
        .unwrap();
    let summaries = store.apps().summaries().await.unwrap();
    let [busy, idle] = summaries.as_slice() else {
        panic!("{summaries:?}")
    };
    assert_eq!(busy.app.name, app("busy"));
    assert_eq!(busy.app.live_release, Some(ReleaseNumber(1)));
    assert_eq!((busy.live_instances, busy.wanted_instances), (1, 1));
    assert_eq!(busy.last_build, Some(BuildStatus::Running));
    assert_eq!(busy.commit.as_ref().map(CommitId::short), Some("cccccccc"));
    assert_eq!(busy.released_at, Some(release.created_at));
    assert_eq!(
        (idle.live_instances, idle.last_build, idle.released_at),
        (0, None, None)
    );
}

#[tokio::test]
async fn a_thousand_apps_are_listed() {
    let store = TestStore::new().await;
    store
        .tamper(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
             INSERT INTO apps (name, created_at) SELECT printf('app-%04d', i), i FROM n",
        )
        .await;
    let began = Instant::now();
    let names = store.apps().list().await.unwrap();
    let first = began.elapsed();
    let began = Instant::now();
    assert_eq!(store.apps().list().await.unwrap(), names);
    let listed = began.elapsed();
    let began = Instant::now();
    assert_eq!(store.apps().summaries().await.unwrap().len(), 1000);
    let summed = began.elapsed();
    // Shown by `--nocapture`; speed is the benches' business.
    println!("list: first {first:?}, then {listed:?}; summaries: {summed:?}");
    assert_eq!(names.len(), 1000);
    assert_eq!(names.last(), Some(&app("app-1000")));
    assert!(names.is_sorted());
}
