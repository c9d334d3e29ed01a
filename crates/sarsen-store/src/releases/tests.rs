//! Releases against a real database.

use std::collections::BTreeSet;

use sarsen_domain::{BuildId, BuilderKind, ReleaseNumber, ReleaseState};

use crate::test_support::{TestStore, app, image, new_release, process};
use crate::{Conflict, Replace, SealError, StoreError};

fn numbers(list: &[u32]) -> Vec<ReleaseNumber> {
    list.iter().copied().map(ReleaseNumber).collect()
}

async fn listed(store: &TestStore, name: &str) -> Vec<(u32, ReleaseState)> {
    let list = store.releases().list(&app(name), 100).await.unwrap();
    list.iter()
        .map(|release| (release.number.0, release.state))
        .collect()
}

#[tokio::test]
async fn a_release_comes_back_whole() {
    let store = TestStore::with_apps(&["a"]).await;
    let build = BuildId::from_parts(1, 1);
    let new = new_release("a", &build);
    let created = store.releases().create(new.clone()).await.unwrap();
    assert_eq!(
        (created.number, created.state),
        (ReleaseNumber(1), ReleaseState::Pending)
    );
    let store = store.reopened().await;
    let read = store
        .releases()
        .get(&app("a"), created.number)
        .await
        .unwrap();
    assert_eq!(
        (read.app, read.number, read.state),
        (new.app, created.number, created.state)
    );
    assert_eq!(
        (read.image, read.builder, read.commit),
        (new.image, new.builder, new.commit)
    );
    assert_eq!((read.config, read.formation), (new.config, new.formation));
    assert_eq!(
        (read.detected_ports, read.app_json),
        (new.detected_ports, new.app_json)
    );
    assert_eq!(
        (read.build, read.author, read.description),
        (build, new.author, new.description)
    );
    assert_eq!(read.created_at, created.created_at);
    let order: Vec<_> = read
        .procfile
        .iter()
        .map(|(process, _)| process.to_string())
        .collect();
    assert_eq!(
        order,
        ["worker", "web", "clock"],
        "the Procfile's order is kept"
    );
    assert_eq!(read.procfile, new.procfile);
}

#[tokio::test]
async fn numbers_count_per_app_and_are_never_used_twice() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    assert_eq!(store.release("a").await.number, ReleaseNumber(1));
    assert_eq!(store.release("b").await.number, ReleaseNumber(1));
    let second = store.release("a").await;
    store
        .releases()
        .fail(&app("a"), second.number)
        .await
        .unwrap();
    store.releases().prune(&app("a"), 0).await.unwrap();
    assert_eq!(store.release("a").await.number, ReleaseNumber(3));
    let nobody = store
        .releases()
        .create(new_release("c", &second.build))
        .await;
    assert!(matches!(nobody, Err(StoreError::NoSuchApp(_))));
    let error = store
        .releases()
        .get(&app("a"), second.number)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "Release v2 of app a does not exist");
}

#[tokio::test]
async fn the_live_one_and_the_one_before() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let releases = store.releases();
    assert!(releases.live(&app("a")).await.unwrap().is_none());
    store.live_release("a").await;
    assert!(
        releases
            .previous_deployable(&app("a"))
            .await
            .unwrap()
            .is_none()
    );
    let failed = store.release("a").await;
    releases.fail(&app("a"), failed.number).await.unwrap();
    store.live_release("a").await;
    store.live_release("b").await;
    assert_eq!(
        releases.live(&app("a")).await.unwrap().unwrap().number,
        ReleaseNumber(3)
    );
    let previous = releases
        .previous_deployable(&app("a"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        previous.number,
        ReleaseNumber(1),
        "a failed release is passed over"
    );
    let ports = releases.live_ports().await.unwrap();
    assert_eq!(ports.keys().collect::<Vec<_>>(), [&app("a"), &app("b")]);
    assert_eq!(ports[&app("a")], ["http:80:5000".parse().unwrap()]);
}

#[tokio::test]
async fn the_list_is_newest_first_and_bounded() {
    let store = TestStore::with_apps(&["a"]).await;
    for _ in 0..4 {
        store.live_release("a").await;
    }
    let list = store.releases().list(&app("a"), 2).await.unwrap();
    let found: Vec<_> = list.iter().map(|release| release.number).collect();
    assert_eq!(found, numbers(&[4, 3]));
    assert_eq!(list[0].description, "Deploy cccccccc");
    assert_eq!(
        (list[0].state, list[1].state),
        (ReleaseState::Live, ReleaseState::Retired)
    );
}

#[tokio::test]
async fn what_served_cannot_fail_afterwards() {
    let store = TestStore::with_apps(&["a"]).await;
    let live = store.live_release("a").await;
    let error = store
        .releases()
        .fail(&app("a"), live.number)
        .await
        .unwrap_err();
    assert!(matches!(
        error,
        StoreError::Conflict(Conflict::ReleaseServed(_))
    ));
    let missing = store
        .releases()
        .fail(&app("a"), ReleaseNumber(9))
        .await
        .unwrap_err();
    assert!(matches!(missing, StoreError::NoSuch { .. }));
    let pending = store.release("a").await;
    store
        .releases()
        .fail(&app("a"), pending.number)
        .await
        .unwrap();
    store
        .releases()
        .fail(&app("a"), pending.number)
        .await
        .unwrap();
}

