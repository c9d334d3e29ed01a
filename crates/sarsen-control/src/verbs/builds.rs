//! The record of builds: what was tried, how it ended, what it said.

use sarsen_domain::{BuildId, BuildKind, BuildStatus, Invalid};
use sarsen_store::BuildRecord;

use crate::control::Control;
use crate::failure::{Failure, Outcome, STOPPING};
use crate::property::{Concern, Property, Reach, apps_meant, apps_to_report};
use crate::report::{self, ReportKind};
use crate::table::{Call, Command, verb};
use crate::time::{now, rfc3339};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "builds",
        "[--format stdout|json] [--kind KIND] [--status STATUS] [<app>]",
        Read,
        "Lists builds",
        list
    ),
    verb!(
        "builds:cancel",
        "<app>",
        Deploy,
        "Stops the deploy under way",
        cancel
    ),
    verb!(
        "builds:info",
        "[--format stdout|json] <app> <build-id>",
        Read,
        "Shows one build",
        info
    ),
    verb!(
        "builds:list",
        "[--format stdout|json] [--kind KIND] [--status STATUS] [<app>]",
        Read,
        "Lists the builds of an app, or those under way",
        list
    ),
    verb!(
        "builds:prune",
        "<app>|--all-apps",
        Change,
        "Forgets the builds beyond the number to be kept",
        prune
    ),
    verb!(
        "builds:report",
        "[<app>] [--global] [--format stdout|json] [--builds-*] [--build-*]",
        Read,
        "Displays a builds report",
        report
    ),
    verb!(
        "builds:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a builds property: retention",
        set
    ),
    verb!(
        "builds:output",
        "<app> [<build-id>]",
        Read,
        "Prints or follows the log of a build (the current one by default)",
        output
    ),
];

/// The properties of builds.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "builds",
    properties: &[Property {
        key: "retention",
        reach: Reach::AppAndGlobal,
        default: "20",
        check: at_least_one,
    }],
    report: ReportKind {
        prefix: "builds",
        label: "builds",
        long_json_keys: true,
    },
};

fn at_least_one(value: &str) -> Result<(), Invalid> {
    match value.parse::<u32>() {
        Ok(count) if count > 0 => Ok(()),
        _ => Err(Invalid::new(format!(
            "Invalid retention '{}': keep at least 1 build",
            value.escape_debug()
        ))),
    }
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.set(control, call).await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        let last = control.store.builds().last(&app).await?;
        let of = |value: fn(&BuildRecord) -> String| last.as_ref().map(value).unwrap_or_default();
        let code = |build: &BuildRecord| build.exit_code.map(|code| code.to_string());
        let rows: [(&str, String); 8] = [
            ("id", of(|build| build.id.to_string())),
            ("kind", of(|build| build.kind.to_string())),
            ("status", of(|build| build.status.to_string())),
            ("source", of(|build| build.source.to_string())),
            ("pid", of(pid)),
            ("started-at", of(|build| rfc3339(build.started_at))),
            (
                "finished-at",
                of(|build| build.finished_at.map(rfc3339).unwrap_or_default()),
            ),
            (
                "exit-code",
                last.as_ref().and_then(code).unwrap_or_default(),
            ),
        ];
        for (name, value) in rows {
            fields.insert(format!("build-{name}"), value);
        }
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}

/// A build under way runs in the daemon.
fn pid(build: &BuildRecord) -> String {
    if build.status == BuildStatus::Running {
        std::process::id().to_string()
    } else {
        String::new()
    }
}

async fn prune(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_meant(control, call).await? {
        let keep = CONCERN.effective(control, &app, "retention").await?;
        let keep = keep.parse().unwrap_or(20);
        let gone = control.store.builds().prune(&app, keep).await?;
        control.logs.remove(&app, &gone);
        call.out
            .header(&format!("Pruned {} builds of {app}", gone.len()))
            .await?;
    }
    Ok(())
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let mut builds = match &call.app {
        Some(app) => control.store.builds().list(app).await?,
        None => control.store.builds().running().await?,
    };
    if let Some(kind) = call.args.value("--kind") {
        let kind: BuildKind = kind.parse()?;
        builds.retain(|build| build.kind == kind);
    }
    if let Some(status) = call.args.value("--status") {
        let status: BuildStatus = status.parse()?;
        builds.retain(|build| build.status == status);
    }
    if report::wants_json(call)? {
        let rows: Vec<_> = builds.iter().map(|build| to_json(control, build)).collect();
        return call
            .out
            .line(&serde_json::Value::Array(rows).to_string())
            .await;
    }
    if let Some(app) = &call.app {
        call.out.title(&format!("{} builds", &**app)).await?;
    } else {
        call.out.title("Running builds").await?;
    }
    let mut rows = Vec::new();
    if !call.out.quiet {
        rows.push(
            [
                "Build ID", "Kind", "Status", "PID", "Source", "Started", "Duration", "App",
                "Stage",
            ]
            .map(str::to_owned)
            .to_vec(),
        );
    }
    rows.extend(builds.iter().map(|build| {
        vec![
            build.id.to_string(),
            build.kind.to_string(),
            build.status.to_string(),
            pid(build),
            build.source.to_string(),
            rfc3339(build.started_at),
            duration(build),
            build.app.to_string(),
            build.stage.clone().unwrap_or_default(),
        ]
    }));
    call.out.table(&rows).await
}

