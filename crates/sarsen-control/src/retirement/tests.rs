//! Seeing containers off when the engine does not play along.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sarsen_domain::{ContainerId, ProcessType};
use sarsen_runtime::fake::{Behaviour, Operation};
use sarsen_runtime::{ContainerRuntime, ContainerSpec, RuntimeError};
use sarsen_store::Replace;

use super::*;
use crate::testing::{IMAGE, World};

/// A plugin that writes down what it is told.
async fn recorder(world: &World) {
    let folder = world.folder.path().join("recorder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("plugin.toml"), "[plugin]\n[plugin.config]\n").unwrap();
    let script = folder.join("retire-container-failed");
    fs::write(
        &script,
        "#!/bin/sh\necho \"$*\" >> \"$DOKKU_LIB_ROOT/told\"\n",
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let folder = folder.display();
    world.ok(&format!("plugin:install {folder}")).await;
}

/// A container of a release that another one has taken the place of.
async fn replaced(world: &World) -> ContainerId {
    world.release("shop", "web: serve", None).await;
    let app = AppName::parse("shop").unwrap();
    let store = &world.control.store;
    let live = store.releases().live(&app).await.unwrap().unwrap();
    let wanted = [(ProcessType::parse("web").unwrap(), 1, None)];
    let instances = store.instances();
    let planned = instances.plan(&app, live.number, &live.build, &wanted);
    let planned = planned.await.unwrap();
    let spec = ContainerSpec {
        image: IMAGE.to_owned(),
        ..ContainerSpec::default()
    };
    let container = world.engine.create(&spec).await.unwrap();
    world.engine.start(&container).await.unwrap();
    let noted = instances.set_container(planned[0].id, &container, "shop.web.1");
    noted.await.unwrap();
    let live = instances.promote(&app, live.number, &live.build, Replace::All);
    live.await.unwrap();
    world.release("shop", "web: serve", None).await;
    container
}

#[tokio::test]
async fn a_container_that_does_not_stop_is_told_of_and_tried_again() {
    let world = World::new(Behaviour::default()).await;
    recorder(&world).await;
    let container = replaced(&world).await;
    let told = world.folder.path().join("told");
    let busy = RuntimeError::Engine("device or resource busy".into());
    world.engine.fail_next(Operation::Stop, busy);
    let retiring = world.control.retiring().await.unwrap();
    assert_eq!(retiring.len(), 1);
    world.control.drain_and_stop(&retiring[0]).await;
    assert_eq!(
        fs::read_to_string(&told).unwrap(),
        format!("shop {container}\n")
    );
    let again = world.control.retiring().await.unwrap();
    assert_eq!(again.len(), 1, "it is not forgotten");
    world.control.drain_and_stop(&again[0]).await;
    assert!(world.control.retiring().await.unwrap().is_empty());
    assert!(world.engine.containers().is_empty());
    assert_eq!(fs::read_to_string(&told).unwrap().lines().count(), 1);
}
