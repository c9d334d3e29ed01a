//! Processes: how many run, what they do, start, stop, replace.

use sarsen_build::Pull;
use sarsen_deploy::{DeployError, ProcessStatus};
use sarsen_domain::formation::parse_scale;
use sarsen_domain::{
    AppJson, AppName, BuildKind, BuildSource, Formation, Invalid, ProcessIndex, ProcessType,
    Release,
};
use sarsen_runtime::RuntimeError;
use sarsen_store::{Instance, InstanceState, Stopped};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::lock::DeployLock;
use crate::pipeline::settings::parse_restart_policy;
use crate::pipeline::{Arrival, Source};
use crate::property::{Concern, Property, Reach, apps_to_report, boolean, repository_path};
use crate::push::from_source;
use crate::report::{self, ReportKind, wants_json};
use crate::table::{Call, Command, verb};
use crate::waiting::Anew;

mod more;
mod several;
mod types;

use several::{Work, each};
pub(crate) use types::warn_of_unknown;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "ps:inspect",
        "<app>",
        Inside,
        "Shows all that the engine knows of an app's containers, without the values of their environment",
        more::inspect
    ),
    verb!(
        "ps:rebuild",
        "[--parallel N] <app>|--all",
        Deploy,
        "Builds the deployed branch again and deploys it",
        rebuild
    ),
    verb!(
        "ps:report",
        "[<app>] [--global] [--format stdout|json] [--*]",
        Read,
        "Displays a process report",
        report
    ),
    verb!(
        "ps:restart",
        "[--parallel N] <app>|--all [<process>]",
        Deploy,
        "Replaces the containers of an app",
        restart
    ),
    verb!(
        "ps:restore",
        "[--parallel N] [<app>|--all]",
        Deploy,
        "Starts apps that should run and do not",
        restore
    ),
    verb!(
        "ps:retire",
        "[<app>]",
        Deploy,
        "Stops and removes replaced containers, and waits until they are gone",
        more::retire
    ),
    verb!(
        "ps:scale",
        "[--skip-deploy] [--format stdout|json] <app> [<process=count>...]",
        Deploy,
        "Shows or changes how many containers of each process type run",
        scale
    ),
    verb!(
        "ps:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a process property: dockerfile-start-cmd, procfile-path, restart-policy, restore, skip-deploy, start-cmd, stop-timeout-seconds",
        set
    ),
    verb!(
        "ps:start",
        "[--parallel N] <app>|--all",
        Deploy,
        "Starts an app that was stopped",
        start
    ),
    verb!(
        "ps:stop",
        "[--parallel N] <app>|--all",
        Deploy,
        "Stops the containers of an app",
        stop
    ),
];

/// The properties of processes.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "ps",
    properties: &[
        Property {
            key: "dockerfile-start-cmd",
            reach: Reach::App,
            default: "",
            check: command,
        },
        Property {
            key: "procfile-path",
            reach: Reach::AppAndGlobal,
            default: "Procfile",
            check: repository_path,
        },
        Property {
            key: "restart-policy",
            reach: Reach::AppAndGlobal,
            default: "on-failure:10",
            check: restart_policy,
        },
        Property {
            key: "restore",
            reach: Reach::App,
            default: "true",
            check: boolean,
        },
        Property {
            key: "skip-deploy",
            reach: Reach::AppAndGlobal,
            default: "false",
            check: boolean,
        },
        Property {
            key: "start-cmd",
            reach: Reach::App,
            default: "",
            check: command,
        },
        Property {
            key: "stop-timeout-seconds",
            reach: Reach::AppAndGlobal,
            default: "30",
            check: seconds,
        },
    ],
    report: ReportKind {
        prefix: "ps",
        label: "ps",
        long_json_keys: true,
    },
};

fn restart_policy(value: &str) -> Result<(), Invalid> {
    parse_restart_policy(value).map(|_| ())
}

fn command(value: &str) -> Result<(), Invalid> {
    if value.len() <= 4096 && !value.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Invalid::new(
        "Invalid start command: give one line of at most 4096 characters",
    ))
}

fn seconds(value: &str) -> Result<(), Invalid> {
    match value.parse::<u32>() {
        Ok(seconds) if seconds <= 3600 => Ok(()),
        _ => Err(Invalid::new(format!(
            "Invalid time '{}': give seconds, at most 3600",
            value.escape_debug()
        ))),
    }
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.set(control, call).await
}

