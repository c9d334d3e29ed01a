//! One-off containers on the engine in memory.

use super::*;
use std::sync::Arc;

use crate::DeploySettings;
use crate::testing::World;
use futures_util::TryStreamExt;
use sarsen_runtime::ContainerRuntime;
use sarsen_runtime::fake::{Behaviour, Operation};

impl World {
    async fn run(&self, words: &[&str], mode: RunMode) -> Result<RunHandle, DeployError> {
        let spec = RunSpec {
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            env: vec![("B".into(), "2".into())],
            mode,
            ttl: Duration::from_secs(60),
            ..RunSpec::default()
        };
        self.deployer.run(&self.release, &self.settings, spec).await
    }
}

async fn orphans(deployer: &Deployer) -> Vec<ContainerId> {
    let orphaned = deployer.orphaned_runs().await.unwrap();
    orphaned.into_iter().map(|info| info.id).collect()
}

fn ending(code: i64) -> World {
    World::new(Behaviour {
        exit: Some(code),
        ..Behaviour::default()
    })
}

#[tokio::test]
async fn the_exit_code_comes_back_and_the_container_goes() {
    let world = ending(7);
    let handle = world.run(&["ls"], RunMode::Output).await.unwrap();
    assert!(handle.name.as_str().starts_with("app.run."));
    let info = world.engine.inspect(&handle.container).await.unwrap();
    assert!(info.env.contains(&"B=2".to_owned()));
    let number = handle.name.as_str().strip_prefix("app.").unwrap();
    assert!(info.env.contains(&format!("DYNO={number}")));
    assert_eq!(info.labels[label::CONTAINER_TYPE], "run");
    assert_eq!(info.labels[label::DEADLINE], "60");
    assert_eq!(handle.wait().await.unwrap(), 7);
    assert!(world.containers().is_empty());
}

#[tokio::test]
async fn input_is_passed_on() {
    let world = World::new(Behaviour {
        echo_stdin: true,
        ..Behaviour::default()
    });
    let mut handle = world.run(&["cat"], RunMode::Interactive).await.unwrap();
    let mut streams = handle.streams.take().unwrap();
    streams.stdin.write_all(b"hello").await.unwrap();
    streams.stdin.shutdown().await.unwrap();
    let chunks: Vec<_> = streams.output.try_collect().await.unwrap();
    let bytes: Vec<u8> = chunks
        .iter()
        .flat_map(|chunk| chunk.bytes.to_vec())
        .collect();
    assert_eq!(bytes, b"hello");
    assert_eq!(handle.wait().await.unwrap(), 0);
}

#[tokio::test]
async fn a_process_type_stands_for_its_command() {
    let world = ending(0);
    let handle = world.run(&["worker", "x"], RunMode::Output).await.unwrap();
    assert_eq!(handle.procfile.as_ref().unwrap().as_str(), "worker");
}

#[tokio::test]
async fn a_dropped_handle_kills_but_not_a_detached_one() {
    let world = World::new(Behaviour::default());
    drop(world.run(&["ls"], RunMode::Output).await.unwrap());
    world.tasks.close();
    world.tasks.wait().await;
    assert!(world.containers().is_empty());
    world.tasks.reopen();
    drop(world.run(&["ls"], RunMode::Detached).await.unwrap());
    world.tasks.close();
    world.tasks.wait().await;
    assert_eq!(world.containers().len(), 1);
}

#[tokio::test]
async fn one_that_cannot_start_leaves_nothing() {
    let world = World::new(Behaviour {
        start_error: Some("exec: \"nope\": executable file not found".into()),
        ..Behaviour::default()
    });
    let error = world.run(&["nope"], RunMode::Output).await.err().unwrap();
    assert!(
        error.to_string().contains("'nope' was not found"),
        "{error}"
    );
    world.tasks.close();
    world.tasks.wait().await;
    assert!(world.containers().is_empty());
}

#[tokio::test]
async fn a_taken_name_is_tried_again() {
    let world = ending(0);
    let taken = RuntimeError::Conflict("taken".into());
    world.engine.fail_next(Operation::Create, taken);
    let handle = world.run(&["ls"], RunMode::Output).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), 0);
}

#[tokio::test]
async fn the_expired_and_the_orphaned_are_found() {
    let world = World::new(Behaviour::default());
    let attached = world.run(&["a"], RunMode::Output).await.unwrap();
    let detached = world.run(&["b"], RunMode::Detached).await.unwrap();
    let now = OffsetDateTime::now_utc();
    let deployer = &world.deployer;
    assert!(deployer.expired_runs(None, now).await.unwrap().is_empty());
    let later = now + time::Duration::seconds(62);
    assert_eq!(deployer.expired_runs(None, later).await.unwrap().len(), 2);
    // Whoever has begun them in this life still waits for them.
    assert!(deployer.orphaned_runs().await.unwrap().is_empty());
    let next = Deployer::new(Arc::new(world.engine.clone()), DeploySettings::new("me"));
    let orphaned = orphans(&next).await;
    assert_eq!(orphaned, std::slice::from_ref(&attached.container));
    let runs = deployer.runs(&world.release.app).await.unwrap();
    assert_eq!(runs.len(), 2);
    drop((attached, detached));
}

#[tokio::test]
async fn what_stays_because_the_engine_is_away_is_orphaned_when_its_command_is_over() {
    let world = World::new(Behaviour::default());
    let away = || RuntimeError::Unreachable("no such file".into());
    let still_waited_for = world.run(&["a"], RunMode::Output).await.unwrap();
    let left = world.run(&["b"], RunMode::Output).await.unwrap();
    let container = left.container.clone();
    world.engine.fail_next(Operation::Wait, away());
    world.engine.fail_next(Operation::Remove, away());
    left.wait().await.unwrap_err();
    world.tasks.close();
    world.tasks.wait().await;
    let detached = world.run(&["c"], RunMode::Detached).await.unwrap();
    drop(detached);
    assert_eq!(world.containers().len(), 3);
    let orphaned = orphans(&world.deployer).await;
    assert_eq!(orphaned, [container], "the detached one goes on");
    assert!(world.deployer.abandon(&orphaned).await.is_empty());
    drop(still_waited_for);
}

#[tokio::test]
async fn entering_needs_a_running_container() {
    let world = World::new(Behaviour::default());
    let handle = world.run(&["a"], RunMode::Output).await.unwrap();
    let enter = || {
        world
            .deployer
            .enter(&handle.container, EnterSpec::default())
    };
    let exec = enter().await.unwrap();
    exec.streams.output.try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(world.engine.exec_exit_code(&exec.id).await.unwrap(), 0);
    assert!(world.engine.calls_of(Operation::Exec)[0].contains("/bin/bash"));
    world.engine.exit(&handle.container, 0).unwrap();
    assert!(matches!(enter().await, Err(DeployError::NotRunning(_))));
}

#[tokio::test]
async fn it_is_on_the_apps_networks() {
    let mut world = World::new(Behaviour::default());
    world.settings.networks = vec!["data".to_owned()];
    assert!(world.run(&["ls"], RunMode::Detached).await.is_err());
    world.engine.ensure_network("data", &[]).await.unwrap();
    let handle = world.run(&["ls"], RunMode::Detached).await.unwrap();
    let networks = world.engine.networks_of(&handle.container).unwrap();
    assert_eq!(networks, ["bridge", "data"]);
}
