//! Tasks run when they are due, once, in containers, and the rules about meeting and waiting hold; also when the
//! daemon comes and goes.

use sarsen_runtime::fake::{Behaviour, Operation};

use super::*;
use crate::testing::World;

/// 2026-01-01T00:00:30Z
const START: i64 = 1_767_225_630;
const MINUTE: i64 = 60;

fn forever() -> Behaviour {
    Behaviour::default()
}

fn short() -> Behaviour {
    Behaviour {
        exit: Some(0),
        log_lines: vec!["did it".to_owned()],
        ..Behaviour::default()
    }
}

async fn world(behaviour: Behaviour, policy: &str) -> (World, AppName, CronId) {
    let world = World::new(behaviour).await;
    let text = format!(
        r#"{{"cron": [{{"command": "work hard", "schedule": "* * * * *", "concurrency_policy": "{policy}"}}]}}"#
    );
    world.release("shop", "web: serve", Some(&text)).await;
    let app = AppName::parse("shop").unwrap();
    world.ok("cron:set shop timezone UTC").await;
    let id = world.control.cron_tasks(&app).await.unwrap()[0].id.clone();
    (world, app, id)
}

/// Waits until a condition of the task's history holds.
async fn history(
    world: &World,
    app: &AppName,
    id: &CronId,
    wanted: impl Fn(&[LastRun]) -> bool,
) -> Vec<LastRun> {
    for _ in 0..500 {
        let runs = world.control.cron_history(app, id, 50).await.unwrap();
        if wanted(&runs) {
            return runs;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let runs = world.control.cron_history(app, id, 50).await.unwrap();
    panic!("it never came to this: {runs:?}");
}

fn states(runs: &[LastRun]) -> Vec<&'static str> {
    runs.iter().map(|run| run.state.as_str()).collect()
}

#[tokio::test]
async fn a_due_task_runs_once_and_its_output_stays() {
    let (world, app, id) = world(short(), "allow").await;
    let next = world.control.cron_tick(START).await.unwrap();
    assert_eq!(next, Some(START + 30));
    assert!(world.engine.containers().is_empty(), "not due yet");
    for now in [START + 30, START + 31, START + 89] {
        world.control.cron_tick(now).await.unwrap();
    }
    let runs = history(&world, &app, &id, |runs| {
        runs.iter().any(|run| run.finished_at.is_some())
    })
    .await;
    assert_eq!(states(&runs), ["succeeded"]);
    assert_eq!(runs[0].due_at, Some(START + 30));
    assert_eq!(
        world.control.cron_output(runs[0].id).await.unwrap(),
        "did it\n"
    );
    let name = runs[0].container.clone().unwrap();
    let shown = world.ok(&format!("run:logs --container {name}")).await;
    assert_eq!(shown, "did it\n");
    let shown = world.ok(&format!("cron:logs shop {id}")).await;
    assert!(shown.contains("succeeded\ndid it\n"), "{shown}");
    assert!(world.engine.containers().is_empty(), "nothing is left");
}

#[tokio::test]
async fn forbidden_runs_do_not_meet_and_replaced_ones_go() {
    for (policy, expected) in [
        ("allow", ["running", "running"]),
        ("forbid", ["skipped", "running"]),
        ("replace", ["running", "replaced"]),
    ] {
        let (world, app, id) = world(forever(), policy).await;
        world.control.cron_tick(START).await.unwrap();
        world.control.cron_tick(START + MINUTE).await.unwrap();
        history(&world, &app, &id, |runs| states(runs) == ["running"]).await;
        world.control.cron_tick(START + 2 * MINUTE).await.unwrap();
        history(&world, &app, &id, |runs| states(runs) == expected).await;
        if policy == "forbid" {
            let said = world.refused(&format!("cron:run shop {id}")).await;
            assert!(said.contains("currently has a cron lock"), "{said}");
            let again = format!("run:detached --cron-id {id} --concurrency-policy forbid shop x");
            assert!(world.refused(&again).await.contains("cron lock"));
        }
    }
}

#[tokio::test]
async fn what_was_due_while_nobody_was_there_runs_once() {
    let (world, app, id) = world(short(), "allow").await;
    world.control.cron_tick(START).await.unwrap();
    let world = world.restarted().await;
    world.control.adopt_cron_runs().await.unwrap();
    world.control.cron_tick(START + 10 * MINUTE).await.unwrap();
    let runs = history(&world, &app, &id, |runs| states(runs) == ["succeeded"]).await;
    assert_eq!(
        (runs[0].missed, runs[0].due_at),
        (9, Some(START + 30 + 9 * MINUTE))
    );
}

#[tokio::test]
async fn a_run_outlives_the_daemon() {
    let (world, app, id) = world(forever(), "allow").await;
    world.control.cron_tick(START).await.unwrap();
    world.control.cron_tick(START + MINUTE).await.unwrap();
    history(&world, &app, &id, |runs| states(runs) == ["running"]).await;
    let world = world.restarted().await;
    let container = world.engine.containers()[0].id.clone();
    assert!(
        world
            .control
            .deployer
            .orphaned_runs()
            .await
            .unwrap()
            .is_empty(),
        "it is nobody's orphan"
    );
    world.control.adopt_cron_runs().await.unwrap();
    world.engine.exit(&container, 3).unwrap();
    let runs = history(&world, &app, &id, |runs| states(runs) == ["failed"]).await;
    assert_eq!(runs[0].exit_code, Some(3));
}

#[tokio::test]
async fn one_that_was_written_down_and_not_begun_begins() {
    let (world, app, id) = world(short(), "allow").await;
    let new = sarsen_store::NewCronRun {
        app: app.clone(),
        task: id.clone(),
        command: "work hard".to_owned(),
        due_at: Some(START),
        missed: 0,
        ttl: 60,
    };
    world.control.store.cron().begin(&new).await.unwrap();
    let world = world.restarted().await;
    world.control.adopt_cron_runs().await.unwrap();
    history(&world, &app, &id, |runs| states(runs) == ["succeeded"]).await;
}

#[tokio::test]
async fn without_an_engine_a_task_stays_due() {
    let (world, app, id) = world(short(), "allow").await;
    world.control.cron_tick(START).await.unwrap();
    world.engine.go_away();
    world.control.cron_tick(START + MINUTE).await.unwrap();
    assert!(
        world
            .control
            .cron_history(&app, &id, 9)
            .await
            .unwrap()
            .is_empty()
    );
    world.engine.come_back();
    world.control.cron_tick(START + MINUTE + 2).await.unwrap();
    history(&world, &app, &id, |runs| states(runs) == ["succeeded"]).await;
}

#[tokio::test]
async fn suspended_tasks_wait_and_catch_nothing_up() {
    let (world, app, id) = world(short(), "allow").await;
    world.control.cron_tick(START).await.unwrap();
    for (stop, go) in [
        (
            format!("cron:suspend shop {id}"),
            format!("cron:resume shop {id}"),
        ),
        (
            "cron:set --global maintenance true".to_owned(),
            "cron:set shop maintenance false".to_owned(),
        ),
    ] {
        world.ok(&stop).await;
        assert!(
            world
                .ok("cron:list --format json shop")
                .await
                .contains(r#""next_run":null"#)
        );
        world.control.cron_tick(START + 5 * MINUTE).await.unwrap();
        world.ok(&go).await;
        world
            .control
            .cron_tick(START + 5 * MINUTE + 1)
            .await
            .unwrap();
        assert!(world.engine.calls_of(Operation::Create).is_empty());
    }
    world.control.cron_tick(START + 6 * MINUTE).await.unwrap();
    history(&world, &app, &id, |runs| states(runs) == ["succeeded"]).await;
}

#[tokio::test]
async fn run_now_follows_the_output_and_gives_the_exit_code() {
    let behaviour = Behaviour {
        exit: Some(7),
        log_lines: vec!["no luck".to_owned()],
        ..Behaviour::default()
    };
    let (world, app, id) = world(behaviour, "allow").await;
    let said = world.say(&format!("cron:run shop {id}")).await;
    assert_eq!((said.code, said.stdout.as_str()), (7, "no luck\n"));
    let name = world.ok(&format!("cron:run --detach shop {id}")).await;
    assert!(name.starts_with("shop.run."), "{name}");
    history(&world, &app, &id, |runs| {
        states(runs) == ["failed", "failed"]
    })
    .await;
}

#[tokio::test]
async fn bad_input_changes_nothing() {
    let (world, _, id) = world(short(), "allow").await;
    for bad in [
        "cron:run shop nosuchtask".to_owned(),
        "cron:suspend shop nosuchtask".to_owned(),
        format!("cron:run --ttl-seconds 0 shop {id}"),
        "cron:set shop maintenance maybe".to_owned(),
        "cron:set shop mailto ops@example.com".to_owned(),
        "cron:set --global mailto nobody@@".to_owned(),
        "cron:set --global mailfrom 'a@b c'".to_owned(),
        "cron:set shop timezone Mars/Olympus".to_owned(),
        format!("cron:set --global maintenance.{id} true"),
        format!("cron:set shop maintenance.{id} maybe"),
        "cron:set shop nope 1".to_owned(),
        "cron:list --format xml shop".to_owned(),
        "cron:list nowhere".to_owned(),
        "run --concurrency-policy forbid shop x".to_owned(),
        format!("run --cron-id {id} --concurrency-policy never shop x"),
        "run --label com.sarsen.owner=me shop x".to_owned(),
        "run:logs".to_owned(),
        "run:stop --container nobody".to_owned(),
    ] {
        assert!(!world.refused(&bad).await.is_empty(), "{bad}");
    }
    assert!(world.engine.containers().is_empty());
    let report = world.ok("cron:report shop --format json").await;
    assert!(report.contains(r#""task-count":"1""#), "{report}");
    assert!(
        report.contains(r#""computed-maintenance":"false""#),
        "{report}"
    );
}
