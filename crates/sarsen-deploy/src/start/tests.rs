//! Deploys on the engine in memory: each cause of failure, order, cancellation, clean-up.

use super::*;
use crate::testing::{World, until};
use futures_util::FutureExt;
use sarsen_domain::Check;
use sarsen_runtime::fake::{Behaviour, Operation, ScriptedExec};
use sarsen_runtime::{ContainerRuntime, ContainerStatus, ImageHealth, RuntimeError};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

fn serving() -> Behaviour {
    Behaviour {
        listens: vec![5000],
        ..Behaviour::default()
    }
}

fn planned(dynos: &[&str]) -> Vec<PlannedInstance> {
    let numbered = dynos.iter().zip(1..);
    numbered
        .map(|(dyno, id)| {
            let (process, index) = dyno.split_once('.').unwrap();
            PlannedInstance {
                id,
                process: ProcessType::parse(process).unwrap(),
                index: index.parse().unwrap(),
            }
        })
        .collect()
}

impl World {
    async fn deploy(&self, dynos: &[&str]) -> Result<Candidate, DeployError> {
        self.deploy_with(dynos, &|_| async { Ok(()) }.boxed()).await
    }

    async fn deploy_with(
        &self,
        dynos: &[&str],
        on_created: OnCreated<'_>,
    ) -> Result<Candidate, DeployError> {
        let plan = DeployPlan {
            release: &self.release,
            instances: &planned(dynos),
            settings: &self.settings,
        };
        self.deployer
            .start(plan, &self.output, &self.cancel, on_created)
            .await
    }

    /// The cause of the failure of `web.1`, of which nothing must be left.
    async fn failure(&self) -> Cause {
        let error = self.deploy(&["web.1"]).await.unwrap_err();
        assert_eq!(self.containers(), Vec::<String>::new());
        let DeployError::NotReady { cause, .. } = error else {
            panic!("{error}");
        };
        cause
    }

    fn check(&mut self, json: &str) {
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let check = Check::from_json(value).unwrap().unwrap();
        let checks = self.settings.checks.entry(ProcessType::web());
        checks.or_default().push(check);
    }
}

#[tokio::test]
async fn web_comes_first_and_each_container_is_written_down_before_it_starts() {
    let world = World::new(serving());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let (engine, log) = (world.engine.clone(), seen.clone());
    let on_created = move |created: Created| {
        let infos = engine.containers();
        let info = infos.iter().find(|info| info.id == created.container);
        assert_eq!(info.unwrap().status, ContainerStatus::Created);
        let name = created.name.as_str().split(".upcoming-").next().unwrap();
        log.lock()
            .unwrap()
            .push(format!("{} {name}", created.instance));
        async { Ok(()) }.boxed()
    };
    let dynos = ["worker.1", "web.2", "web.1"];
    let candidate = world.deploy_with(&dynos, &on_created).await.unwrap();
    let mut seen = seen.lock().unwrap().clone();
    seen.get_mut(..2).unwrap().sort();
    assert_eq!(seen, ["2 app.web.2", "3 app.web.1", "1 app.worker.1"]);
    let order: Vec<_> = candidate.instances.iter().map(|one| one.instance).collect();
    assert_eq!(order, [3, 2, 1]);
    assert_eq!(candidate.instances[0].port, Some(5000));
    assert!(candidate.instances[0].address.is_some());
    assert_eq!(candidate.instances[2].port, None);
    assert_eq!(
        world.output.text(),
        "-----> Deploying web (count=2)\n-----> Deploying worker (count=1)\n"
    );
}

#[tokio::test]
async fn an_engine_that_cannot_start_it() {
    let world = World::new(Behaviour {
        start_error: Some("exec: \"serve\": executable file not found in $PATH".into()),
        ..Behaviour::default()
    });
    let cause = world.failure().await;
    assert_eq!(
        cause.to_string(),
        "its command 'serve' was not found in the image"
    );
}

#[tokio::test]
async fn an_early_end_shows_the_last_output() {
    let world = World::new(Behaviour {
        exit: Some(3),
        log_lines: vec!["hello".into(), "cannot find the database".into()],
        ..Behaviour::default()
    });
    assert_eq!(world.failure().await, Cause::Exited(3));
    let text = world.output.text();
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert_eq!(
        lines[0],
        " !     Could not start web.1: it exited with code 3"
    );
    assert!(lines[1].starts_with("=====> Start of app container output ("));
    assert!(lines[1].ends_with(" web.1)"));
    assert_eq!(
        lines[2..4],
        ["       hello", "       cannot find the database"]
    );
    assert!(lines[4].starts_with("=====> End of app container output ("));
}