async fn rebuild(control: &Control, call: &mut Call) -> Outcome {
    let work: Work = |control, call, app| Box::pin(async move { control.rebuild(call, app).await });
    each(control, call, "rebuild", work).await
}

async fn restart(control: &Control, call: &mut Call) -> Outcome {
    let place = usize::from(!call.args.has("--all"));
    call.args.get(place).map(ProcessType::parse).transpose()?;
    let work: Work = |control, call, app| {
        Box::pin(async move {
            let place = usize::from(!call.args.has("--all"));
            let process = call.args.get(place).map(ProcessType::parse).transpose()?;
            control.restart(call, app, process.as_ref()).await
        })
    };
    each(control, call, "restart", work).await
}

async fn start(control: &Control, call: &mut Call) -> Outcome {
    let work: Work = |control, call, app| {
        Box::pin(async move {
            let record = control.store.apps().get(app).await?;
            if !record.deployed {
                let text = format!("App {app} has not been deployed");
                call.out.warn(&text).await
            } else if !record.stopped && control.all_run(app).await? {
                call.out.warn(&format!("App {app} already running")).await
            } else {
                control.start(call, app).await
            }
        })
    };
    each(control, call, "start", work).await
}

async fn stop(control: &Control, call: &mut Call) -> Outcome {
    let work: Work = |control, call, app| {
        Box::pin(async move {
            if !control.store.apps().get(app).await?.deployed {
                let text = format!("App {app} has not been deployed");
                return call.out.warn(&text).await;
            }
            call.out.header(&format!("Stopping {app}")).await?;
            control.stop(app).await
        })
    };
    each(control, call, "stop", work).await
}

/// Starts what should run and does not. Apps that somebody stopped stay as they are.
async fn restore(control: &Control, call: &mut Call) -> Outcome {
    let work: Work = |control, call, app| {
        Box::pin(async move {
            let record = control.store.apps().get(app).await?;
            if record.deployed && record.stopped {
                let text = format!("Skipping {app}: it was stopped");
                return call.out.warn(&text).await;
            }
            if record.deployed && !control.is_restored(app).await? {
                let text = format!("Skipping {app}: its property restore is false");
                return call.out.warn(&text).await;
            }
            if !record.deployed || control.all_run(app).await? {
                return Ok(());
            }
            call.out.header(&format!("Restoring {app}")).await?;
            control.start(call, app).await
        })
    };
    each(control, call, "restore", work).await
}

async fn scale(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let mut wanted = Formation::default();
    for pair in call.args.from(1) {
        let (process, quantity) = parse_scale(pair)?;
        wanted.set(process, quantity);
    }
    if call.args.from(1).is_empty() {
        let formation = control.store.formation().get(&app).await?;
        return show_scale(call, &app, &formation).await;
    }
    if !can_scale(control, &app).await? {
        return Err(Failure::new(format!(
            "App {} contains an app.json file with a formations key and cannot be manually scaled",
            &*app
        )));
    }
    let lock = control.locks.take(&app)?;
    let some = wanted.iter().filter(|(_, quantity)| *quantity > 0);
    let some: Vec<_> = some.map(|(process, _)| process.clone()).collect();
    warn_of_unknown(control, call, &app, &some).await?;
    for (process, quantity) in wanted.iter() {
        call.out
            .header(&format!("Scaling {process} to {quantity}"))
            .await?;
    }
    control.store.formation().set(&app, &wanted).await?;
    let record = control.store.apps().get(&app).await?;
    if call.args.has("--skip-deploy") || !record.deployed || record.stopped {
        return Ok(());
    }
    control.rescale(call, lock).await
}

async fn show_scale(call: &mut Call, app: &AppName, formation: &Formation) -> Outcome {
    if wants_json(call)? {
        let rows: Vec<_> = formation
            .iter()
            .map(|(process, quantity)| serde_json::json!({"process_type": process.as_str(), "quantity": quantity}))
            .collect();
        return call
            .out
            .line(&serde_json::Value::Array(rows).to_string())
            .await;
    }
    if !call.out.quiet {
        call.out.header(&format!("Scaling for {app}")).await?;
        call.out.line("proctype: qty").await?;
        call.out.line("--------: ---").await?;
    }
    let lines: String = formation
        .iter()
        .map(|(process, quantity)| format!("{}: {quantity}\n", format!("{process:<5}").trim_end()))
        .collect();
    call.out.bytes(lines.as_bytes()).await
}

