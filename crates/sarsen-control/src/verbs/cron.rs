//! Scheduled tasks of app.json: what there is, run one now, let them wait.

use std::time::Duration;

use futures_util::StreamExt;
use sarsen_deploy::cron::{Schedule, Zone};
use sarsen_domain::{AppName, ContainerId, CronId, Invalid};
use sarsen_runtime::{LogOptions, StdStream};
use sarsen_store::{CronRunState, NewCronRun, Scope};

use crate::control::Control;
use crate::cron::{Begun, HostTask, TaskOverview, WantedRun, sendmail_is_there};
use crate::failure::{Failure, Outcome};
use crate::property::{Concern, Property, Reach, boolean, scopes_to_report};
use crate::report::{self, ReportKind, wants_json};
use crate::table::{Call, Command, verb};
use crate::time::rfc3339;
use crate::verbs::run::{exit, ttl};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "cron:list",
        "[--format stdout|json] <app>|--global",
        Read,
        "Lists the scheduled tasks of an app, or those of plugins",
        list
    ),
    verb!(
        "cron:logs",
        "[-n|--num N] <app> <cron-id>",
        Read,
        "Shows what the last runs of a scheduled task wrote",
        logs
    ),
    verb!(
        "cron:report",
        "[<app>] [--global] [--format stdout|json] [--cron-*]",
        Read,
        "Displays a cron report",
        report
    ),
    verb!(
        "cron:resume",
        "<app> <cron-id>",
        Change,
        "Lets a scheduled task run at its times again",
        resume
    ),
    verb!(
        "cron:run",
        "[--detach] [--ttl-seconds N] <app> <cron-id>",
        Inside,
        "Runs a scheduled task now",
        run
    ),
    verb!(
        "cron:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a cron property: mailfrom, mailto, maintenance, maintenance.CRON-ID, timezone",
        set
    ),
    verb!(
        "cron:suspend",
        "<app> <cron-id>",
        Change,
        "Keeps a scheduled task from running at its times",
        suspend
    ),
];

/// The properties of cron, but for `maintenance.ID`, which every task has.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "cron",
    properties: &[
        Property {
            key: "mailfrom",
            reach: Reach::Global,
            default: "",
            check: sender,
        },
        Property {
            key: "mailto",
            reach: Reach::Global,
            default: "",
            check: receiver,
        },
        Property {
            key: "maintenance",
            reach: Reach::AppAndGlobal,
            default: "false",
            check: boolean,
        },
        Property {
            key: "timezone",
            reach: Reach::AppAndGlobal,
            default: "",
            check: zone,
        },
    ],
    report: ReportKind {
        prefix: "cron",
        label: "cron",
        long_json_keys: true,
    },
};

fn sender(value: &str) -> Result<(), Invalid> {
    let plain = value.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    let (user, host) = value.split_once('@').unwrap_or((value, "localhost"));
    if plain && !user.is_empty() && !host.is_empty() && !value.starts_with('-') {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "Invalid mail address '{}'",
        value.escape_debug()
    )))
}

fn receiver(value: &str) -> Result<(), Invalid> {
    sender(value)?;
    sendmail_is_there()
}

fn zone(value: &str) -> Result<(), Invalid> {
    Zone::parse(value).map(|_| ())
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    let place = usize::from(!call.args.has("--global"));
    let key = call.args.get(place).unwrap_or_default().to_owned();
    if let Some(id) = key.strip_prefix("maintenance.") {
        if call.args.has("--global") {
            return Err(Failure::new(format!(
                "Property cannot be specified globally: {key}"
            )));
        }
        let app = call.app()?;
        let id = CronId::parse(id)?;
        control.cron_task(&app, &id).await?;
        let value = call.args.get(2).unwrap_or_default().to_owned();
        if value.is_empty() {
            put_maintenance(control, &app, &id, None).await?;
            call.out.title(&format!("Unsetting {key}")).await?;
        } else {
            boolean(&value)?;
            put_maintenance(control, &app, &id, Some(&value)).await?;
            call.out.title(&format!("Setting {key} to {value}")).await?;
        }
    } else {
        CONCERN.set(control, call).await?;
    }
    control.cron.changed.notify_one();
    Ok(())
}

async fn put_maintenance(
    control: &Control,
    app: &AppName,
    id: &CronId,
    value: Option<&str>,
) -> Outcome {
    let (scope, key) = (Scope::App(app.clone()), format!("maintenance.{id}"));
    let properties = control.store.properties();
    match value {
        Some(value) => properties.set(&scope, "cron", &key, value).await?,
        None => properties.unset(&scope, "cron", &key).await?,
    }
    control.cron.changed.notify_one();
    Ok(())
}

