//! Tasks on the engine in memory.

use super::*;
use crate::testing::{World, until};
use sarsen_runtime::ContainerRuntime;
use sarsen_runtime::fake::{Behaviour, Operation};

async fn run(world: &World) -> Result<(), DeployError> {
    let task = PhaseTask {
        release: &world.release,
        phase: Phase::Release,
        command: "rake db:migrate",
        settings: &world.settings,
    };
    world
        .deployer
        .run_phase(task, &world.output, &world.cancel)
        .await
}

fn ending(code: i64) -> World {
    World::new(Behaviour {
        exit: Some(code),
        log_lines: vec!["migrating".into()],
        ..Behaviour::default()
    })
}

#[tokio::test]
async fn a_task_shows_its_output_and_leaves_nothing() {
    let world = ending(0);
    run(&world).await.unwrap();
    assert_eq!(
        world.output.text(),
        "-----> Checking for release task\n       Executing release task from Procfile: rake db:migrate\n       migrating\n"
    );
    assert!(world.containers().is_empty());
    let name = &world.engine.calls_of(Operation::Create)[0];
    assert!(name.starts_with("app.run.release."), "{name}");
}

#[tokio::test]
async fn a_failing_task_is_an_error() {
    let world = ending(2);
    let error = run(&world).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "Execution of release task failed: rake db:migrate: it exited with code 2"
    );
    assert!(world.containers().is_empty());
}

#[tokio::test]
async fn a_cancelled_task_is_killed() {
    let world = World::new(Behaviour::default());
    let cancel = async {
        until("the start", || !world.containers().is_empty()).await;
        world.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(run(&world), cancel);
    assert!(matches!(outcome, Err(DeployError::Cancelled)));
    assert!(world.containers().is_empty());
}

#[tokio::test]
async fn what_stays_of_a_task_is_orphaned() {
    let world = ending(0);
    let away = sarsen_runtime::RuntimeError::Unreachable("no such file".into());
    world.engine.fail_next(Operation::Remove, away);
    run(&world).await.unwrap();
    assert_eq!(world.containers().len(), 1);
    assert_eq!(world.deployer.orphaned_runs().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_task_under_way_is_waited_for() {
    let world = World::new(Behaviour::default());
    let look = async {
        until("the start", || !world.containers().is_empty()).await;
        assert!(world.deployer.orphaned_runs().await.unwrap().is_empty());
        world.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(run(&world), look);
    assert!(matches!(outcome, Err(DeployError::Cancelled)));
}

#[tokio::test]
async fn a_task_is_on_the_apps_networks() {
    let mut world = ending(0);
    world.settings.networks = vec!["data".to_owned()];
    assert!(run(&world).await.is_err(), "there is no such network");
    let engine = &world.engine;
    engine.ensure_network("data", &[]).await.unwrap();
    run(&world).await.unwrap();
    let order: Vec<_> = engine
        .calls()
        .into_iter()
        .map(|call| call.operation)
        .collect();
    let place = |operation| order.iter().rposition(|one| *one == operation);
    assert!(place(Operation::ConnectNetwork) < place(Operation::Start));
}
