//! One-off containers, and commands in running ones.

use std::time::Duration;

use sarsen_deploy::{EnterSpec, RunMode, RunSpec};
use sarsen_domain::{ContainerId, ContainerName, EnvKey};
use sarsen_runtime::ContainerInfo;
use sarsen_store::Instance;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::streams::{Process, carry};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "enter",
        "[--container-id ID] <app> [<process>] [<command...>]",
        Inside,
        "Runs a command, or a shell, in a running container of an app",
        enter
    ),
    verb!(
        "run",
        "[-e|--env K=V]... [--no-tty] [--force-tty] [--ttl-seconds N] <app> [<command...>]",
        Inside,
        "Runs a command in a new container of an app",
        run
    ),
    verb!(
        "run:detached",
        "[-e|--env K=V]... [--ttl-seconds N] <app> <command...>",
        Inside,
        "Runs a command in the background, prints the container's name",
        run_detached
    ),
    verb!(
        "run:list",
        "[--format stdout|json] <app>",
        Read,
        "Lists the one-off containers of an app",
        list
    ),
    verb!(
        "run:stop",
        "[--container NAME] <app>",
        Inside,
        "Stops the one-off containers of an app, or one of them",
        stop
    ),
];

fn spec(call: &Call, mode: RunMode) -> Outcome<RunSpec> {
    let mut env = Vec::new();
    for pair in call.args.values("--env") {
        let (key, value) = pair.split_once('=').ok_or_else(|| {
            Failure::new(format!(
                "Invalid env pair: '{}' (write it as KEY=VALUE)",
                pair.escape_debug()
            ))
        })?;
        env.push((EnvKey::parse(key)?.to_string(), value.to_owned()));
    }
    let ttl = match call.args.value("--ttl-seconds") {
        None => 86_400,
        Some(text) => text
            .parse()
            .ok()
            .filter(|seconds| *seconds > 0)
            .ok_or_else(|| {
                Failure::new(format!(
                    "Invalid time '{}': give seconds",
                    text.escape_debug()
                ))
            })?,
    };
    Ok(RunSpec {
        command: call.args.from(1).to_vec(),
        env,
        mode,
        ttl: Duration::from_secs(ttl),
    })
}

async fn run(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let release = control.live_release(&app).await?;
    let settings = control.app_settings(&release).await?;
    if call.args.has("--no-tty") {
        call.terminal = None;
    } else if call.args.has("--force-tty") && call.terminal.is_none() {
        return Err(Failure::new(
            "There is no terminal to use: call ssh with -t",
        ));
    }
    let mut spec = spec(call, mode(call))?;
    if let Some(terminal) = &call.terminal
        && spec.env.iter().all(|(key, _)| key != "TERM")
    {
        spec.env.push(("TERM".to_owned(), terminal.term.clone()));
    }
    let mut handle = control.deployer.run(&release, &settings, spec).await?;
    let Some(streams) = handle.streams.take() else {
        return Ok(());
    };
    carry(
        &control.runtime,
        call,
        Process::Container(handle.container.clone()),
        streams,
    )
    .await?;
    let code = handle.wait().await?;
    exit(code)
}

/// A terminal when the caller has one.
fn mode(call: &Call) -> RunMode {
    match &call.terminal {
        Some(terminal) => RunMode::Terminal(*terminal.size.borrow()),
        None => RunMode::Interactive,
    }
}

fn exit(code: i64) -> Outcome {
    match code {
        0 => Ok(()),
        code => Err(Failure::silent(u8::try_from(code).unwrap_or(1))),
    }
}