async fn suspend(control: &Control, call: &mut Call) -> Outcome {
    let (app, id) = named(control, call).await?;
    put_maintenance(control, &app, &id, Some("true")).await?;
    call.out.title(&format!("Suspended task {id}")).await
}

async fn resume(control: &Control, call: &mut Call) -> Outcome {
    let (app, id) = named(control, call).await?;
    // What the file says would hold again if nothing stood over it.
    let in_file = control.cron_task(&app, &id).await?.maintenance;
    put_maintenance(control, &app, &id, in_file.then_some("false")).await?;
    call.out.title(&format!("Resumed task {id}")).await
}

/// The app and the task that the words name.
async fn named(control: &Control, call: &mut Call) -> Outcome<(AppName, CronId)> {
    let app = AppName::clone(&*call.app()?);
    let id = CronId::parse(call.args.get(1).unwrap_or_default())?;
    control.cron_task(&app, &id).await?;
    Ok((app, id))
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let json = wants_json(call)?;
    if call.args.has("--global") {
        return list_host(control, call).await;
    }
    let app = call.app()?;
    let tasks = control.cron_tasks(&app).await?;
    if json {
        let name = app.as_str();
        let rows = tasks.iter().map(|task| to_json(name, task)).collect();
        let text = serde_json::Value::Array(rows).to_string();
        return call.out.line(&text).await;
    }
    let rows = tasks.iter().map(|task| {
        vec![
            task.id.to_string(),
            task.schedule.clone(),
            task.policy.to_string(),
            (task.app_in_maintenance || task.in_maintenance).to_string(),
            task.command.clone(),
        ]
    });
    table(call, rows.collect()).await
}

async fn table(call: &mut Call, tasks: Vec<Vec<String>>) -> Outcome {
    let mut rows = Vec::new();
    if !call.out.quiet {
        let titles = ["ID", "Schedule", "Concurrency", "Maintenance", "Command"];
        rows.push(titles.map(str::to_owned).to_vec());
    }
    rows.extend(tasks);
    call.out.table(&rows).await
}

/// What plugins want done on the host.
async fn list_host(control: &Control, call: &mut Call) -> Outcome {
    let tasks = control.host_tasks().await?;
    if wants_json(call)? {
        let row = |one: &HostTask| {
            serde_json::json!({
                "id": one.id().as_str(), "app": "", "command": one.task.command, "global": true,
                "schedule": one.task.schedule, "concurrency_policy": "forbid",
                "app-in-maintenance": false, "task-in-maintenance": false, "maintenance": false,
                "plugin": one.plugin.as_str(), "log-file": one.log,
            })
        };
        let rows = tasks.iter().map(row).collect();
        let text = serde_json::Value::Array(rows).to_string();
        return call.out.line(&text).await;
    }
    let rows = tasks.into_iter().map(|one| {
        vec![
            one.id().to_string(),
            one.task.schedule,
            "forbid".to_owned(),
            "false".to_owned(),
            one.task.command,
        ]
    });
    table(call, rows.collect()).await
}

fn to_json(app: &str, task: &TaskOverview) -> serde_json::Value {
    let last = task.last_run.as_ref().map(|run| {
        serde_json::json!({
            "id": run.id, "state": run.state.as_str(), "due_at": run.due_at.map(rfc3339),
            "missed": run.missed, "started_at": rfc3339(run.started_at),
            "finished_at": run.finished_at.map(rfc3339), "exit_code": run.exit_code,
            "container": run.container, "message": run.message,
        })
    });
    serde_json::json!({
        "id": task.id.as_str(), "app": app, "command": task.command, "global": false,
        "schedule": task.schedule, "concurrency_policy": task.policy.as_str(),
        "app-in-maintenance": task.app_in_maintenance, "task-in-maintenance": task.in_maintenance,
        "maintenance": task.app_in_maintenance || task.in_maintenance,
        "timezone": task.zone, "next_run": task.next_run.map(rfc3339), "last_run": last,
    })
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    let mail = [
        ("mailfrom", CONCERN.global(control, "mailfrom").await?),
        ("mailto", CONCERN.global(control, "mailto").await?),
    ];
    for app in scopes_to_report(control, call).await? {
        let mut fields = CONCERN.fields(control, app.as_ref()).await?;
        for (key, value) in &mail {
            fields.insert(format!("cron-computed-{key}"), value.clone());
        }
        if let Some(app) = &app {
            let count = control.app_tasks(app).await?.tasks.len();
            fields.insert("cron-task-count".to_owned(), count.to_string());
        }
        let name = app.as_ref().map_or("Global", AppName::as_str);
        report::print(call, &CONCERN.report, name, &fields).await?;
    }
    Ok(())
}

