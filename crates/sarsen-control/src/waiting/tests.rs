//! Config that waits, and what comes of it.

use sarsen_domain::{BuilderKind, ProcessType, ReleaseNumber};
use sarsen_runtime::ContainerRuntime;
use sarsen_runtime::fake::Behaviour;

use super::*;
use crate::testing::{IMAGE, World};

/// An app with a release `v1` whose containers count as healthy at once.
async fn shop() -> World {
    let world = World::new(Behaviour::default()).await;
    world
        .release("shop", "web: serve\nworker: work", None)
        .await;
    world.ok("checks:disable shop").await;
    world
}

async fn live(world: &World) -> Release {
    let app = AppName::parse("shop").unwrap();
    let live = world.control.store.releases().live(&app).await;
    live.unwrap().unwrap()
}

async fn types_that_run(world: &World) -> Vec<String> {
    let app = AppName::parse("shop").unwrap();
    let live = world.control.live_instances(&app).await.unwrap();
    live.iter()
        .map(|one| format!("{}.{} {}", one.process, one.index, one.release))
        .collect()
}

#[tokio::test]
async fn a_restart_releases_what_waits_and_nothing_else() {
    let world = shop().await;
    let said = world.ok("ps:restart shop").await;
    assert!(!said.contains("Releasing"), "{said}");
    assert_eq!(live(&world).await.number, ReleaseNumber(1));

    world.ok("config:set --no-restart shop A=secret").await;
    let said = world.ok("ps:restart shop").await;
    assert!(
        said.contains("Releasing config that was set before: A added\n"),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
    let release = live(&world).await;
    assert_eq!(release.number, ReleaseNumber(2));
    assert_eq!(release.description, "Set A");
    assert_eq!(release.config.get("A"), Some("secret"));

    world.ok("ps:restart shop").await;
    assert_eq!(live(&world).await.number, ReleaseNumber(2));
    // What is global waits for a restart, too.
    world.ok("config:set --global B=1").await;
    world.ok("config:unset --no-restart shop A").await;
    world.ok("ps:restart shop").await;
    let release = live(&world).await;
    assert_eq!(release.description, "Set B; unset A");
    assert_eq!(release.config.to_env(), ["B=1"]);
}

#[tokio::test]
async fn whatever_starts_containers_brings_the_config() {
    let world = shop().await;
    world.ok("ps:restart shop").await;
    world.ok("config:set --no-restart shop A=1").await;
    world.ok("ps:stop shop").await;
    world.ok("ps:start shop").await;
    assert_eq!(types_that_run(&world).await, ["web.1 v2"]);

    // One process type alone would be two configs under one release.
    world.ok("config:set --no-restart shop A=2").await;
    let said = world.ok("ps:scale shop worker=1").await;
    assert!(
        said.contains("A changed; all process types get it"),
        "{said}"
    );
    assert_eq!(types_that_run(&world).await, ["web.1 v3", "worker.1 v3"]);
    world.ok("config:set --no-restart shop A=3").await;
    world.ok("ps:restart shop worker").await;
    assert_eq!(types_that_run(&world).await, ["web.1 v4", "worker.1 v4"]);

    // Fewer containers need no config.
    world.ok("config:set --no-restart shop A=4").await;
    world.ok("ps:scale shop worker=0").await;
    assert_eq!(types_that_run(&world).await, ["web.1 v4"]);
    let app = AppName::parse("shop").unwrap();
    let run = world.control.release_to_run(&app).await.unwrap();
    assert_eq!(run.config.get("A"), Some("4"));
}

#[tokio::test]
async fn a_change_that_was_not_deployed_says_what_to_type() {
    let world = shop().await;
    world.ok("apps:lock shop").await;
    let said = world.say("config:set shop A=1").await;
    let told = format!("{}{}", said.stdout, said.stderr);
    assert!(told.contains("'ps:restart shop' deploys it"), "{told}");
    world.ok("apps:unlock shop").await;
    world.ok("ps:restart shop").await;
    assert_eq!(live(&world).await.config.get("A"), Some("1"));
}

#[tokio::test]
async fn a_rollback_tells_what_it_changes_and_loses_nothing() {
    let world = shop().await;
    world.ok("config:set shop K=one OLD=one").await;
    world.ok("config:set shop K=two NEW=two").await;
    world
        .ok("config:set --no-restart shop KEEP=precious OLD=later")
        .await;
    let said = world.ok("rollback shop v2").await;
    assert!(
        said.contains("Config as in v2: K changed, NEW removed\n"),
        "{said}"
    );
    assert!(
        said.contains(
            "Config that is set and waits: KEEP added, OLD changed ('ps:restart shop' releases it)\n"
        ),
        "{said}"
    );
    assert!(!said.contains("precious"), "{said}");
    let env = live(&world).await.config.to_env();
    assert_eq!(env, ["K=one", "OLD=one"]);
    let set = world.ok("config:export --format shell shop").await;
    assert_eq!(set, "K='one' KEEP='precious' OLD='later'\n");
    world.ok("ps:restart shop").await;
    let env = live(&world).await.config.to_env();
    assert_eq!(env, ["K=one", "KEEP=precious", "OLD=later"]);

    // Nothing waits: nothing is said of it, and the way back is whole.
    let said = world.ok("rollback shop v3").await;
    assert!(!said.contains("waits"), "{said}");
    let set = world.ok("config:export --format shell shop").await;
    assert_eq!(set, "K='two' NEW='two' OLD='one'\n");
}

#[tokio::test]
async fn the_image_of_a_release_is_run_as_that_release_was() {
    let world = shop().await;
    world.ok("ps:scale --skip-deploy shop worker=1").await;
    let image = world.engine.add_image(IMAGE);
    world.engine.tag(&image, "dokku/shop", "v1").await.unwrap();
    let worker = ProcessType::parse("worker").unwrap();
    for command in ["deploy shop v1", "git:from-image shop dokku/shop:v1"] {
        let said = world.ok(command).await;
        assert!(said.contains("This is the image of v"), "{said}");
        let release = live(&world).await;
        assert_eq!(release.builder, BuilderKind::Dockerfile, "{command}");
        assert_eq!(release.procfile.command(&worker), Some("work"), "{command}");
    }
    let running = types_that_run(&world).await;
    assert_eq!(running, ["web.1 v3", "worker.1 v3"]);
}
