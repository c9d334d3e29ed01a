//! What failed containers wrote, and how the drains are doing.

use sarsen_domain::{AppName, BuildStatus};
use sarsen_store::{BuildRecord, Scope};

use crate::control::Control;
use crate::drains::STOPPED;
use crate::failure::{Failure, Outcome};
use crate::table::Call;
use crate::time::rfc3339;

/// So many lines of a build say what went wrong with it.
const LAST_LINES: usize = 50;

/// `logs:failed APP|--all`: a failed deploy's log holds what its containers wrote.
pub(super) async fn failed(control: &Control, call: &mut Call) -> Outcome {
    let apps = match &call.app {
        Some(app) => vec![AppName::clone(app)],
        None => {
            let apps = control.store.apps().list().await?;
            control.visible(&call.identity, apps).await?
        }
    };
    for app in apps {
        let builds = control.store.builds().list(&app).await?;
        let mut failed = builds
            .iter()
            .filter(|build| build.status == BuildStatus::Failed);
        match failed.next() {
            Some(build) => show_failed(control, call, build).await?,
            None => {
                let text = format!("No deploy of {app} has failed");
                call.out.warn(&text).await?;
            }
        }
    }
    Ok(())
}

async fn show_failed(control: &Control, call: &mut Call, build: &BuildRecord) -> Outcome {
    let (app, id) = (&build.app, &build.id);
    // A build has a stage when it has come to one.
    let what = match build.stage.as_deref() {
        None | Some("build") => "build",
        Some("release") => "release",
        Some(_) => "deploy",
    };
    let time = rfc3339(build.finished_at.unwrap_or(build.started_at));
    call.out
        .title(&format!("The {what} of {app} failed at {time} ({id})"))
        .await?;
    let log = tokio::fs::read(control.logs.path(app, id)).await;
    let log = log.unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let said = containers_of(&log);
    if !said.is_empty() {
        return call.out.bytes(said.as_bytes()).await;
    }
    if log.is_empty() {
        let why = build.error.as_deref().unwrap_or("Its log is gone");
        return call.out.warn(why).await;
    }
    call.out.bytes(end_of(&log).as_bytes()).await
}

/// The last lines of a log.
fn end_of(log: &str) -> String {
    let count = log.lines().count();
    let end = log.lines().skip(count.saturating_sub(LAST_LINES));
    end.map(|line| format!("{line}\n")).collect()
}

/// The parts of a deploy's log that quote its containers.
fn containers_of(log: &str) -> String {
    let mut quoted = String::new();
    let mut inside = false;
    for line in log.lines() {
        inside |= line.starts_with("=====> Start of ") && line.contains(" container output (");
        if inside {
            quoted.push_str(line);
            quoted.push('\n');
        }
        inside &= !line.starts_with("=====> End of ");
    }
    quoted
}

/// `logs:vector-logs`: our drains have a state where Vector would have a log.
pub(super) async fn vector_logs(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--tail") {
        return Err(Failure::new(
            "The drains are part of the daemon and have no log to follow: see 'logs:vector-logs' for how they are doing",
        ));
    }
    let count = call.args.value("--num").unwrap_or("100");
    let count: usize = count
        .parse()
        .map_err(|_| Failure::new("--num needs a number of lines"))?;
    let properties = control.store.properties();
    let stopped = properties.get(&Scope::Global, "logs", STOPPED).await?;
    if stopped.as_deref() == Some("true") {
        call.out
            .warn("Logs are sent nowhere: start them with 'logs:vector-start'")
            .await?;
    }
    let mut rows = Vec::new();
    if !call.out.quiet {
        let titles = ["App", "Sink", "Sent", "Waiting", "Lost", "Trouble"];
        rows.push(titles.map(str::to_owned).to_vec());
    }
    let states = control.drains.states().into_iter().take(count);
    rows.extend(states.map(|(app, sink, state)| {
        vec![
            app.to_string(),
            sink,
            state.sent.to_string(),
            state.queued.to_string(),
            state.dropped.to_string(),
            state.error.unwrap_or_else(|| "none".to_owned()),
        ]
    }));
    call.out.table(&rows).await
}

