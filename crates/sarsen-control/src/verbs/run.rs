//! One-off containers, and commands in running ones.

use std::time::Duration;

use sarsen_deploy::{EnterSpec, RunLabels, RunMode, RunSpec};
use sarsen_domain::container::label;
use sarsen_domain::{AppName, ConcurrencyPolicy, ContainerId, ContainerName, CronId, EnvKey};
use sarsen_plugins::Trigger;
use sarsen_runtime::ContainerInfo;
use sarsen_store::Instance;

use crate::control::Control;
use crate::cron::TTL;
use crate::failure::{Failure, Outcome};
use crate::report::wants_json;
use crate::streams::{Process, carry};
use crate::table::{Call, Command, verb};

mod output;

pub(crate) use output::show;

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
        "[-e|--env K=V]... [--no-tty] [--force-tty] [--ttl-seconds N] [--cron-id ID] [--concurrency-policy allow|forbid|replace] [--label K=V]... <app> [<command...>]",
        Inside,
        "Runs a command in a new container of an app",
        run
    ),
    verb!(
        "run:detached",
        "[-e|--env K=V]... [--no-tty] [--force-tty] [--ttl-seconds N] [--cron-id ID] [--concurrency-policy allow|forbid|replace] [--label K=V]... <app> <command...>",
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
        "run:logs",
        "[-t|--tail] [-n|--num N] [-q|--quiet] [--container NAME] [<app>]",
        Read,
        "Shows what the one-off containers of an app write, or one of them",
        output::logs
    ),
    verb!(
        "run:retire",
        "[<app>]",
        Deploy,
        "Stops one-off containers that have run for as long as they may",
        retire
    ),
    verb!(
        "run:stop",
        "[--container NAME] [<app>]",
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
    Ok(RunSpec {
        command: call.args.from(1).to_vec(),
        env,
        mode,
        ttl: Duration::from_secs(ttl(call)?),
        labels: labels(call)?,
    })
}

/// `--ttl-seconds`
pub(crate) fn ttl(call: &Call) -> Outcome<u64> {
    let Some(text) = call.args.value("--ttl-seconds") else {
        return Ok(TTL);
    };
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| {
        Failure::new(format!(
            "Invalid time '{}': give seconds",
            text.escape_debug()
        ))
    })
}

/// `--cron-id` and `--label`
fn labels(call: &Call) -> Outcome<RunLabels> {
    let mut labels = RunLabels {
        task: call
            .args
            .value("--cron-id")
            .map(CronId::parse)
            .transpose()?,
        ..RunLabels::default()
    };
    for pair in call.args.values("--label") {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if key.is_empty()
            || !key.chars().all(legal)
            || ["com.sarsen.", "com.dokku."]
                .iter()
                .any(|ours| key.starts_with(ours))
        {
            return Err(Failure::new(format!(
                "Invalid label '{}': write it as KEY=VALUE; com.dokku. and com.sarsen. are ours",
                pair.escape_debug()
            )));
        }
        labels.own.push((key.to_owned(), value.to_owned()));
    }
    Ok(labels)
}

/// Holds a run that says which task it is against the policy it names.
async fn make_way(
    control: &Control,
    call: &mut Call,
    app: &AppName,
    labels: &RunLabels,
) -> Outcome {
    let policy = call.args.value("--concurrency-policy");
    let policy: ConcurrencyPolicy = policy.map(str::parse).transpose()?.unwrap_or_default();
    match &labels.task {
        None if policy != ConcurrencyPolicy::Allow => Err(Failure::new(
            "--concurrency-policy needs the task that it is for: --cron-id ID",
        )),
        None => Ok(()),
        Some(task) if control.make_way(app, task, policy).await? => Ok(()),
        Some(task) => Err(Failure::new(format!(
            "Task {task} of {app} currently has a cron lock: its last run has not ended"
        ))),
    }
}

async fn run(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let release = control.release_to_run(&app).await?;
    let mut settings = control.app_settings(&release).await?;
    control.add_run_flags(&release, &mut settings).await?;
    if call.args.has("--no-tty") {
        call.terminal = None;
    } else if call.args.has("--force-tty") && call.terminal.is_none() {
        return Err(Failure::new(
            "There is no terminal to use: call ssh with -t",
        ));
    }
    let mut spec = spec(call, mode(call))?;
    make_way(control, call, &app, &spec.labels).await?;
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
    let container = handle.container.to_string();
    let code = handle.wait().await?;
    let ended = ["docker-local", app.as_str(), &container, &code.to_string()];
    control
        .tell_plugins_about(Trigger::SchedulerPostRun, &ended)
        .await;
    exit(code)
}

/// A terminal when the caller has one.
fn mode(call: &Call) -> RunMode {
    match &call.terminal {
        Some(terminal) => RunMode::Terminal(*terminal.size.borrow()),
        None => RunMode::Interactive,
    }
}

pub(crate) fn exit(code: i64) -> Outcome {
    match code {
        0 => Ok(()),
        code => Err(Failure::silent(u8::try_from(code).unwrap_or(1))),
    }
}

async fn run_detached(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    if call.args.has("--force-tty") {
        return Err(Failure::new(
            "A command in the background has no terminal: leave --force-tty out",
        ));
    }
    let release = control.release_to_run(&app).await?;
    let mut settings = control.app_settings(&release).await?;
    control.add_run_flags(&release, &mut settings).await?;
    let spec = spec(call, RunMode::Detached)?;
    make_way(control, call, &app, &spec.labels).await?;
    let handle = control.deployer.run(&release, &settings, spec).await?;
    let name = handle.name.to_string();
    // Nobody waits for it here; its deadline is kept by the daemon.
    drop(handle);
    call.out.line(&name).await
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let runs = control.deployer.runs(&app).await?;
    if wants_json(call)? {
        let rows: Vec<_> = runs
            .iter()
            .map(|run| {
                serde_json::json!({
                    "name": run.name, "state": run.status.as_str(), "created_at": run.created_at,
                    "cron_id": run.labels.get(label::CRON),
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
    let mut failed = Vec::new();
    for run in chosen(control, call).await? {
        if let Err(failure) = control.stop_run(&run).await {
            failed.push(failure.message);
        }
    }
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(failed.join("\n")))
    }
}

/// The one-off containers of the app named, or the one named: `APP`, `--container NAME`, or both.
pub(super) async fn chosen(control: &Control, call: &mut Call) -> Outcome<Vec<ContainerInfo>> {
    let name = call
        .args
        .value("--container")
        .map(ContainerName::parse)
        .transpose()?;
    let (mut runs, whose) = match (&call.app, &name) {
        (Some(app), _) => (control.deployer.runs(app).await?, format!("{} has", &**app)),
        (None, Some(_)) => (control.deployer.all_runs().await?, "There is".to_owned()),
        (None, None) => {
            return Err(Failure::new(
                "Please specify an app to run the command on, or --container NAME",
            ));
        }
    };
    if let Some(name) = name {
        runs.retain(|run| run.name == name.as_str());
        if runs.is_empty() {
            return Err(Failure::new(format!(
                "{whose} no run container {name}: see 'run:list'"
            )));
        }
    }
    Ok(runs)
}

async fn retire(control: &Control, call: &mut Call) -> Outcome {
    let gone = control.retire_expired(call.app.as_deref()).await?;
    match gone {
        0 => Ok(()),
        1 => call.out.header("Stopped 1 one-off container").await,
        count => {
            let text = format!("Stopped {count} one-off containers");
            call.out.header(&text).await
        }
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
