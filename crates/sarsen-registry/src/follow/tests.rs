//! Lives of containers on the engine in memory.

use super::*;
use crate::{Catalog, Host, RegistrySettings, Scope};
use sarsen_domain::container::label;
use sarsen_domain::{AppName, ContainerId, ContainerName, Health};
use sarsen_runtime::fake::{Behaviour, FakeRuntime};
use sarsen_runtime::{ContainerRuntime, ContainerSpec, ImageHealth};
use std::sync::Arc;
use tokio_util::task::TaskTracker;

const IMAGE: &str = "test/app";

struct World {
    engine: FakeRuntime,
    registry: Registry,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl World {
    fn new() -> Self {
        let engine = FakeRuntime::new();
        engine.behave(IMAGE, Behaviour::default());
        let settings = RegistrySettings::new("me", Host::local("box"));
        Self {
            registry: Registry::new(Arc::new(engine.clone()), settings),
            engine,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    async fn follow(&self) {
        let (registry, shutdown) = (self.registry.clone(), self.shutdown.clone());
        self.tasks.spawn(registry.run(shutdown));
        self.registry.synced().await;
    }

    async fn container(&self, dyno: &str) -> ContainerId {
        let labels = [
            (label::OWNER, "me"),
            (label::APP, "shop"),
            (label::PROCESS, "web"),
            (label::DYNO, dyno),
            (label::INSTANCE, "1"),
        ];
        let spec = ContainerSpec {
            name: Some(ContainerName::parse(&format!("shop.{dyno}")).unwrap()),
            image: IMAGE.into(),
            expose: vec![5000],
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            ..ContainerSpec::default()
        };
        self.engine.create(&spec).await.unwrap()
    }

    async fn running(&self, dyno: &str) -> ContainerId {
        let id = self.container(dyno).await;
        self.engine.start(&id).await.unwrap();
        id
    }

    /// Waits for the catalog to be so.
    async fn until(&self, what: &str, is_so: impl Fn(&Catalog) -> bool) {
        let mut changes = self.registry.changes();
        let waiting = async {
            while !is_so(&self.registry.catalog()) {
                changes.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(waited.is_ok(), "{what}: {:?}", self.registry.catalog());
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[tokio::test]
async fn what_runs_already_and_what_starts_later_is_found_and_goes_with_its_end() {
    let world = World::new();
    let first = world.running("web.1").await;
    world.container("web.9").await;
    world.follow().await;
    let app = AppName::parse("shop").unwrap();
    assert_eq!(world.registry.catalog().by_app(&app).count(), 1);
    let second = world.running("web.2").await;
    world.until("both", |c| c.by_app(&app).count() == 2).await;
    world.engine.exit(&first, 1).unwrap();
    world
        .until("one", |c| c.by_container(&first).next().is_none())
        .await;
    assert_eq!(world.registry.catalog().by_container(&second).count(), 1);
    world.engine.start(&first).await.unwrap();
    world.until("back", |c| c.services().len() == 2).await;
    world.stop().await;
}

#[tokio::test]
async fn an_empty_host_is_known_to_be_empty() {
    let world = World::new();
    assert_eq!(world.registry.catalog().version(), 0);
    world.follow().await;
    assert_eq!(world.registry.catalog().version(), 1);
    world.stop().await;
}

#[tokio::test]
async fn names_and_health_are_followed() {
    let world = World::new();
    world.follow().await;
    let id = world.running("web.1.upcoming-1").await;
    world.until("there", |c| c.services().len() == 1).await;
    let name = ContainerName::parse("shop.web.1").unwrap();
    world.engine.rename(&id, &name).await.unwrap();
    let renamed = |c: &Catalog| c.services().keys().eq(["box:shop.web.1:5000"]);
    world.until("renamed", renamed).await;
    for (says, health) in [
        (ImageHealth::Unhealthy, Health::Critical),
        (ImageHealth::Healthy, Health::Passing),
    ] {
        world.engine.set_health(&id, says).unwrap();
        let is_so = |c: &Catalog| c.by_container(&id).all(|s| s.health == health);
        world.until("health", is_so).await;
    }
    world.stop().await;
}

#[tokio::test]
async fn the_catalog_outlives_the_engine_and_is_put_right_after() {
    let world = World::new();
    let stays = world.running("web.1").await;
    let goes = world.running("web.2").await;
    world.follow().await;
    let version = world.registry.catalog().version();
    world.engine.go_away();
    assert!(world.registry.register(&stays).await.is_err());
    assert_eq!(world.registry.catalog().version(), version);
    assert_eq!(world.registry.catalog().services().len(), 2);
    world.engine.exit(&goes, 0).unwrap();
    world.engine.come_back();
    world.until("compared", |c| c.services().len() == 1).await;
    assert_eq!(world.registry.catalog().by_container(&stays).count(), 1);
    world.running("web.3").await;
    world
        .until("followed again", |c| c.services().len() == 2)
        .await;
    world.stop().await;
}

#[tokio::test]
async fn a_dead_container_that_is_still_listed_stays_dead() {
    let world = World::new();
    let id = world.running("web.1").await;
    world.follow().await;
    let as_it_was = world.engine.inspect(&id).await.unwrap();
    world.engine.remove(&id).await.unwrap();
    world.until("gone", |c| c.services().is_empty()).await;
    // The engine's lists lag behind its events.
    world.engine.add_container(as_it_was);
    assert!(world.registry.register(&id).await.unwrap().is_empty());
    world.engine.go_away();
    world.engine.come_back();
    let other = world.running("web.2").await;
    let compared = |c: &Catalog| c.by_container(&other).next().is_some();
    world.until("compared", compared).await;
    assert_eq!(world.registry.catalog().by_container(&id).count(), 0);
    world.stop().await;
}

#[tokio::test]
async fn what_no_event_tells_is_found_by_the_next_comparison() {
    let mut world = World::new();
    let mut settings = RegistrySettings::new("me", Host::local("box"));
    settings.comparison = Duration::from_millis(50);
    world.registry = Registry::new(Arc::new(world.engine.clone()), settings);
    let id = world.running("web.1").await;
    world.follow().await;
    let mut info = world.engine.inspect(&id).await.unwrap();
    info.id = ContainerId::parse("00ff").unwrap();
    info.name = "quiet".into();
    world.engine.add_container(info);
    let is_there = |c: &Catalog| c.services().contains_key("box:quiet:5000");
    world.until("found", is_there).await;
    world.stop().await;
}

#[tokio::test]
async fn a_query_waits_for_its_service_only() {
    let world = World::new();
    world.follow().await;
    let before = world.registry.catalog().index();
    let of = |name: &str| Scope::Service(name.to_owned());
    let app = of("app");
    let waiting = world.registry.wait_past(&app, before);
    let (catalog, _) = tokio::join!(waiting, world.running("web.1"));
    assert!(catalog.service_index("app") > before);
    let elsewhere = of("other");
    let waiting = world.registry.wait_past(&elsewhere, before);
    let waited = tokio::time::timeout(Duration::from_millis(100), waiting).await;
    assert!(waited.is_err(), "nothing happened there");
    world.stop().await;
}

#[tokio::test]
async fn registering_by_hand_needs_no_events_and_can_be_repeated() {
    let world = World::new();
    let id = world.container("web.1").await;
    assert!(world.registry.register(&id).await.unwrap().is_empty());
    world.engine.start(&id).await.unwrap();
    let services = world.registry.register(&id).await.unwrap();
    assert_eq!(services.len(), 1);
    let version = world.registry.catalog().version();
    assert_eq!(world.registry.register(&id).await.unwrap(), services);
    assert_eq!(world.registry.catalog().version(), version);
    world.engine.remove(&id).await.unwrap();
    assert!(world.registry.register(&id).await.unwrap().is_empty());
    assert!(world.registry.catalog().services().is_empty());
}