async fn logs(control: &Control, call: &mut Call) -> Outcome {
    let (app, id) = named(control, call).await?;
    let count = match call.args.value("--num") {
        None => 1,
        Some(text) => text
            .parse()
            .ok()
            .filter(|count| *count > 0)
            .ok_or_else(|| Failure::new("--num needs a number of runs"))?,
    };
    let mut runs = control.cron_history(&app, &id, count).await?;
    if runs.is_empty() {
        return Err(Failure::new(format!("Task {id} of {app} has not run yet")));
    }
    runs.reverse();
    for run in runs {
        let mut title = format!("{} {}", rfc3339(run.started_at), run.state.as_str());
        if let Some(code) = run.exit_code.filter(|code| *code != 0) {
            title.push_str(&format!(", exit code {code}"));
        }
        if let Some(message) = &run.message {
            title.push_str(&format!(": {message}"));
        }
        call.out.title(&title).await?;
        let output = control.cron_output(run.id).await?;
        call.out.bytes(output.as_bytes()).await?;
    }
    Ok(())
}

async fn run(control: &Control, call: &mut Call) -> Outcome {
    let (app, id) = named(control, call).await?;
    let ttl = ttl(call)?;
    let task = control.cron_task(&app, &id).await?;
    Schedule::parse(&task.schedule)?;
    let new = NewCronRun {
        app: app.clone(),
        task: id.clone(),
        command: task.command.clone(),
        due_at: None,
        missed: 0,
        ttl,
    };
    let run = control.store.cron().begin(&new).await?;
    let wanted = WantedRun {
        id: run,
        app: &app,
        task: &task,
        ttl: Duration::from_secs(ttl),
    };
    let (container, name) = match control.begin_run(wanted).await? {
        Begun::Running { container, name } => (container, name),
        Begun::Skipped => {
            return Err(Failure::new(format!(
                "Task {id} of {app} currently has a cron lock: its last run has not ended"
            )));
        }
    };
    if call.args.has("--detach") {
        see_through(control, run, &container);
        return call.out.line(&name).await;
    }
    let followed = follow(control, call, &container).await;
    if followed.is_err() && !control.shutdown.is_cancelled() {
        // Who asked for it went away, and the run goes with them.
        control
            .runtime
            .stop(&container, Duration::from_secs(30))
            .await?;
    }
    let end = see_through(control, run, &container).await;
    followed?;
    if end.is_err() {
        return Err(Failure::new("The run was lost: see the daemon's log"));
    }
    let ended = control.store.cron().get(run).await?;
    match ended {
        Some(run) if run.state != CronRunState::Succeeded => {
            let message = run.message.unwrap_or_default();
            let code = run.exit_code.and_then(|code| u8::try_from(code).ok());
            match code.filter(|code| *code > 0) {
                Some(code) => Err(Failure::new(message).with_code(code)),
                None => Err(Failure::new(message)),
            }
        }
        _ => exit(0),
    }
}

fn see_through(
    control: &Control,
    run: i64,
    container: &ContainerId,
) -> tokio::task::JoinHandle<()> {
    let (own, container) = (control.clone(), container.clone());
    control
        .tasks
        .spawn(async move { own.see_through(run, container).await })
}

/// Shows what a run writes until it ends or the caller is gone.
async fn follow(control: &Control, call: &mut Call, container: &ContainerId) -> Outcome {
    let options = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let mut output = control.runtime.logs(container, options).await?;
    let gone = call.gone.clone();
    loop {
        let chunk = tokio::select! {
            chunk = output.next() => chunk,
            () = gone.cancelled() => return Err(Failure::silent(1)),
            () = control.shutdown.cancelled() => {
                return Err(Failure::new(crate::failure::STOPPING));
            }
        };
        match chunk.transpose()? {
            None => return Ok(()),
            Some(chunk) if chunk.stream == StdStream::Stderr => {
                call.out.error_bytes(&chunk.bytes).await?;
            }
            Some(chunk) => call.out.bytes(&chunk.bytes).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_addresses_are_one_word() {
        for good in ["ops@example.com", "root"] {
            assert!(sender(good).is_ok(), "{good}");
        }
        for bad in ["", "a@", "@b", "a b@c", "a@b\nBcc: c@d", "-f@x", "a@b,c@d"] {
            assert!(sender(bad).is_err(), "{bad:?}");
        }
    }
}