async fn run_detached(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let release = control.live_release(&app).await?;
    let settings = control.app_settings(&release).await?;
    let handle = control
        .deployer
        .run(&release, &settings, spec(call, RunMode::Detached)?)
        .await?;
    let name = handle.name.to_string();
    // Nobody waits for it here; its deadline is kept by the daemon.
    drop(handle);
    call.out.line(&name).await
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let runs = control.deployer.runs(&app).await?;
    if call.args.value("--format") == Some("json") {
        let rows: Vec<_> = runs
            .iter()
            .map(|run| {
                serde_json::json!({
                    "name": run.name, "state": run.status.as_str(), "created_at": run.created_at,
                    "command": command_of(run),
                })
            })
            .collect();
        return call
            .out
            .line(&serde_json::Value::Array(rows).to_string())
            .await;
    }
    call.out.title(&format!("{} run containers", &*app)).await?;
    let mut rows = Vec::new();
    if !call.out.quiet {
        rows.push(["NAMES", "COMMAND", "CREATED"].map(str::to_owned).to_vec());
    }
    rows.extend(
        runs.iter()
            .map(|run| vec![run.name.clone(), command_of(run), run.created_at.clone()]),
    );
    call.out.table(&rows).await
}

fn command_of(run: &ContainerInfo) -> String {
    run.command.join(" ")
}

async fn stop(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let mut runs = control.deployer.runs(&app).await?;
    if let Some(name) = call.args.value("--container") {
        let name = ContainerName::parse(name)?;
        runs.retain(|run| run.name == name.as_str());
        if runs.is_empty() {
            return Err(Failure::new(format!(
                "{} has no run container {name}: see 'run:list {}'",
                &*app, &*app
            )));
        }
    }
    let ids: Vec<ContainerId> = runs.into_iter().map(|run| run.id).collect();
    let left = control.deployer.retire(&ids, Duration::from_secs(30)).await;
    match left.first() {
        None => Ok(()),
        Some(unfinished) => Err(Failure::new(format!(
            "Cannot stop {}: {}",
            unfinished.container, unfinished.error
        ))),
    }
}

async fn enter(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let live = control.live_instances(&app).await?;
    let (container, words) = choose(call, &live)?;
    let mode = mode(call);
    let term = call
        .terminal
        .as_ref()
        .map(|terminal| format!("TERM={}", terminal.term));
    let spec = EnterSpec {
        command: words,
        env: term.into_iter().collect(),
        mode,
        shell: control.app_shell(&app).await?,
    };
    let exec = control.deployer.enter(&container, spec).await?;
    carry(
        &control.runtime,
        call,
        Process::Command(exec.id.clone()),
        exec.streams,
    )
    .await?;
    exit(control.runtime.exec_exit_code(&exec.id).await?)
}

/// The container to enter and the words to run there: by id, by `web.2`, by `web`, or the only type there is.
fn choose(call: &Call, live: &[Instance]) -> Outcome<(ContainerId, Vec<String>)> {
    let container = |instance: &Instance| {
        instance
            .container
            .clone()
            .ok_or_else(|| Failure::new("Container is not running"))
    };
    if let Some(id) = call.args.value("--container-id") {
        let mine = |instance: &&Instance| {
            instance
                .container
                .as_ref()
                .is_some_and(|own| own.as_str().starts_with(id))
        };
        let found = live.iter().find(mine).filter(|_| id.len() >= 4);
        let found =
            found.ok_or_else(|| Failure::new("No such container of this app: see 'ps:report'"))?;
        return Ok((container(found)?, call.args.from(1).to_vec()));
    }
    let mut types: Vec<_> = live
        .iter()
        .map(|instance| instance.process.to_string())
        .collect();
    types.dedup();
    let Some(place) = call.args.get(1) else {
        return match (types.as_slice(), live.first()) {
            ([_], Some(only)) => Ok((container(only)?, Vec::new())),
            ([], _) | (_, None) => Err(Failure::new("Container is not running")),
            _ => Err(Failure::new(format!(
                "No container type specified. Use one of: {}",
                types.join(", ")
            ))),
        };
    };
    let (process, index) = place
        .split_once('.')
        .map_or((place, None), |(process, index)| (process, Some(index)));
    let fits = |instance: &&Instance| {
        instance.process.as_str() == process
            && index.is_none_or(|index| instance.index.to_string() == index)
    };
    let found = live.iter().find(fits).ok_or_else(|| {
        Failure::new(format!(
            "No container '{}' runs. Use one of: {}",
            place.escape_debug(),
            types.join(", ")
        ))
    })?;
    Ok((container(found)?, call.args.from(2).to_vec()))
}