async fn can_scale(control: &Control, app: &AppName) -> Outcome<bool> {
    let live = control.store.releases().live(app).await?;
    let app_json = live
        .and_then(|release| release.app_json)
        .and_then(|text| AppJson::parse(&text).ok());
    Ok(app_json.is_none_or(|app_json| app_json.formation.iter().next().is_none()))
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let record = control.store.apps().get(&app).await?;
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        let processes = if record.deployed {
            control.processes(&app).await?
        } else {
            Vec::new()
        };
        let running = processes
            .iter()
            .filter(|(_, state)| state.starts_with("running"))
            .count();
        let word = match running {
            0 => "false",
            all if all == processes.len() => "true",
            _ => "mixed",
        };
        fields.insert("deployed".to_owned(), record.deployed.to_string());
        fields.insert("processes".to_owned(), processes.len().to_string());
        // One field for both reasons, as Dokku has it.
        fields.remove("ps-restore");
        let may = fields.remove("ps-computed-restore").as_deref() == Some("true");
        fields.insert("restore".to_owned(), (may && !record.stopped).to_string());
        fields.insert("running".to_owned(), word.to_owned());
        fields.insert(
            "ps-can-scale".to_owned(),
            can_scale(control, &app).await?.to_string(),
        );
        for (dyno, state) in processes {
            fields.insert(format!("status-{dyno}"), state);
        }
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}

impl Control {
    /// Live places of an app and what their containers do: `web.1` → `running (CID: 1a2b3c4d5e6)`.
    async fn processes(&self, app: &AppName) -> Outcome<Vec<(String, String)>> {
        let live = self.live_instances(app).await?;
        // Without the engine nobody knows; what is meant to run is still worth telling.
        let states = match self.deployer.processes(app).await {
            Ok(states) => Some(states),
            Err(DeployError::Engine(RuntimeError::Unreachable(_))) => None,
            Err(error) => return Err(error.into()),
        };
        let row = |instance: &Instance| {
            let mine =
                |state: &&ProcessStatus| Some(&state.container) == instance.container.as_ref();
            let text = match states.as_ref().map(|states| states.iter().find(mine)) {
                None => "unknown: the container engine does not answer".to_owned(),
                Some(None) => "missing".to_owned(),
                Some(Some(state)) => describe(state),
            };
            (format!("{}.{}", instance.process, instance.index), text)
        };
        Ok(live.iter().map(row).collect())
    }

    async fn all_run(&self, app: &AppName) -> Outcome<bool> {
        Ok(self
            .processes(app)
            .await?
            .iter()
            .all(|(_, state)| state.starts_with("running")))
    }

    /// The live instances of an app.
    pub(crate) async fn live_instances(&self, app: &AppName) -> Outcome<Vec<Instance>> {
        let mut live = self.store.instances().list(app).await?;
        live.retain(|instance| instance.state == InstanceState::Live);
        Ok(live)
    }

    /// The live release, or the advice to push one.
    pub(crate) async fn live_release(&self, app: &AppName) -> Outcome<Release> {
        let live = self.store.releases().live(app).await?;
        live.ok_or_else(|| Failure::new(format!("App {app} has not been deployed")))
    }

    async fn rebuild(&self, call: &mut Call, app: &AppName) -> Outcome {
        let source = self.source_to_rebuild(app).await?;
        let author = call.actor.name().to_owned();
        let job = self
            .start_job(app, &author, BuildKind::Build, BuildSource::PsRebuild)
            .await?;
        let viewer = call.viewer();
        let line = |control, job| from_source(control, job, source, "Rebuild".to_owned());
        self.perform(job, viewer, line).await.map(|_| ())
    }

    /// The image that was given last, or the commit of the deploy branch.
    async fn source_to_rebuild(&self, app: &AppName) -> Outcome<Source> {
        let image = crate::verbs::git::CONCERN
            .effective(self, app, "source-image")
            .await?;
        if !image.is_empty() {
            return Ok(Source::Image(
                sarsen_domain::ImageRef::parse(&image)?,
                Pull::IfMissing,
            ));
        }
        let branch = self.branch_to_deploy(app).await?;
        let Some(commit) = self.repos.head(app, &branch)? else {
            return Err(self.nothing_to_build(app, &branch)?);
        };
        let received = self.received(app, &commit, branch, Arrival::There).await?;
        Ok(Source::Tree(Box::new(received)))
    }

