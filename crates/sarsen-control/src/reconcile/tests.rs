//! What an absence of the engine leaves behind.

use sarsen_runtime::RuntimeError;
use sarsen_runtime::fake::{Behaviour, Operation};

use crate::testing::World;

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
