//! Instances and the promotion against a real database.

use sarsen_domain::{BuildId, ContainerId, Release, ReleaseNumber, ReleaseState};

use super::{Instance, InstanceState, Planned, Replace};
use crate::test_support::{TestStore, app, process};
use crate::{Conflict, Stopped, StoreError};

fn places(names: &[&str]) -> Vec<Planned> {
    let place = |name: &&str| {
        let (kind, index) = name.split_once('.').unwrap();
        let port = (kind == "web").then_some(5000);
        (process(kind), index.parse().unwrap(), port)
    };
    names.iter().map(place).collect()
}

async fn plan(store: &TestStore, release: &Release, names: &[&str]) -> Vec<Instance> {
    let instances = store.instances();
    instances
        .plan(&release.app, release.number, &release.build, &places(names))
        .await
        .unwrap()
}

async fn promote(store: &TestStore, release: &Release, replace: Replace) -> Vec<String> {
    let instances = store.instances();
    let retiring = instances
        .promote(&release.app, release.number, &release.build, replace)
        .await;
    show(&retiring.unwrap())
}

/// `v1 web.1 live`
fn show(instances: &[Instance]) -> Vec<String> {
    let line = |i: &Instance| format!("{} {}.{} {}", i.release, i.process, i.index, i.state);
    instances.iter().map(line).collect()
}

async fn listed(store: &TestStore, name: &str) -> Vec<String> {
    show(&store.instances().list(&app(name)).await.unwrap())
}

#[tokio::test]
async fn an_instance_from_plan_to_gone() {
    let store = TestStore::with_apps(&["a"]).await;
    let release = store.release("a").await;
    let planned = plan(&store, &release, &["web.1", "worker.1"]).await;
    assert_eq!(
        show(&planned),
        ["v1 web.1 candidate", "v1 worker.1 candidate"]
    );
    let container = ContainerId::parse("abc123").unwrap();
    let instances = store.instances();
    instances
        .set_container(planned[0].id, &container, "a.web.1.upcoming")
        .await
        .unwrap();
    let stored = instances.list(&app("a")).await.unwrap();
    let expected = Instance {
        container: Some(container.clone()),
        name: Some("a.web.1.upcoming".to_owned()),
        ..planned[0].clone()
    };
    assert_eq!(stored, [expected, planned[1].clone()]);
    assert_eq!((stored[0].port, stored[1].port), (Some(5000), None));
    instances.forget(&[planned[0].id, 12345]).await.unwrap();
    assert_eq!(instances.all().await.unwrap(), [planned[1].clone()]);
    let late = instances
        .set_container(planned[0].id, &container, "x")
        .await
        .unwrap_err();
    assert!(matches!(late, StoreError::NoSuch { .. }));
    let nowhere = instances
        .plan(&app("a"), ReleaseNumber(9), &release.build, &[])
        .await;
    assert!(matches!(nowhere, Err(StoreError::NoSuch { .. })));
}

#[tokio::test]
async fn a_deploy_replaces_everything_at_once() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let other = store.release("b").await;
    plan(&store, &other, &["web.1"]).await;
    promote(&store, &other, Replace::All).await;
    let first = store.release("a").await;
    plan(&store, &first, &["web.1", "web.2"]).await;
    assert!(promote(&store, &first, Replace::All).await.is_empty());
    store
        .apps()
        .set_stopped(&app("a"), Stopped::Yes)
        .await
        .unwrap();
    let second = store.release("a").await;
    plan(&store, &second, &["web.1"]).await;
    let retiring = promote(&store, &second, Replace::All).await;
    assert_eq!(retiring, ["v1 web.1 retiring", "v1 web.2 retiring"]);
    let expected = ["v1 web.1 retiring", "v2 web.1 live", "v1 web.2 retiring"];
    assert_eq!(listed(&store, "a").await, expected);
    let record = store.apps().get(&app("a")).await.unwrap();
    assert!(record.deployed && !record.stopped);
    assert_eq!(record.live_release, Some(ReleaseNumber(2)));
    let states: Vec<_> = store
        .releases()
        .list(&app("a"), 9)
        .await
        .unwrap()
        .iter()
        .map(|r| r.state)
        .collect();
    assert_eq!(states, [ReleaseState::Live, ReleaseState::Retired]);
    let live = store.instances().live_web().await.unwrap();
    let apps: Vec<_> = live.iter().map(|instance| instance.app.as_str()).collect();
    assert_eq!(apps, ["a", "b"], "the other app serves on");
}

