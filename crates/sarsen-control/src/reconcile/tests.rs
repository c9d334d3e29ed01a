//! What an absence of the engine leaves behind.

use sarsen_domain::container::label;
use sarsen_runtime::fake::{Behaviour, Operation};
use sarsen_runtime::{ContainerRuntime, ContainerSpec, RuntimeError};

use crate::testing::{IMAGE, World};

#[tokio::test]
async fn what_is_left_of_a_run_goes_when_the_engine_is_back() {
    let short = Behaviour {
        exit: Some(0),
        ..Behaviour::default()
    };
    let world = World::new(short).await;
    world.release("shop", "web: serve", None).await;
    let away = || RuntimeError::Unreachable("no such file or directory".into());
    world.engine.fail_next(Operation::Wait, away());
    world.engine.fail_next(Operation::Remove, away());
    world.refused("run shop sleep 1").await;
    // The removal that nobody waits for has failed by then, too.
    for _ in 0..500 {
        let tried = world.engine.calls_of(Operation::Remove);
        if !tried.is_empty()
            && !world
                .control
                .deployer
                .orphaned_runs()
                .await
                .unwrap()
                .is_empty()
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(world.engine.containers().len(), 1);
    // Although something of the app is under way.
    let lock = world.control.locks.take(&"shop".parse().unwrap()).unwrap();
    world.control.reconcile_once().await.unwrap();
    assert!(world.engine.containers().is_empty());
    drop(lock);
}

#[tokio::test]
async fn what_a_command_on_services_has_made_stays_while_it_works() {
    let world = World::new(Behaviour::default()).await;
    let labels = [
        (label::OWNER, "test"),
        (label::CONTAINER_TYPE, "run"),
        (label::DOKKU, "service"),
    ];
    let spec = ContainerSpec {
        image: IMAGE.to_owned(),
        labels: labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..ContainerSpec::default()
    };
    let container = world.engine.create(&spec).await.unwrap();
    world.engine.start(&container).await.unwrap();
    let (redis, cache) = ("redis".parse().unwrap(), "cache".parse().unwrap());
    let busy = world.control.addons.take_data(&redis, &cache).unwrap();
    world.control.reconcile_once().await.unwrap();
    assert_eq!(world.engine.containers().len(), 1);
    drop(busy);
    world.control.reconcile_once().await.unwrap();
    assert!(world.engine.containers().is_empty());
}