    /// New containers of the live release, in place of those that run; with the config of now.
    pub(crate) async fn restart(
        &self,
        call: &mut Call,
        app: &AppName,
        process: Option<&ProcessType>,
    ) -> Outcome {
        if !self.store.apps().get(app).await?.deployed {
            return call
                .out
                .warn(&format!("App {app} has not been deployed"))
                .await;
        }
        let formation = self.store.formation().get(app).await?;
        if let Some(process) = process.filter(|process| !formation.contains(process)) {
            return Err(Failure::new(format!(
                "App {app} has no process type {process}: see 'ps:scale {app}'"
            )));
        }
        let anew = process.map_or(Anew::Everything, |process| Anew::Process(process.clone()));
        let lock = self.locks.take(app)?;
        self.roll_out(call, lock, anew, BuildSource::PsRestart)
            .await
    }

    async fn start(&self, call: &mut Call, app: &AppName) -> Outcome {
        let lock = self.locks.take(app)?;
        self.roll_out(call, lock, Anew::Everything, BuildSource::PsStart)
            .await
    }

    async fn roll_out(
        &self,
        call: &mut Call,
        lock: DeployLock,
        anew: Anew,
        source: BuildSource,
    ) -> Outcome {
        let author = call.actor.name().to_owned();
        let job = self
            .start_locked_job(lock, &author, BuildKind::Deploy, source)
            .await?;
        let line = |control: Self, job| control.start_anew(job, anew);
        self.perform(job, call.viewer(), line).await.map(|_| ())
    }

    /// Retires every container; the app stays down until it is started or deployed.
    async fn stop(&self, app: &AppName) -> Outcome {
        let _lock = self.locks.take(app)?;
        self.store.apps().set_stopped(app, Stopped::Yes).await?;
        let live = self.live_instances(app).await?;
        self.retire_instances(&live).await
    }

    /// Takes containers out of the routes and stops them in the background.
    async fn retire_instances(&self, instances: &[Instance]) -> Outcome {
        let ids: Vec<_> = instances.iter().map(|instance| instance.id).collect();
        self.store.instances().retire(&ids).await?;
        self.refresh_routes().await?;
        self.retirements.notify_one();
        Ok(())
    }

    /// Starts what the formation asks for beyond what runs, and stops what runs beyond it.
    async fn rescale(&self, call: &mut Call, lock: DeployLock) -> Outcome {
        let app = lock.app().clone();
        let formation = self.store.formation().get(&app).await?;
        let live = self.live_instances(&app).await?;
        let (more, surplus) = difference(&formation, &live);
        self.retire_instances(&surplus).await?;
        if more.is_empty() {
            return Ok(());
        }
        self.roll_out(call, lock, Anew::More(more), BuildSource::PsScale)
            .await
    }
}

/// `running (CID: 1a2b3c4d5e6)`, with what is unusual.
fn describe(state: &ProcessStatus) -> String {
    let mut text = format!(
        "{} (CID: {})",
        state.status.as_str(),
        state.container.short()
    );
    match state.restart_count {
        0 => {}
        1 => text.push_str(", restarted once"),
        count => text.push_str(&format!(", restarted {count} times")),
    }
    if let Some(code) = state
        .exit_code
        .filter(|_| state.status.as_str() != "running")
    {
        text.push_str(&format!(", last exit code {code}"));
    }
    text
}

/// Places that nobody holds, and holders of places that are gone.
fn difference(
    formation: &Formation,
    live: &[Instance],
) -> (Vec<(ProcessType, ProcessIndex)>, Vec<Instance>) {
    let held = |process: &ProcessType, index| {
        live.iter()
            .any(|one| one.process == *process && one.index == index)
    };
    let mut more = Vec::new();
    for (process, quantity) in formation.iter() {
        more.extend(
            (1..=quantity)
                .filter(|index| !held(process, *index))
                .map(|index| (process.clone(), index)),
        );
    }
    let surplus = live
        .iter()
        .filter(|one| one.index > formation.quantity(&one.process))
        .cloned()
        .collect();
    (more, surplus)
}
