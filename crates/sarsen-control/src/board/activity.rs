//! What happened to an app: releases and failed builds, and what people did, in one list.

use sarsen_domain::{AppName, BuildStatus};
use sarsen_store::{Event, Instance, NewEvent};

use super::Activity;
use super::AuditRow;
use crate::control::Control;
use crate::failure::Outcome;

/// Commands whose effect shows as a release or a build.
const SHOWN_OTHERWISE: [&str; 11] = [
    "git-receive-pack",
    "git-upload-pack",
    "git:from-image",
    "git:from-archive",
    "git:sync",
    "git:load-image",
    "ps:rebuild",
    "rollback",
    "releases:rollback",
    "run",
    "builds:cancel",
];

impl Control {
    /// The newest things that happened to an app, newest first.
    pub async fn activity(&self, app: &AppName, count: usize) -> Outcome<Vec<Activity>> {
        let mut all = Vec::new();
        for release in self.store.releases().list(app, count).await? {
            all.push(Activity {
                at: release.created_at,
                kind: "release",
                action: "release".to_owned(),
                text: release.description,
                actor: release.author,
                door: String::new(),
                ok: release.state != sarsen_domain::ReleaseState::Failed,
                release: Some(release.number.0),
                build: Some(release.build.to_string()),
            });
        }
        for build in self.store.builds().list(app).await?.into_iter().take(count) {
            if matches!(build.status, BuildStatus::Running | BuildStatus::Succeeded) {
                continue;
            }
            all.push(Activity {
                at: build.started_at,
                kind: "deploy",
                action: build.source.as_str().to_owned(),
                text: build
                    .error
                    .unwrap_or_else(|| format!("Deploy {}", build.status)),
                actor: build.author,
                door: String::new(),
                ok: false,
                release: build.release.map(|number| number.0),
                build: Some(build.id.to_string()),
            });
        }
        let events = self.store.events().of(app.as_str(), count).await?;
        let own = events
            .iter()
            .filter(|event| !SHOWN_OTHERWISE.contains(&event.action.as_str()));
        all.extend(own.map(activity));
        // A release says more than the build that it failed with.
        all.sort_by_key(|activity| (std::cmp::Reverse(activity.at), activity.kind == "deploy"));
        all.truncate(count);
        Ok(all)
    }

    /// Writes down that a process ended by itself and was started again.
    pub(crate) async fn note_crash(&self, instance: &Instance, restarts: u64) {
        let dyno = format!("{}.{}", instance.process, instance.index);
        let text =
            format!("{dyno} ended by itself and was started again ({restarts} times so far)");
        self.note("crash", &instance.app, &text, 1).await;
    }

    /// Writes down what the daemon did, or saw happen, by itself.
    pub(crate) async fn note(&self, action: &str, app: &AppName, text: &str, code: u8) {
        let detail = serde_json::json!({ "exit_code": code, "text": text });
        let event = NewEvent {
            actor: "sarsen",
            source_ip: None,
            action,
            object: app.as_str(),
            detail: &detail,
        };
        if let Err(error) = self.store.events().append(event).await {
            tracing::error!(%error, "cannot append to the audit log");
        }
    }

    /// The audit log, newest first; what comes before an entry when one is named.
    pub async fn audit_rows(&self, before: Option<i64>, count: usize) -> Outcome<Vec<AuditRow>> {
        let events = self
            .store
            .events()
            .before(before.unwrap_or(i64::MAX), count)
            .await?;
        Ok(events.into_iter().map(audit_row).collect())
    }

    /// The first entry of the audit log that was tampered with, if one was.
    pub async fn first_broken_event(&self) -> Outcome<Option<i64>> {
        Ok(self.store.events().first_broken().await?)
    }
}

fn ok(event: &Event) -> bool {
    event
        .detail
        .get("exit_code")
        .and_then(serde_json::Value::as_i64)
        .unwrap_or(0)
        == 0
}

fn door(event: &Event) -> String {
    let door = event.detail.get("door").and_then(serde_json::Value::as_str);
    door.unwrap_or_default().to_owned()
}

fn activity(event: &Event) -> Activity {
    let text = event.detail.get("text").and_then(serde_json::Value::as_str);
    Activity {
        at: event.at_ms / 1000,
        kind: kind(&event.action),
        text: text.map_or_else(|| sentence(&event.action), str::to_owned),
        action: event.action.clone(),
        actor: event.actor.clone(),
        door: door(event),
        ok: ok(event),
        release: None,
        build: None,
    }
}

fn audit_row(event: Event) -> AuditRow {
    AuditRow {
        door: door(&event),
        ok: ok(&event),
        id: event.id,
        at_ms: event.at_ms,
        actor: event.actor,
        source: event.source_ip.map(|ip| ip.to_string()),
        action: event.action,
        object: event.object,
        detail: event.detail,
    }
}

fn kind(action: &str) -> &'static str {
    let (noun, verb) = action.split_once(':').unwrap_or((action, ""));
    match (noun, verb) {
        ("config", _) => "config",
        ("ps", "scale") => "scale",
        ("ps" | "restart" | "maintenance", _) => "process",
        ("crash", _) => "crash",
        ("letsencrypt" | "certs" | "certificate", _) => "certificate",
        ("domains" | "redirect" | "ports" | "proxy", _) => "domain",
        (_, "link" | "unlink") => "addon",
        _ => "other",
    }
}

/// What a command did, from its own line of help.
fn sentence(action: &str) -> String {
    match action {
        "config:set" => "Set config vars".to_owned(),
        "config:unset" => "Unset config vars".to_owned(),
        "config:import" => "Imported config vars".to_owned(),
        "config" | "config:get" | "config:show" | "config:export" => {
            "Looked at config values".to_owned()
        }
        "ps:scale" => "Scaled".to_owned(),
        "ps:restart" => "Restarted".to_owned(),
        "ps:stop" => "Stopped".to_owned(),
        "ps:start" => "Started".to_owned(),
        "apps:create" => "Created".to_owned(),
        other => crate::table::find(other)
            .map_or_else(|| other.to_owned(), |command| command.help.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use sarsen_runtime::fake::Behaviour;

    use crate::testing::World;

    #[tokio::test]
    async fn what_people_did_and_what_came_of_it_is_one_list() {
        let world = World::new(Behaviour::default()).await;
        world.release("shop", "web: x", None).await;
        world.ok("config:set --no-restart shop A=1").await;
        world.refused("ps:scale shop web=-1").await;
        let shop = "shop".parse().unwrap();
        let all = world.control.activity(&shop, 10).await.unwrap();
        let kinds: Vec<_> = all.iter().map(|one| (one.kind, one.ok)).collect();
        for expected in [("release", true), ("config", true), ("scale", false)] {
            assert!(kinds.contains(&expected), "{expected:?} in {all:?}");
        }
        assert!(all.iter().all(|one| !one.text.contains("A=1")));
        world.control.note("crash", &shop, "web.1 ended", 1).await;
        let all = world.control.activity(&shop, 10).await.unwrap();
        let crash = all.iter().find(|one| one.kind == "crash").unwrap();
        assert_eq!((crash.text.as_str(), crash.ok), ("web.1 ended", false));
        let audit = world.control.audit_rows(Some(3), 10).await.unwrap();
        assert_eq!((audit[0].action.as_str(), audit[0].ok), ("ps:scale", false));
        assert_eq!(audit[0].door, "host");
        let older = world
            .control
            .audit_rows(Some(audit[0].id), 10)
            .await
            .unwrap();
        assert_eq!(older[0].action, "config:set");
        assert_eq!(world.control.first_broken_event().await.unwrap(), None);
    }
}
