//! What failed containers wrote, and how the drains are doing.

use sarsen_domain::{AppName, BuildStatus};
use sarsen_store::Scope;

use crate::control::Control;
use crate::drains::STOPPED;
use crate::failure::{Failure, Outcome};
use crate::table::Call;

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
        let last = builds
            .iter()
            .find(|build| build.status == BuildStatus::Failed);
        let mut shown = String::new();
        if let Some(build) = last {
            let path = control.logs.path(&app, &build.id);
            let log = tokio::fs::read(path).await.unwrap_or_default();
            shown = containers_of(&String::from_utf8_lossy(&log));
        }
        if shown.is_empty() {
            let text = format!("No container of a failed deploy of {app} has said anything");
            call.out.warn(&text).await?;
        }
        call.out.bytes(shown.as_bytes()).await?;
    }
    Ok(())
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
    use sarsen_runtime::fake::Behaviour;

    use crate::testing::World;

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