#[tokio::test]
async fn nothing_on_the_port() {
    let world = World::new(Behaviour {
        listens: vec![5001],
        ..Behaviour::default()
    });
    let cause = world.failure().await;
    assert!(
        matches!(cause, Cause::NotListening { port: 5000, .. }),
        "{cause}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_is_told_meanwhile() {
    let mut world = World::new(Behaviour::default());
    world.settings.health_window = Duration::from_secs(60);
    world.settings.parallel = 2;
    let begun = tokio::time::Instant::now();
    world.deploy(&["web.1", "web.2"]).await.unwrap_err();
    let took = begun.elapsed().as_secs();
    assert!((60..62).contains(&took), "{took}");
    let text = world.output.text();
    let (before, _) = text.split_once(" !     Could not start").unwrap();
    let mut told: Vec<_> = before.lines().skip(1).collect();
    told.sort_unstable();
    let line = |dyno| {
        format!("       {dyno} is not ready yet: nothing listens on PORT=5000 (waiting up to 60 s)")
    };
    assert_eq!(told, [line("web.1"), line("web.2")]);
}

#[tokio::test(start_paused = true)]
async fn a_healthcheck_that_does_not_pass_is_told() {
    let world = World::new(Behaviour {
        health: ImageHealth::Starting,
        ..Behaviour::default()
    });
    let decide = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        let id = world.engine.containers()[0].id.clone();
        world.engine.set_health(&id, ImageHealth::Healthy).unwrap();
    };
    let (outcome, ()) = tokio::join!(world.deploy(&["web.1"]), decide);
    outcome.unwrap();
    assert_eq!(
        world.output.text(),
        "-----> Deploying web (count=1)\n       web.1 is not ready yet: the HEALTHCHECK of its image has not passed \
         (waiting until the container engine decides)\n"
    );
}

#[tokio::test]
async fn a_healthcheck_decides() {
    for (says, is_ok) in [
        (ImageHealth::Healthy, true),
        (ImageHealth::Unhealthy, false),
    ] {
        let world = World::new(Behaviour {
            health: ImageHealth::Starting,
            ..Behaviour::default()
        });
        let decide = async {
            let running = || world.containers().iter().any(|c| c.ends_with(" running"));
            until("the start", running).await;
            let id = world.engine.containers()[0].id.clone();
            world.engine.set_health(&id, says).unwrap();
        };
        let (outcome, ()) = tokio::join!(world.deploy(&["web.1"]), decide);
        assert_eq!(outcome.is_ok(), is_ok);
        if let Err(error) = outcome {
            assert!(error.to_string().contains("HEALTHCHECK"), "{error}");
        }
    }
}

