//! Builds against a real database.

use sarsen_domain::{BuildId, BuildKind, BuildSource, BuildStatus, CommitId, ReleaseNumber};

use super::BuildRecord;
use crate::StoreError;
use crate::test_support::{TestStore, app, new_release};

async fn start(store: &TestStore, name: &str) -> BuildRecord {
    let builds = store.builds();
    builds
        .start(&app(name), BuildKind::Build, BuildSource::GitHook, "ann")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_build_from_start_to_end() {
    let store = TestStore::with_apps(&["a"]).await;
    let builds = store.builds();
    let build = start(&store, "a").await;
    assert_eq!(
        (build.status, build.author.as_str()),
        (BuildStatus::Running, "ann")
    );
    assert_eq!(
        (build.kind, build.source),
        (BuildKind::Build, BuildSource::GitHook)
    );
    let commit = CommitId::parse(&"d".repeat(40)).unwrap();
    builds.set_stage(&build.id, "build").await.unwrap();
    builds.set_commit(&build.id, &commit).await.unwrap();
    let release = store
        .releases()
        .create(new_release("a", &build.id))
        .await
        .unwrap();
    builds
        .finish(&build.id, BuildStatus::Succeeded, Some(0), None)
        .await
        .unwrap();
    let ended = builds.get(&app("a"), &build.id).await.unwrap();
    assert_eq!(ended.status, BuildStatus::Succeeded);
    assert_eq!(
        (ended.exit_code, ended.stage.as_deref()),
        (Some(0), Some("build"))
    );
    assert_eq!(
        (ended.commit, ended.release),
        (Some(commit), Some(release.number))
    );
    assert!(ended.finished_at >= Some(ended.started_at));
    builds
        .set_release(&build.id, ReleaseNumber(7))
        .await
        .unwrap();
    assert_eq!(
        builds.get(&app("a"), &build.id).await.unwrap().release,
        Some(ReleaseNumber(7))
    );
}

#[tokio::test]
async fn the_first_verdict_stands() {
    let store = TestStore::with_apps(&["a"]).await;
    let build = start(&store, "a").await;
    let builds = store.builds();
    builds
        .finish(&build.id, BuildStatus::Canceled, None, Some("by bob"))
        .await
        .unwrap();
    let late = builds
        .finish(&build.id, BuildStatus::Failed, Some(1), Some("broken"))
        .await
        .unwrap();
    assert_eq!((late.status, late.exit_code), (BuildStatus::Canceled, None));
    assert_eq!(late.error.as_deref(), Some("by bob"));
    let unknown = BuildId::from_parts(1, 1);
    let error = builds
        .finish(&unknown, BuildStatus::Failed, None, None)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), format!("Build {unknown} does not exist"));
    assert!(builds.set_stage(&unknown, "build").await.is_err());
}

#[tokio::test]
async fn an_id_gives_no_right_to_another_apps_build() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let build = start(&store, "a").await;
    let error = store.builds().get(&app("b"), &build.id).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuch { .. }));
}

#[tokio::test]
async fn newest_first_and_the_last_one() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let builds = store.builds();
    assert_eq!(builds.last(&app("a")).await.unwrap(), None);
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(start(&store, "a").await);
    }
    start(&store, "b").await;
    assert_eq!(builds.last(&app("a")).await.unwrap().as_ref(), made.last());
    made.reverse();
    assert_eq!(builds.list(&app("a")).await.unwrap(), made);
}

#[tokio::test]
async fn what_a_crash_cut_off_is_abandoned_once() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let done = start(&store, "a").await;
    store
        .builds()
        .finish(&done.id, BuildStatus::Succeeded, Some(0), None)
        .await
        .unwrap();
    let (first, second) = (start(&store, "b").await, start(&store, "a").await);
    let store = store.reopened().await;
    let builds = store.builds();
    assert_eq!(
        builds.running().await.unwrap(),
        [first.clone(), second.clone()]
    );
    let abandoned = builds.abandon_running().await.unwrap();
    let ids: Vec<_> = abandoned.iter().map(|build| build.id.clone()).collect();
    assert_eq!(ids, [first.id, second.id.clone()]);
    let stored = builds.get(&app("a"), &second.id).await.unwrap();
    assert_eq!(stored.status, BuildStatus::Abandoned);
    assert_eq!(abandoned[1], stored, "what comes back is what is stored");
    assert!(builds.running().await.unwrap().is_empty());
    assert!(builds.abandon_running().await.unwrap().is_empty());
}

#[tokio::test]
async fn pruning_spares_the_newest_and_the_running() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let running = start(&store, "a").await;
    let other = start(&store, "b").await;
    store
        .builds()
        .finish(&other.id, BuildStatus::Failed, None, None)
        .await
        .unwrap();
    let mut ended = Vec::new();
    for _ in 0..4 {
        let build = start(&store, "a").await;
        let builds = store.builds();
        ended.push(
            builds
                .finish(&build.id, BuildStatus::Failed, Some(1), None)
                .await
                .unwrap(),
        );
    }
    let builds = store.builds();
    let mut pruned = builds.prune(&app("a"), 2).await.unwrap();
    pruned.sort();
    let mut expected: Vec<_> = ended[..2].iter().map(|build| build.id.clone()).collect();
    expected.sort();
    assert_eq!(pruned, expected);
    let left = builds.list(&app("a")).await.unwrap();
    assert_eq!(left, [ended[3].clone(), ended[2].clone(), running]);
    assert!(
        builds
            .prune(&app("a"), usize::MAX)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(builds.list(&app("b")).await.unwrap().len(), 1);
}
