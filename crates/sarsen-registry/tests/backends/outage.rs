//! What the publisher makes good: servers that go away, lose everything, or are changed by others.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sarsen_domain::container::label;
use sarsen_domain::{ContainerId, ContainerName};
use sarsen_registry::{
    Backend, Checking, Entry, Host, Publisher, PublisherSettings, Registry, RegistrySettings,
};
use sarsen_runtime::fake::{Behaviour, FakeRuntime};
use sarsen_runtime::{ContainerRuntime, ContainerSpec};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::lab::{Kind, Server};

const IMAGE: &str = "test/app";
const PATIENCE: Duration = Duration::from_secs(30);

/// Containers in memory, a real server, and the publisher between them.
struct World {
    engine: FakeRuntime,
    registry: Registry,
    server: Server,
    uri: String,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl World {
    async fn new(kind: Kind, options: &str) -> Self {
        let engine = FakeRuntime::new();
        engine.behave(IMAGE, Behaviour::default());
        let settings = RegistrySettings::new("me", Host::local("box"));
        let registry = Registry::new(Arc::new(engine.clone()), settings);
        let server = Server::start(kind).await;
        let uri = format!("{}{options}", server.uri());
        let world = Self {
            engine,
            registry,
            server,
            uri,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let following = world.registry.clone().run(world.shutdown.clone());
        world.tasks.spawn(following);
        world
    }

    fn publish(&self, shutdown: &CancellationToken) {
        let settings = PublisherSettings {
            checking: Checking::Ours,
            compare_every: Duration::from_millis(500),
        };
        let publisher = Publisher::new(self.registry.clone(), self.view("me"), settings);
        self.tasks.spawn(publisher.run(shutdown.clone()));
    }

    fn view(&self, owner: &str) -> Backend {
        self.server.open(&self.uri, owner)
    }

    async fn container(&self, name: &str) -> ContainerId {
        let labels = [
            (label::OWNER, "me"),
            (label::APP, name),
            (label::PROCESS, "web"),
            (label::DYNO, "web.1"),
            (label::INSTANCE, "1"),
        ];
        let spec = ContainerSpec {
            name: Some(ContainerName::parse(name).unwrap()),
            image: IMAGE.into(),
            expose: vec![5000],
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            ..ContainerSpec::default()
        };
        let id = self.engine.create(&spec).await.unwrap();
        self.engine.start(&id).await.unwrap();
        id
    }

    /// Waits until the server holds exactly these containers under our mark.
    async fn holds(&self, names: &[&str]) {
        let wanted: BTreeSet<String> = names
            .iter()
            .map(|name| format!("box:{name}:5000"))
            .collect();
        let view = self.view("me");
        let began = Instant::now();
        loop {
            let held = view.owned().await.unwrap_or_default();
            let held: BTreeSet<String> = held.into_iter().map(|entry| entry.id).collect();
            if held == wanted {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{held:?} instead of {wanted:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn foreign() -> Entry {
    Entry {
        id: "box:foreign:1".to_owned(),
        name: "foreign".to_owned(),
        address: "10.0.0.1".to_owned(),
        port: 1,
        tags: Vec::new(),
        attributes: std::collections::BTreeMap::new(),
        health: None,
        check: None,
    }
}

/// Through a death and a loss of memory everything comes out as it is.
async fn outages(kind: Kind) {
    let mut world = World::new(kind, "").await;
    let other = world.view("other");
    other.ping().await.unwrap();
    other.put(&foreign()).await.unwrap();
    let first = world.container("first").await;
    // Left by a run that ended long ago.
    let mut stale = foreign();
    stale.id = "box:stale:5000".to_owned();
    let mine = world.view("me");
    mine.ping().await.unwrap();
    mine.put(&stale).await.unwrap();
    world.publish(&world.shutdown);
    world.holds(&["first"]).await;

    world.server.kill().await;
    world.engine.remove(&first).await.unwrap();
    world.container("second").await;
    world.server.run().await;
    world.holds(&["second"]).await;
    assert_eq!(
        other.owned().await.unwrap().len(),
        1,
        "others' are left alone"
    );

    world.server.kill().await;
    world.server.forget();
    world.server.run().await;
    world.holds(&["second"]).await;

    // Somebody removes it behind our back.
    let held = mine.owned().await.unwrap();
    mine.remove(held.first().unwrap()).await.unwrap();
    world.holds(&["second"]).await;
    world.stop().await;
}

#[tokio::test]
async fn consul_comes_and_goes() {
    outages(Kind::Consul).await;
}

#[tokio::test]
async fn etcd_comes_and_goes() {
    outages(Kind::Etcd).await;
}

#[tokio::test]
async fn what_nobody_keeps_alive_ends() {
    let world = World::new(Kind::Etcd, "?ttl=3").await;
    world.container("first").await;
    let publishing = world.shutdown.child_token();
    world.publish(&publishing);
    world.holds(&["first"]).await;
    // Twice its life: somebody keeps it.
    sleep(Duration::from_secs(6)).await;
    world.holds(&["first"]).await;
    publishing.cancel();
    world.holds(&[]).await;
    world.stop().await;
}

#[tokio::test]
async fn one_that_hangs_holds_up_no_other() {
    let world = World::new(Kind::Etcd, "").await;
    // Connections are taken, and never answered.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("consul://{}", silent.local_addr().unwrap());
    let settings = PublisherSettings {
        checking: Checking::Ours,
        compare_every: Duration::from_millis(500),
    };
    let hanging = Publisher::new(
        world.registry.clone(),
        world.server.open(&uri, "me"),
        settings,
    );
    world.tasks.spawn(hanging.run(world.shutdown.clone()));
    world.publish(&world.shutdown);
    let began = Instant::now();
    world.container("first").await;
    world.holds(&["first"]).await;
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    world.stop().await;
}