#[tokio::test]
async fn http_checks_look_at_status_and_content() {
    let quick = r#""attempts": 2, "wait": 0"#;
    for (status, check, problem) in [
        (200, r#""path": "/up", "content": "app.web.1""#, None),
        (
            500,
            r#""path": "/up""#,
            Some("/up answered 500, expected 2xx"),
        ),
        (
            200,
            r#""path": "/up", "content": "x!""#,
            Some("does not hold 'x!'"),
        ),
        (
            200,
            r#""path": "/", "port": 5001"#,
            Some("nothing answers on port 5001"),
        ),
    ] {
        let mut world = World::new(Behaviour {
            http_status: status,
            ..serving()
        });
        world.check(&format!("{{{check}, {quick}}}"));
        match problem {
            None => assert!(world.deploy(&["web.1"]).await.is_ok(), "{check}"),
            Some(problem) => {
                let cause = world.failure().await.to_string();
                assert!(cause.contains(problem), "{cause}");
            }
        }
    }
}

#[tokio::test]
async fn command_checks_look_at_the_exit_code() {
    let mut world = World::new(Behaviour {
        execs: vec![ScriptedExec {
            matches: "bin/check".into(),
            output: "no database\n".into(),
            exit: 2,
            ..ScriptedExec::default()
        }],
        ..Behaviour::default()
    });
    world.check(r#"{"command": ["bin/check", "db"], "attempts": 1, "wait": 0, "name": "db"}"#);
    let cause = world.failure().await;
    assert_eq!(cause.to_string(), "db failed: exit code 2: no database");
    world.settings.checks.clear();
    world.check(r#"{"command": ["true"]}"#);
    assert!(world.deploy(&["web.1"]).await.is_ok());
}

#[tokio::test]
async fn a_check_may_only_warn() {
    let mut world = World::new(Behaviour::default());
    world.check(r#"{"listening": true, "attempts": 1, "wait": 0, "warn": true}"#);
    world.check(r#"{"uptime": 0}"#);
    assert!(world.deploy(&["web.1"]).await.is_ok());
    let text = world.output.text();
    assert!(
        text.contains("PORT=5000") && text.contains("only a warning"),
        "{text}"
    );
}

#[tokio::test]
async fn skipped_checks_ask_for_nothing() {
    let mut world = World::new(Behaviour::default());
    world.settings.check_mode_default = CheckMode::Skipped;
    assert!(world.deploy(&["web.1"]).await.is_ok());
    let text = world.output.text();
    assert!(text.contains("=====> Zero downtime checks have been skipped (web.1)\n"));
}

#[tokio::test]
async fn a_cancelled_deploy_leaves_nothing() {
    let world = World::new(Behaviour {
        health: ImageHealth::Starting,
        ..Behaviour::default()
    });
    let cancel = async {
        let both = || {
            world
                .containers()
                .iter()
                .filter(|c| c.ends_with(" running"))
                .count()
                == 2
        };
        until("both", both).await;
        world.cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(world.deploy(&["web.1", "web.2"]), cancel);
    assert!(matches!(outcome, Err(DeployError::Cancelled)));
    assert_eq!(world.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_failing_second_process_takes_the_first_along() {
    let world = World::new(serving());
    let engine = world.engine.clone();
    let on_created = move |created: Created| {
        if created.name.as_str().contains("worker") {
            engine.fail_next(Operation::Start, RuntimeError::Engine("no".into()));
        }
        async { Ok(()) }.boxed()
    };
    let outcome = world.deploy_with(&["web.1", "worker.1"], &on_created).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.starts_with("worker.1 did not start"), "{error}");
    assert_eq!(world.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn after_a_failure_no_sibling_is_begun() {
    let mut world = World::new(Behaviour {
        exit: Some(1),
        ..Behaviour::default()
    });
    world.settings.parallel = 1;
    world
        .deploy(&["web.1", "web.2", "web.3"])
        .await
        .unwrap_err();
    assert_eq!(world.engine.calls_of(Operation::Create).len(), 1);
}

#[tokio::test]
async fn what_cannot_be_written_down_does_not_run() {
    let world = World::new(serving());
    let refuse = |_| async { Err("disk full".to_owned()) }.boxed();
    let error = world.deploy_with(&["web.1"], &refuse).await.unwrap_err();
    assert!(error.to_string().contains("disk full"));
    assert_eq!(world.engine.calls_of(Operation::Start).len(), 0);
    assert_eq!(world.containers(), Vec::<String>::new());
}

#[tokio::test]
async fn a_process_without_a_command_is_refused_before_anything_is_made() {
    let world = World::new(serving());
    let error = world.deploy(&["web.1", "clock.1"]).await.unwrap_err();
    assert!(matches!(error, DeployError::NoCommand(_)));
    assert_eq!(world.engine.calls_of(Operation::Create).len(), 0);
}

#[tokio::test]
async fn disabled_checks_stop_the_old_first_and_bring_it_back_on_failure() {
    let mut world = World::new(serving());
    let old = world.deploy(&["web.1"]).await.unwrap().instances[0].clone();
    world.settings.check_mode = BTreeMap::from([(ProcessType::web(), CheckMode::Disabled)]);
    let stop_first = BTreeSet::from([old.container.clone()]);
    world.settings.stop_first = BTreeMap::from([(ProcessType::web(), stop_first)]);
    let engine = world.engine.clone();
    let name = old.name.clone();
    let on_created = move |_: Created| {
        let infos = engine.containers();
        let old = infos.iter().find(|info| info.name == name.as_str());
        assert!(!old.unwrap().is_running());
        engine.fail_next(Operation::Start, RuntimeError::Engine("no".into()));
        async { Ok(()) }.boxed()
    };
    world
        .deploy_with(&["web.1"], &on_created)
        .await
        .unwrap_err();
    assert_eq!(world.containers(), [format!("{} running", old.name)]);
}

#[tokio::test]
async fn containers_are_on_the_apps_networks_before_they_start() {
    let mut world = World::new(serving());
    world.settings.networks = vec!["data".to_owned()];
    let cause = world.failure().await;
    assert!(matches!(cause, Cause::CannotStart(_)), "{cause}");
    world.engine.ensure_network("data", &[]).await.unwrap();
    let candidate = world.deploy(&["web.1"]).await.unwrap();
    let web = &candidate.instances[0];
    let networks = world.engine.networks_of(&web.container).unwrap();
    assert_eq!(networks, ["bridge", "data"]);
    assert!(web.address.is_some());
}
