//! What callers are told.

use std::time::Duration;

use sarsen_registry::{
    CheckRegistration, CheckSpec, CheckStatus, OtherChecks, Probe, Registration,
};

use super::*;
use crate::testing::World;
use sarsen_runtime::fake::Behaviour;

async fn world() -> World {
    let world = World::new(Behaviour::default()).await;
    let redis = Registration {
        id: "redis-1".into(),
        name: "redis".into(),
        address: "10.0.0.7".into(),
        port: 6379,
        tags: vec!["primary".into()],
        registrant: "http".into(),
        ..Registration::default()
    };
    let check = CheckRegistration {
        node: None,
        service: Some("redis-1".into()),
        spec: CheckSpec::new("redis-alive", "Alive", Probe::Ttl(Duration::from_secs(60))),
        registrant: "http".into(),
    };
    let registry = &world.control.registry;
    registry
        .register_external(redis, vec![check], OtherChecks::Keep)
        .await
        .unwrap();
    world
}

#[tokio::test]
async fn services_are_listed_and_shown() {
    let world = world().await;
    let list = world.ok("services:list").await;
    assert!(list.contains("redis"), "{list}");
    assert!(list.contains("10.0.0.7:6379"), "{list}");
    assert!(list.contains("critical"), "{list}");
    assert!(
        !world
            .ok("services:list --passing")
            .await
            .contains("redis-1")
    );
    assert!(
        world
            .ok("services:list --tag primary")
            .await
            .contains("redis-1")
    );
    assert!(
        !world
            .ok("services:list --tag other")
            .await
            .contains("redis-1")
    );
    let registry = &world.control.registry;
    registry
        .set_check_status(&Place::here("redis-alive"), CheckStatus::Passing, "PONG")
        .await
        .unwrap();
    let info = world.ok("services:info redis").await;
    assert!(info.contains("Alive is passing; PONG"), "{info}");
    let json = world.ok("services:list --format json").await;
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["health"], "passing");
    assert_eq!(json[0]["registered_by"], "http");
    let refused = world.refused("services:info nothing").await;
    assert!(refused.contains("There is no service nothing"), "{refused}");
    assert!(
        world
            .refused("services:list --format xml")
            .await
            .contains("Unknown format")
    );
}

#[tokio::test]
async fn a_watcher_is_told_what_comes_changes_and_goes() {
    let world = world().await;
    let catalog = |world: &World| {
        let catalog = world.control.registry.catalog();
        let instances = catalog.instances();
        instances
            .map(|i| (i.place(), Arc::clone(i)))
            .collect::<Seen>()
    };
    let first = catalog(&world);
    let whats = |before: &Seen, now: &Seen| {
        let differences = differences(before, now);
        differences
            .iter()
            .map(|(what, _)| *what)
            .collect::<Vec<_>>()
    };
    assert_eq!(whats(&Seen::new(), &first), ["up"]);
    assert!(whats(&first, &first).is_empty());
    let registry = &world.control.registry;
    registry
        .set_check_status(&Place::here("redis-alive"), CheckStatus::Warning, "slow")
        .await
        .unwrap();
    let second = catalog(&world);
    assert_eq!(whats(&first, &second), ["update"]);
    registry.deregister(&Place::here("redis-1")).await.unwrap();
    assert_eq!(whats(&second, &catalog(&world)), ["down"]);
}
