//! Lives of containers on a real engine.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, too, end the test when something is wrong"
)]

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use sarsen_domain::ContainerId;
use sarsen_domain::container::label;
use sarsen_registry::{Catalog, Host, Registry, RegistrySettings};
use sarsen_runtime::{ContainerSpec, DockerRuntime, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const IMAGE: &str = "sarsen/base:bookworm";

fn engine() -> Runtime {
    Arc::new(DockerRuntime::connect(Path::new("/var/run/docker.sock")).unwrap())
}

fn registry(owner: &str) -> Registry {
    let settings = RegistrySettings::new(owner, Host::local("box"));
    Registry::new(engine(), settings)
}

async fn until(registry: &Registry, what: &str, is_so: impl Fn(&Catalog) -> bool) {
    let mut changes = registry.changes();
    let waiting = async {
        while !is_so(&registry.catalog()) {
            changes.changed().await.unwrap();
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(waited.is_ok(), "{what}: {:?}", registry.catalog());
}

async fn start(engine: &Runtime, owner: &str) -> ContainerId {
    let labels = [
        (label::OWNER, owner),
        (label::APP, "shop"),
        (label::PROCESS, "web"),
        (label::DYNO, "web.1"),
        (label::INSTANCE, "1"),
    ];
    let spec = ContainerSpec {
        image: IMAGE.to_owned(),
        command: Some(["sleep", "300"].map(str::to_owned).into()),
        expose: vec![5000],
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..ContainerSpec::default()
    };
    let id = engine.create(&spec).await.unwrap();
    engine.start(&id).await.unwrap();
    id
}

fn is_there(catalog: &Catalog, id: &ContainerId) -> bool {
    catalog.by_container(id).next().is_some()
}

#[tokio::test]
async fn containers_come_and_go_and_the_dead_stay_dead() {
    let engine = engine();
    let owner = format!("test-{}", rand::random::<u32>());
    let outcome = AssertUnwindSafe(come_and_go(&engine, &owner))
        .catch_unwind()
        .await;
    let labels = [format!("{}={owner}", label::OWNER)];
    for left in engine.list(&labels).await.unwrap() {
        engine.remove(&left.id).await.unwrap();
    }
    outcome.unwrap();
}

async fn come_and_go(engine: &Runtime, owner: &str) {
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let following = registry(owner);
    tasks.spawn(following.clone().run(shutdown.clone()));
    following.synced().await;

    let id = start(engine, owner).await;
    until(&following, "started", |c| is_there(c, &id)).await;
    is_found_inside(&following.catalog(), &id);

    let grace = Duration::ZERO;
    let (killed, ()) = tokio::join!(
        engine.stop(&id, grace),
        until(&following, "killed", |c| !is_there(c, &id)),
    );
    killed.unwrap();
    // Whatever the engine's lists still say: neither a look by hand nor a first comparison brings it back.
    assert!(following.register(&id).await.unwrap().is_empty());
    let late = registry(owner);
    tasks.spawn(late.clone().run(shutdown.clone()));
    until(&late, "compared", |c| c.version() > 0 && !is_there(c, &id)).await;

    engine.start(&id).await.unwrap();
    until(&following, "started again", |c| is_there(c, &id)).await;
    until(&late, "started again", |c| is_there(c, &id)).await;
    engine.remove(&id).await.unwrap();
    until(&following, "removed", |c| !is_there(c, &id)).await;
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
}

fn is_found_inside(catalog: &Catalog, id: &ContainerId) {
    let service = catalog.by_container(id).next().unwrap();
    assert_eq!(service.address.port(), 5000);
    assert!(!service.address.ip().is_loopback());
    assert_eq!(service.owner.as_ref().unwrap().dyno, "web.1");
}