#[tokio::test]
async fn giving_up_a_build_fails_its_waiting_release_only() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let releases = store.releases();
    let (live, waiting, other) = (
        store.live_release("a").await,
        store.release("a").await,
        store.release("a").await,
    );
    releases.fail_build(&app("a"), &live.build).await.unwrap();
    releases.fail_build(&app("b"), &other.build).await.unwrap();
    releases
        .fail_build(&app("a"), &waiting.build)
        .await
        .unwrap();
    let expected = [
        (3, ReleaseState::Pending),
        (2, ReleaseState::Failed),
        (1, ReleaseState::Live),
    ];
    assert_eq!(listed(&store, "a").await, expected);
}

#[tokio::test]
async fn waiting_releases_fail_at_the_start() {
    let store = TestStore::with_apps(&["b", "a"]).await;
    store.live_release("a").await;
    store.release("b").await;
    store.release("a").await;
    let store = store.reopened().await;
    let failed = store.releases().pending_at_start().await.unwrap();
    assert_eq!(
        failed,
        [(app("a"), ReleaseNumber(2)), (app("b"), ReleaseNumber(1))]
    );
    let expected = [(2, ReleaseState::Failed), (1, ReleaseState::Live)];
    assert_eq!(listed(&store, "a").await, expected);
    assert!(
        store
            .releases()
            .pending_at_start()
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn images_are_kept_as_long_as_anything_may_need_them() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let mut made = Vec::new();
    for digit in ['1', '2', '3'] {
        let mut new = new_release("a", &BuildId::from_parts(1, u32::from(digit)));
        new.image = image(digit);
        let release = store.releases().create(new).await.unwrap();
        let instances = store.instances();
        instances
            .promote(&app("a"), release.number, &release.build, Replace::All)
            .await
            .unwrap();
        made.push(release);
    }
    for (digit, fails) in [('4', true), ('5', false)] {
        let mut new = new_release("b", &BuildId::from_parts(1, u32::from(digit)));
        new.image = image(digit);
        let release = store.releases().create(new).await.unwrap();
        if fails {
            store
                .releases()
                .fail(&app("b"), release.number)
                .await
                .unwrap();
        }
    }
    let in_use = |digits: &[char]| digits.iter().copied().map(image).collect::<BTreeSet<_>>();
    assert_eq!(
        store.releases().images_in_use(2).await.unwrap(),
        in_use(&['2', '3', '5'])
    );
    assert_eq!(
        store.releases().images_in_use(0).await.unwrap(),
        in_use(&['3', '5'])
    );
    let planned = [(process("web"), 1, None)];
    let instances = store.instances();
    instances
        .plan(&app("a"), made[0].number, &made[0].build, &planned)
        .await
        .unwrap();
    assert_eq!(
        store.releases().images_in_use(1).await.unwrap(),
        in_use(&['1', '3', '5'])
    );
}

#[tokio::test]
async fn pruning_spares_the_newest_the_live_and_what_still_runs() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    store.live_release("b").await;
    let first = store.live_release("a").await;
    for _ in 0..3 {
        let failed = store.release("a").await;
        store
            .releases()
            .fail(&app("a"), failed.number)
            .await
            .unwrap();
        store.live_release("a").await;
    }
    let pending = store.release("a").await;
    let planned = [(process("web"), 1, None)];
    let instances = store.instances();
    instances
        .plan(&app("a"), first.number, &first.build, &planned)
        .await
        .unwrap();

    // Served: 1, 3, 5, 7 (live); failed: 2, 4, 6; waiting: 8.
    let pruned = store.releases().prune(&app("a"), 2).await.unwrap();
    let found: Vec<_> = pruned.iter().map(|release| release.number).collect();
    assert_eq!(found, numbers(&[2, 3]), "v1 stays for its container");
    let pruned = store.releases().prune(&app("a"), 0).await.unwrap();
    let found: Vec<_> = pruned.iter().map(|release| release.number).collect();
    assert_eq!(found, numbers(&[4, 5, 6]));
    let expected = [
        (pending.number.0, ReleaseState::Pending),
        (7, ReleaseState::Live),
        (1, ReleaseState::Retired),
    ];
    assert_eq!(listed(&store, "a").await, expected);
    assert_eq!(listed(&store, "b").await, [(1, ReleaseState::Live)]);
}

#[tokio::test]
async fn an_environment_moved_between_releases_does_not_open() {
    let store = TestStore::with_apps(&["a"]).await;
    store.release("a").await;
    let second = store.release("a").await;
    store
        .tamper("UPDATE releases SET config = (SELECT config FROM releases WHERE number = 1)")
        .await;
    let error = store
        .releases()
        .get(&app("a"), second.number)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Sealed(SealError::Tampered(_))),
        "{error}"
    );
    assert_eq!(listed(&store, "a").await.len(), 2, "lists need no key");
}

#[tokio::test]
async fn an_image_leads_to_the_release_it_was_built_for() {
    let store = TestStore::with_apps(&["a", "b"]).await;
    let of = async |name: &str, letter: char| {
        let found = store.releases().built_as(&app(name), &image(letter)).await;
        found.unwrap().map(|release| release.number.0)
    };
    assert_eq!(of("a", 'a').await, None);
    for (letter, builder) in [
        ('a', BuilderKind::Herokuish),
        ('a', BuilderKind::Dockerfile),
        ('b', BuilderKind::Null),
        ('a', BuilderKind::Null),
    ] {
        let mut new = new_release("a", &BuildId::from_parts(1, 1));
        (new.image, new.builder) = (image(letter), builder);
        store.releases().create(new).await.unwrap();
    }
    assert_eq!(of("a", 'a').await, Some(2));
    assert_eq!(of("a", 'b').await, None);
    assert_eq!(of("b", 'a').await, None);
}
