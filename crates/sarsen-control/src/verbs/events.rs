//! What has happened: the audit trail, which is kept whether somebody looks at it or not.

use std::time::Duration;

use sarsen_plugins::Trigger;
use sarsen_store::{Event, Scope};

use crate::control::Control;
use crate::failure::{Failure, Outcome, STOPPING};
use crate::table::{Call, Command, commands, verb};
use crate::time::rfc3339;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "events",
        "[-t|--tail]",
        Read,
        "Shows the last events, or follows them",
        events
    ),
    verb!("events:list", "", Read, "Lists what is logged", list),
    verb!(
        "events:off",
        "",
        Host,
        "Keeps events from the daemon's log, and triggers from being events",
        off
    ),
    verb!(
        "events:on",
        "",
        Host,
        "Has every trigger that is fired be an event, and events written to the daemon's log as well",
        on
    ),
];

const SHOWN: usize = 100;
/// How often somebody who follows is told what is new.
const LOOK: Duration = Duration::from_millis(500);

async fn events(control: &Control, call: &mut Call) -> Outcome {
    let mut last = 0;
    loop {
        let mut events = control.store.events().list(SHOWN).await?;
        events.retain(|event| event.id > last);
        events.sort_by_key(|event| event.id);
        for event in &events {
            last = event.id;
            call.out.line(&shown(event)).await?;
        }
        if !call.args.has("--tail") {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = call.gone.cancelled() => return Ok(()),
            () = control.shutdown.cancelled() => return Err(Failure::new(STOPPING)),
        }
    }
}

/// `2026-11-22T10:00:00Z ada ps:restart shop exit_code=0`, `2026-11-22T10:00:00Z sarsen INVOKED: post-create( shop )`
fn shown(event: &Event) -> String {
    if event.detail.get("invoked").is_some() {
        return format!(
            "{} {} INVOKED: {}( {} )",
            rfc3339(event.at_ms / 1000),
            event.actor,
            event.action,
            event.object.escape_debug()
        );
    }
    let mut text = format!(
        "{} {} {} {}",
        rfc3339(event.at_ms / 1000),
        event.actor,
        event.action,
        event.object.escape_debug()
    );
    for (key, value) in event.detail.as_object().into_iter().flatten() {
        text.push_str(&format!(" {key}={value}"));
    }
    text
}

async fn list(_: &Control, call: &mut Call) -> Outcome {
    call.out.title("Events currently logged").await?;
    let changing = commands().filter(|command| command.action != crate::access::Action::Read);
    let commands = changing.map(|command| command.name);
    let names: String = commands
        .chain(Trigger::NAMES.iter().copied())
        .map(|name| format!("{name}\n"))
        .collect();
    call.out.bytes(names.as_bytes()).await
}

async fn on(control: &Control, call: &mut Call) -> Outcome {
    let properties = control.store.properties();
    properties
        .set(&Scope::Global, "events", "logged", "true")
        .await?;
    call.out.header("Enabling event logger").await
}

async fn off(control: &Control, call: &mut Call) -> Outcome {
    let properties = control.store.properties();
    properties.unset(&Scope::Global, "events", "logged").await?;
    call.out.header("Disabling event logger").await
}

#[cfg(test)]
mod tests {
    use sarsen_runtime::fake::Behaviour;

    use crate::testing::World;

    #[tokio::test]
    async fn what_was_changed_is_told_with_its_outcome() {
        let world = World::new(Behaviour::default()).await;
        world.ok("apps:create shop").await;
        world.refused("checks:set shop wait-to-retire soon").await;
        world.ok("apps:report shop").await;
        let shown = world.ok("events").await;
        let lines: Vec<_> = shown.lines().collect();
        assert_eq!(lines.len(), 2, "{shown}");
        assert!(
            lines[0].ends_with(" apps:create shop exit_code=0 door=\"host\""),
            "{shown}"
        );
        assert!(
            lines[1].ends_with(" checks:set shop exit_code=1 door=\"host\""),
            "{shown}"
        );
        assert!(world.ok("events:list").await.contains("\nconfig:set\n"));
        assert!(world.ok("events:list").await.contains("\npost-deploy\n"));
        world.ok("events:on").await;
        world.ok("apps:create loud").await;
        world.ok("events:off").await;
        world.ok("apps:create quiet").await;
        let shown = world.ok("events").await;
        assert!(
            shown.contains(" sarsen INVOKED: post-create( loud )\n"),
            "{shown}"
        );
        assert!(!shown.contains("post-create( quiet )"), "{shown}");
    }
}
