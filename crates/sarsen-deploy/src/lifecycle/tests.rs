//! Names, retirement and what runs, on the engine in memory.

use super::*;
use crate::testing::World;
use futures_util::FutureExt;
use sarsen_runtime::fake::{Behaviour, Operation};

use crate::{AppSettings, DeployPlan, PlannedInstance};

async fn deployed(world: &World, dynos: &[(&str, u32)]) -> Vec<Deployed> {
    let instances: Vec<_> = dynos
        .iter()
        .map(|(process, index)| PlannedInstance {
            id: 1,
            process: ProcessType::parse(process).unwrap(),
            index: *index,
        })
        .collect();
    let plan = DeployPlan {
        release: &world.release,
        instances: &instances,
        settings: &world.settings,
    };
    let on_created = |_| async { Ok(()) }.boxed();
    let started = world
        .deployer
        .start(plan, &world.output, &world.cancel, &on_created);
    let started = started.await.unwrap().instances;
    started.iter().map(Deployed::from).collect()
}

fn serving() -> World {
    World::new(Behaviour {
        listens: vec![5000],
        ..Behaviour::default()
    })
}

#[tokio::test]
async fn names_move_to_the_new_and_stay() {
    let world = serving();
    let app = &world.release.app;
    let settings = AppSettings::default();
    let finish = async |all: &[Deployed]| world.deployer.finish(app, all, &settings).await.unwrap();
    let old = deployed(&world, &[("web", 1)]).await;
    finish(&old).await;
    let new = deployed(&world, &[("web", 1), ("web", 2)]).await;
    finish(&new).await;
    let renames = world.engine.calls_of(Operation::Rename).len();
    finish(&new).await;
    assert_eq!(world.engine.calls_of(Operation::Rename).len(), renames);

    let name = |id: &ContainerId| {
        let infos = world.engine.containers();
        let info = infos.into_iter().find(|info| info.id == *id);
        info.unwrap().name
    };
    let aside = name(&old[0].container);
    let time = aside.strip_prefix("app.web.1.").unwrap();
    assert!(time.parse::<i64>().unwrap() > 1_700_000_000, "{aside}");
    assert_eq!(name(&new[0].container), "app.web.1");
    assert_eq!(name(&new[1].container), "app.web.2");
    // With the policy set, a crash no longer ends it.
    world.engine.exit(&new[0].container, 1).unwrap();
    let again = world.deployer.processes(app).await.unwrap();
    let web1 = again.iter().find(|one| one.container == new[0].container);
    assert_eq!(web1.unwrap().restart_count, 1);
}

#[tokio::test]
async fn retirement_goes_on_after_an_error_and_forgives_what_is_gone() {
    let world = serving();
    let all = deployed(&world, &[("web", 1), ("web", 2)]).await;
    let mut ids: Vec<_> = all.iter().map(|one| one.container.clone()).collect();
    ids.push(ContainerId::parse("dead").unwrap());
    let error = RuntimeError::Engine("busy".into());
    world.engine.fail_next(Operation::Stop, error);
    let unfinished = world.deployer.retire(&ids, Duration::ZERO).await;
    assert_eq!(unfinished.len(), 1);
    assert_eq!(unfinished[0].container, ids[0]);
    assert_eq!(world.containers().len(), 1);
    assert!(world.deployer.abandon(&ids).await.is_empty());
    assert!(world.containers().is_empty());
}

#[tokio::test]
async fn what_should_be_live_is_started_again() {
    let world = serving();
    let all = deployed(&world, &[("web", 1)]).await;
    let id = &all[0].container;
    world.engine.exit(id, 1).unwrap();
    let recover = world.deployer.recover(id, RestartPolicy::Always);
    recover.await.unwrap();
    let found = world.deployer.processes(&world.release.app).await.unwrap();
    assert_eq!(found[0].status, ContainerStatus::Running);
    let gone = ContainerId::parse("dead").unwrap();
    let recover = world.deployer.recover(&gone, RestartPolicy::Always);
    assert!(recover.await.is_err());
}

#[tokio::test]
async fn processes_are_listed_web_first() {
    let world = serving();
    deployed(&world, &[("worker", 1), ("web", 2), ("web", 1)]).await;
    let found = world.deployer.processes(&world.release.app).await.unwrap();
    let dynos: Vec<_> = found.iter().map(|one| one.dyno.as_str()).collect();
    assert_eq!(dynos, ["web.1", "web.2", "worker.1"]);
    assert_eq!(found[0].instance, Some(1));
}

#[tokio::test]
async fn a_name_that_somebody_else_has_is_left_to_them() {
    let world = serving();
    let new = deployed(&world, &[("web", 1)]).await;
    let mut stranger = world.engine.containers().remove(0);
    stranger.id = ContainerId::parse("beef").unwrap();
    stranger.name = "app.web.1".to_owned();
    stranger.labels.clear();
    world.engine.add_container(stranger.clone());
    let app = &world.release.app;
    let finished = world
        .deployer
        .finish(app, &new, &AppSettings::default())
        .await;
    assert!(matches!(finished, Err(DeployError::NameTaken(_))));
    let names: Vec<_> = world
        .engine
        .containers()
        .into_iter()
        .map(|info| info.name)
        .collect();
    assert!(names.contains(&stranger.name), "{names:?}");
}