/// `logs:vector-start`
pub(super) async fn vector_start(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--vector-image") {
        return Err(Failure::new(
            "The drains are part of the daemon and need no image: leave --vector-image out",
        ));
    }
    let properties = control.store.properties();
    properties.unset(&Scope::Global, "logs", STOPPED).await?;
    call.out.header("Logs are sent to their sinks").await
}

/// `logs:vector-stop`
pub(super) async fn vector_stop(control: &Control, call: &mut Call) -> Outcome {
    let properties = control.store.properties();
    properties
        .set(&Scope::Global, "logs", STOPPED, "true")
        .await?;
    call.out.header("Logs are sent nowhere").await
}

#[cfg(test)]
mod tests {
    use sarsen_domain::{AppName, BuildKind, BuildSource, BuildStatus, Progress};
    use sarsen_runtime::fake::Behaviour;

    use crate::testing::World;

    async fn fail(world: &World, stage: &str, log: &str) {
        let app = AppName::parse("shop").unwrap();
        let builds = world.control.store.builds();
        let (kind, source) = (BuildKind::Build, BuildSource::GitHook);
        let build = builds.start(&app, kind, source, "ada").await.unwrap().id;
        builds.set_stage(&build, stage).await.unwrap();
        let file = world.control.logs.create(&app, &build).unwrap();
        file.write(log.as_bytes());
        let failed = builds.finish(&build, BuildStatus::Failed, Some(1), None);
        failed.await.unwrap();
    }

    #[tokio::test]
    async fn what_failed_last_is_shown_and_named() {
        let world = World::new(Behaviour::default()).await;
        world.release("shop", "web: serve", None).await;
        let said = world.say("logs:failed shop").await;
        assert_eq!((said.code, said.stdout.as_str()), (0, ""));
        assert_eq!(said.stderr, " !     No deploy of shop has failed\n");
        let quoted = "=====> Start of shop container output (abc web.1)\n       boom\n\
                      =====> End of shop container output (abc web.1)\n";
        let log = format!("-----> Building\n{quoted} !     web.1 did not start\n");
        fail(&world, "health", &log).await;
        let shown = world.ok("logs:failed shop").await;
        let (title, rest) = shown.split_once('\n').unwrap();
        assert!(title.starts_with("=====> The deploy of shop failed at 20"));
        assert_eq!(rest, quoted);
        let lines: String = (1..=60).map(|n| format!("line {n}\n")).collect();
        fail(&world, "build", &lines).await;
        let shown = world.ok("logs:failed --all").await;
        let (title, rest) = shown.split_once('\n').unwrap();
        assert!(title.starts_with("=====> The build of shop failed at 20"));
        assert!(rest.starts_with("line 11\n") && rest.ends_with("line 60\n"));
        assert_eq!(world.ok("--quiet logs:failed shop").await, rest);
    }

    #[test]
    fn what_containers_wrote_is_found_in_the_log() {
        let log = "-----> Deploying web (count=1)\n=====> Start of shop container output (abc web.1)\n       \
                   boom\n=====> End of shop container output (abc web.1)\n !     failed\n";
        let found = super::containers_of(log);
        assert_eq!(found.lines().count(), 3);
        assert!(found.contains("       boom\n"));
        assert_eq!(super::containers_of("nothing"), "");
    }

    #[tokio::test]
    async fn sinks_are_checked_before_they_are_set() {
        let world = World::new(Behaviour::default()).await;
        world.release("shop", "web: serve", None).await;
        for bad in [
            "logs:set shop vector-sink datadog_logs://?api_key=x",
            "logs:set shop vector-sink file:///etc/passwd",
            "logs:set shop app-label-alias 'a b'",
            "logs:set shop vector-image x",
            "logs:vector-start --vector-image x",
            "logs:vector-logs --tail",
        ] {
            assert!(!world.refused(bad).await.is_empty(), "{bad}");
        }
        let shown = world
            .ok("logs:report shop --logs-computed-vector-sink")
            .await;
        assert_eq!(shown, "\n");
        world.ok("logs:set shop vector-sink file://shop.log").await;
        world.ok("logs:vector-stop").await;
        let said = world.say("logs:vector-logs").await;
        assert!(said.stderr.contains("sent nowhere"), "{}", said.stderr);
    }
}
