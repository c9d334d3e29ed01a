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
use sarsen_registry::{
    Catalog, CheckStatus, Host, Place, Reach, Registry, RegistrySettings, Source,
};
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

/// Docker's own client, as people use it.
async fn docker(words: &[&str]) -> String {
    let ran = tokio::process::Command::new("docker").args(words).output();
    let ran = ran.await.unwrap();
    let complaint = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "docker {words:?}: {complaint}");
    String::from_utf8_lossy(&ran.stdout).trim().to_owned()
}

#[tokio::test]
async fn what_people_do_to_a_container_is_followed() {
    let name = format!("registry-test-{}", rand::random::<u32>());
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let mut settings = RegistrySettings::new("nobody", Host::local("box"));
    settings.rules.reach = Reach::Internal;
    let registry = Registry::new(engine(), settings);
    tasks.spawn(registry.clone().run(shutdown.clone()));
    registry.synced().await;
    let outcome = AssertUnwindSafe(live_through_everything(&registry, &name))
        .catch_unwind()
        .await;
    let renamed = format!("{name}-new");
    for words in [
        vec!["rm", "--force", &name, &renamed],
        vec!["network", "rm", &name],
    ] {
        let removing = tokio::process::Command::new("docker").args(words).output();
        removing.await.unwrap();
    }
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    outcome.unwrap();
}

/// It ends some seconds after its stop signal, and takes no notice of SIGUSR1.
async fn start_one_that_takes_its_time(name: &str) -> String {
    let program = "trap '' USR1; trap 'sleep 3; exit' TERM; while :; do sleep 0.1; done";
    // No command as a check here: the engine hangs when a container is paused just as one begins in it.
    docker(&[
        "run",
        "--detach",
        "--name",
        name,
        "--expose",
        "5000",
        "--env",
        "SERVICE_NAME=life",
        "--env",
        "SERVICE_CHECK_TTL=1h",
        IMAGE,
        "sh",
        "-c",
        program,
    ])
    .await
}

async fn live_through_everything(registry: &Registry, name: &str) {
    let id = start_one_that_takes_its_time(name).await;
    let found = |catalog: &Catalog| {
        let mut instances = catalog.instances();
        let is_it = |source: &Source| matches!(source, Source::Container { id: of, .. } if of.as_str() == id);
        instances.find(|i| is_it(&i.source)).cloned()
    };
    let is = |catalog: &Catalog, status: CheckStatus| {
        found(catalog).is_some_and(|instance| instance.status() == status)
    };
    let passing = |c: &Catalog| is(c, CheckStatus::Passing);
    let critical = |c: &Catalog| is(c, CheckStatus::Critical);
    until(registry, "there, and not checked", critical).await;
    let check = Place::here(format!("service:box:{name}:5000"));
    registry
        .set_check_status(&check, CheckStatus::Passing, "here")
        .await
        .unwrap();
    until(registry, "reported", passing).await;
    docker(&["pause", name]).await;
    until(registry, "paused", critical).await;
    docker(&["unpause", name]).await;
    until(registry, "unpaused", passing).await;

    let renamed = format!("{name}-new");
    docker(&["rename", name, &renamed]).await;
    let new_id = format!("box:{renamed}:5000");
    until(registry, "renamed", |c| {
        found(c).is_some_and(|i| i.id == new_id)
    })
    .await;

    let before = found(&registry.catalog()).unwrap().address.clone();
    docker(&["network", "create", name]).await;
    docker(&["network", "connect", name, &renamed]).await;
    docker(&["network", "disconnect", "bridge", &renamed]).await;
    until(registry, "moved", |c| {
        found(c).is_some_and(|i| i.address != before)
    })
    .await;
    until(registry, "another check of another id", critical).await;
    let check = Place::here(format!("service:{new_id}"));
    registry
        .set_check_status(&check, CheckStatus::Passing, "still here")
        .await
        .unwrap();
    until(registry, "reported again", passing).await;

    docker(&["kill", "--signal", "USR1", &renamed]).await;
    docker(&["kill", "--signal", "TERM", &renamed]).await;
    until(registry, "draining", critical).await;
    let state = docker(&["inspect", "--format", "{{.State.Running}}", &renamed]).await;
    assert_eq!(state, "true", "its services went before it did");
    until(registry, "gone", |c| found(c).is_none()).await;
}

#[tokio::test]
async fn a_command_in_the_container_decides() {
    let name = format!("registry-test-{}", rand::random::<u32>());
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let mut settings = RegistrySettings::new("nobody", Host::local("box"));
    settings.rules.reach = Reach::Internal;
    let registry = Registry::new(engine(), settings);
    tasks.spawn(registry.clone().run(shutdown.clone()));
    registry.synced().await;
    let outcome = AssertUnwindSafe(pass_and_fail(&registry, &name))
        .catch_unwind()
        .await;
    docker(&["rm", "--force", &name]).await;
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    outcome.unwrap();
}

async fn pass_and_fail(registry: &Registry, name: &str) {
    docker(&[
        "run",
        "--detach",
        "--name",
        name,
        "--expose",
        "5000",
        "--env",
        "SERVICE_CHECK_CMD=test -e /tmp/ok && echo port $SERVICE_PORT",
        "--env",
        "SERVICE_CHECK_INTERVAL=1s",
        IMAGE,
        "sleep",
        "300",
    ])
    .await;
    let place = Place::here(format!("box:{name}:5000"));
    let is = |catalog: &Catalog, status: CheckStatus| {
        let found = catalog.instance(&place);
        found.is_some_and(|instance| instance.status() == status)
    };
    until(registry, "not yet", |c| is(c, CheckStatus::Warning)).await;
    docker(&["exec", name, "touch", "/tmp/ok"]).await;
    until(registry, "well", |c| is(c, CheckStatus::Passing)).await;
    let catalog = registry.catalog();
    let said = &catalog
        .instance(&place)
        .unwrap()
        .checks
        .first()
        .unwrap()
        .output;
    assert!(said.contains("port 5000"), "{said}");
    docker(&["exec", name, "rm", "/tmp/ok"]).await;
    until(registry, "ill", |c| is(c, CheckStatus::Warning)).await;
}