fn duration(build: &BuildRecord) -> String {
    format!(
        "{}s",
        build.finished_at.unwrap_or_else(now) - build.started_at
    )
}

fn to_json(control: &Control, build: &BuildRecord) -> serde_json::Value {
    serde_json::json!({
        "id": build.id.as_str(), "app": build.app.as_str(), "kind": build.kind.as_str(),
        "status": build.status.as_str(), "display_status": build.status.as_str(), "source": build.source.as_str(),
        "pid": pid(build), "stage": build.stage, "error": build.error, "exit_code": build.exit_code, "user": build.author,
        "commit": build.commit.as_ref().map(|commit| commit.as_str()),
        "release": build.release.map(|release| release.0),
        "started_at": rfc3339(build.started_at), "finished_at": build.finished_at.map(rfc3339),
        "duration": duration(build), "log_path": control.logs.path(&build.app, &build.id),
    })
}

async fn info(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let id = BuildId::parse(call.args.get(1).unwrap_or_default())?;
    let build = control.store.builds().get(&app, &id).await?;
    if report::wants_json(call)? {
        return call.out.line(&to_json(control, &build).to_string()).await;
    }
    let rows = [
        ("Build ID", build.id.to_string()),
        ("App", build.app.to_string()),
        ("Kind", build.kind.to_string()),
        ("Status", build.status.to_string()),
        ("PID", pid(&build)),
        ("Stage", build.stage.clone().unwrap_or_default()),
        ("Source", build.source.to_string()),
        ("User", build.author.clone()),
        (
            "Commit",
            build
                .commit
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        (
            "Release",
            build
                .release
                .map(|release| release.to_string())
                .unwrap_or_default(),
        ),
        ("Started", rfc3339(build.started_at)),
        (
            "Finished",
            build.finished_at.map(rfc3339).unwrap_or_default(),
        ),
        ("Duration", duration(&build)),
        (
            "Exit Code",
            build
                .exit_code
                .map(|code| code.to_string())
                .unwrap_or_default(),
        ),
        (
            "Error",
            build.error.clone().unwrap_or_default().replace('\n', " "),
        ),
        ("Log", control.logs.path(&app, &id).display().to_string()),
    ];
    call.out.title(&format!("{} build {id}", &*app)).await?;
    let rows: Vec<_> = rows
        .iter()
        .map(|(label, value)| vec![format!("       {label}:"), value.clone()])
        .collect();
    call.out.table(&rows).await
}

async fn output(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let id = match call.args.get(1) {
        Some(id) if id != "current" => BuildId::parse(id)?,
        current => match control.locks.holder(&app) {
            Some(id) => id,
            None if current.is_some() => {
                return call.out.header("App not currently deploying").await;
            }
            None => match control.store.builds().last(&app).await? {
                Some(build) => build.id,
                None => return call.out.header("App not currently deploying").await,
            },
        },
    };
    control.store.builds().get(&app, &id).await?;
    let gone = call.gone.clone();
    let (mut stdout, _stderr) = call.take_out().into_streams();
    tokio::select! {
        copied = control.logs.follow(&app, &id, &mut stdout) => copied.map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Failure::new(format!("The log of build {id} is gone"))
            } else {
                Failure::silent(1)
            }
        }),
        () = gone.cancelled() => Err(Failure::silent(1)),
        () = control.shutdown.cancelled() => Err(Failure::new(STOPPING)),
    }
}

async fn cancel(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    if !control.locks.cancel(&app) {
        return Err(Failure::new("App not currently deploying"));
    }
    call.out.header("Killing app deploy").await
}