#[tokio::test]
async fn a_restart_of_one_process_leaves_the_others() {
    let store = TestStore::with_apps(&["a"]).await;
    let release = store.release("a").await;
    plan(&store, &release, &["web.1", "worker.1", "worker.2"]).await;
    promote(&store, &release, Replace::All).await;
    let mut restart = release.clone();
    restart.build = BuildId::from_parts(2, 2);
    plan(&store, &restart, &["worker.1", "worker.2"]).await;
    let workers = Replace::Processes(vec![process("worker")]);
    let retiring = promote(&store, &restart, workers).await;
    assert_eq!(retiring, ["v1 worker.1 retiring", "v1 worker.2 retiring"]);
    restart.build = BuildId::from_parts(3, 3);
    plan(&store, &restart, &["worker.2"]).await;
    let retiring = promote(
        &store,
        &restart,
        Replace::Indexes(vec![(process("worker"), 2)]),
    )
    .await;
    assert_eq!(retiring, ["v1 worker.2 retiring"]);
    let live = show(&store.instances().live().await.unwrap());
    assert_eq!(
        live,
        ["v1 web.1 live", "v1 worker.1 live", "v1 worker.2 live"]
    );
    assert_eq!(
        store
            .releases()
            .live(&app("a"))
            .await
            .unwrap()
            .unwrap()
            .number,
        release.number
    );
}

#[tokio::test]
async fn scaling_up_replaces_nothing_and_scaling_down_retires() {
    let store = TestStore::with_apps(&["a"]).await;
    let release = store.release("a").await;
    plan(&store, &release, &["web.1"]).await;
    promote(&store, &release, Replace::All).await;
    let mut more = release.clone();
    more.build = BuildId::from_parts(2, 2);
    let added = plan(&store, &more, &["web.2"]).await;
    assert!(
        promote(&store, &more, Replace::Indexes(Vec::new()))
            .await
            .is_empty()
    );
    let candidate = plan(&store, &more, &["web.3"]).await;
    store
        .instances()
        .retire(&[added[0].id, candidate[0].id])
        .await
        .unwrap();
    let expected = ["v1 web.1 live", "v1 web.2 retiring", "v1 web.3 candidate"];
    assert_eq!(listed(&store, "a").await, expected);
}

#[tokio::test]
async fn only_the_candidates_of_this_build_go_live() {
    let store = TestStore::with_apps(&["a"]).await;
    let release = store.release("a").await;
    plan(&store, &release, &["web.1"]).await;
    let mut other = release.clone();
    other.build = BuildId::from_parts(2, 2);
    plan(&store, &other, &["web.1"]).await;
    promote(&store, &other, Replace::All).await;
    let all = store.instances().all().await.unwrap();
    let states: Vec<_> = all
        .iter()
        .map(|i| (i.build == other.build, i.state))
        .collect();
    assert_eq!(
        states,
        [
            (false, InstanceState::Candidate),
            (true, InstanceState::Live)
        ]
    );
}

#[tokio::test]
async fn a_promotion_that_cannot_be_changes_nothing() {
    let store = TestStore::with_apps(&["a"]).await;
    let first = store.release("a").await;
    plan(&store, &first, &["web.1", "worker.1"]).await;
    promote(&store, &first, Replace::All).await;
    let second = store.release("a").await;
    plan(&store, &second, &["web.1", "worker.1"]).await;
    let before = listed(&store, "a").await;

    // The worker's place is still held by the first release.
    let only_web = Replace::Processes(vec![process("web")]);
    let instances = store.instances();
    let error = instances
        .promote(&app("a"), second.number, &second.build, only_web)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Conflict(Conflict::PlaceTaken(_))),
        "{error}"
    );
    assert_eq!(listed(&store, "a").await, before);
    assert_eq!(
        store
            .releases()
            .live(&app("a"))
            .await
            .unwrap()
            .unwrap()
            .number,
        first.number
    );

    store
        .releases()
        .fail(&app("a"), second.number)
        .await
        .unwrap();
    let failed = instances
        .promote(&app("a"), second.number, &second.build, Replace::All)
        .await;
    assert!(matches!(
        failed,
        Err(StoreError::Conflict(Conflict::ReleaseFailed(_)))
    ));
    let missing = instances
        .promote(&app("a"), ReleaseNumber(9), &second.build, Replace::All)
        .await;
    assert!(matches!(missing, Err(StoreError::NoSuch { .. })));
    assert_eq!(listed(&store, "a").await, before);
}

#[tokio::test]
async fn rolling_back_makes_a_retired_release_live_again() {
    let store = TestStore::with_apps(&["a"]).await;
    let first = store.live_release("a").await;
    let second = store.live_release("a").await;
    promote(&store, &first, Replace::All).await;
    let live = store.releases().live(&app("a")).await.unwrap().unwrap();
    assert_eq!(live.number, first.number);
    let retired = store
        .releases()
        .get(&app("a"), second.number)
        .await
        .unwrap();
    assert_eq!(retired.state, ReleaseState::Retired);
}
