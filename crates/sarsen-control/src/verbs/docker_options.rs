//! Docker's flags for the builds and containers of an app.

use std::collections::BTreeSet;

use sarsen_domain::docker_flags::{OptionPhase, quote_words};
use sarsen_domain::{AppName, DockerFlags, ProcessType};
use sarsen_store::DockerOption;

use crate::access::{authorise_powers, authorise_ties, service_tie};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::apps_to_report;
use crate::report::{self, Fields, ReportKind};
use crate::table::{Call, Command, verb};
use crate::verbs::resource::refuse_beyond_the_engine;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "docker-options:add",
        "[--process P]... <app> <phases> <option...>",
        Change,
        "Adds a docker flag to the phases build, deploy, run (comma-separated)",
        add
    ),
    verb!(
        "docker-options:clear",
        "[--process P]... <app> [<phases>]",
        Change,
        "Removes all docker flags, or those of some phases",
        clear
    ),
    verb!(
        "docker-options:list",
        "[--phase build|deploy|run] [--process P] <app>",
        Read,
        "Lists the docker flags of a phase, one a line",
        list
    ),
    verb!(
        "docker-options:remove",
        "[--process P]... <app> <phases> <option...>",
        Change,
        "Removes a docker flag from phases",
        remove
    ),
    verb!(
        "docker-options:report",
        "[<app>] [--format stdout|json] [--docker-options-*]",
        Read,
        "Displays a docker options report",
        report
    ),
];

const REPORT: ReportKind = ReportKind {
    prefix: "docker-options",
    label: "docker options",
    long_json_keys: true,
};

/// `deploy,run`
fn phases(text: &str) -> Outcome<BTreeSet<OptionPhase>> {
    let phases: Result<BTreeSet<_>, _> = text.split(',').map(str::parse).collect();
    Ok(phases?)
}

/// The process types that were named; `None` stands for all.
fn processes(call: &Call) -> Outcome<Vec<Option<ProcessType>>> {
    let named = call.args.values("--process");
    if named.is_empty() {
        return Ok(vec![None]);
    }
    let parsed: Result<Vec<_>, _> = named.iter().map(|name| ProcessType::parse(name)).collect();
    Ok(parsed?.into_iter().map(Some).collect())
}

/// One text, whether it came as one word or as several.
fn option_text(call: &Call) -> String {
    match call.args.from(2) {
        [whole] => whole.trim().to_owned(),
        words => quote_words(words),
    }
}

/// Every combination of phase and process type with this option.
fn combined(call: &Call, option: &str) -> Outcome<Vec<DockerOption>> {
    let processes = processes(call)?;
    let mut options = Vec::new();
    for phase in phases(call.args.get(1).unwrap_or_default())? {
        for process in &processes {
            if process.is_some() && phase != OptionPhase::Deploy {
                return Err(Failure::new(format!(
                    "Process types are for the phase deploy, not for {}",
                    phase.as_str()
                )));
            }
            options.push(DockerOption {
                phase,
                process: process.clone(),
                option: option.to_owned(),
            });
        }
    }
    Ok(options)
}

/// The powers over the host that an option gives in a phase; one that cannot be honoured is refused.
fn powers(control: &Control, phase: OptionPhase, option: &str) -> Outcome<Vec<String>> {
    let root = control.storage_root();
    if phase != OptionPhase::Build {
        return Ok(DockerFlags::parse_text(option)?.host_powers(&root));
    }
    // Which builder is to read it is known when there is a source.
    match (
        DockerFlags::parse_build_text(option),
        DockerFlags::parse_text(option),
    ) {
        (Ok(build), Ok(container)) => {
            Ok([build.host_powers(), container.host_powers(&root)].concat())
        }
        (Ok(build), Err(_)) => Ok(build.host_powers()),
        (Err(_), Ok(container)) => Ok(container.host_powers(&root)),
        (Err(error), Err(_)) => Err(error.into()),
    }
}

/// What an option reaches beyond the app. What cannot be honoured was refused before.
fn ties(control: &Control, app: &AppName, option: &str) -> Vec<String> {
    let container = DockerFlags::parse_text(option).unwrap_or_default();
    let build = DockerFlags::parse_build_text(option).unwrap_or_default();
    let env = container.env.iter().map(|(key, value)| (key, value));
    let names = env.chain(&container.labels);
    let names = names.filter_map(|(key, value)| service_tie(app, key, value));
    let reaches = [container.ties(&control.storage_of(app)), build.ties()].concat();
    reaches.into_iter().chain(names).collect()
}

async fn add(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let option = option_text(call);
    if option.is_empty() {
        return Err(Failure::new("Please specify a docker flag"));
    }
    let options = combined(call, &option)?;
    for one in &options {
        authorise_powers(&call.actor, &powers(control, one.phase, &option)?)?;
    }
    authorise_ties(&call.actor, &ties(control, &app, &option))?;
    let settings = DockerFlags::parse_text(&option).unwrap_or_default();
    refuse_beyond_the_engine(control, &option, settings.nano_cpus).await?;
    control.store.docker_options().add(&app, &options).await?;
    Ok(())
}

async fn remove(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let options = combined(call, &option_text(call))?;
    control
        .store
        .docker_options()
        .remove(&app, &options)
        .await?;
    Ok(())
}

async fn clear(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let phases = match call.args.get(1) {
        Some(text) => phases(text)?,
        None => OptionPhase::ALL.into(),
    };
    let processes = processes(call)?;
    let all_types = processes == [None];
    let mut options = control.store.docker_options().list(&app).await?;
    options.retain(|one| {
        phases.contains(&one.phase) && (all_types || processes.contains(&one.process))
    });
    control
        .store
        .docker_options()
        .remove(&app, &options)
        .await?;
    let names: Vec<_> = phases.iter().map(|phase| phase.as_str()).collect();
    let title = format!(
        "Clearing docker options of {} ({})",
        &*app,
        names.join(", ")
    );
    call.out.title(&title).await
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let phase = call.args.value("--phase");
    let phase = phase.ok_or_else(|| Failure::new("Please specify a phase: --phase deploy"))?;
    let phase: OptionPhase = phase.parse()?;
    let process = call
        .args
        .value("--process")
        .map(ProcessType::parse)
        .transpose()?;
    for one in control.store.docker_options().list(&app).await? {
        if one.phase == phase && one.process == process {
            call.out.line(&one.option).await?;
        }
    }
    Ok(())
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_to_report(control, call).await? {
        let fields = fields(control, &app).await?;
        report::print(call, &REPORT, app.as_str(), &fields).await?;
    }
    Ok(())
}

async fn fields(control: &Control, app: &AppName) -> Outcome<Fields> {
    let empty = OptionPhase::ALL.map(|phase| (field(phase, None), String::new()));
    let mut fields = Fields::from(empty);
    for one in control.store.docker_options().list(app).await? {
        let value = fields
            .entry(field(one.phase, one.process.as_ref()))
            .or_default();
        if !value.is_empty() {
            value.push(' ');
        }
        value.push_str(&one.option);
    }
    Ok(fields)
}

fn field(phase: OptionPhase, process: Option<&ProcessType>) -> String {
    let phase = phase.as_str();
    match process {
        Some(process) => format!("docker-options-{phase}.{process}"),
        None => format!("docker-options-{phase}"),
    }
}

#[cfg(test)]
mod tests {
    use sarsen_domain::{DockerFlags, Right};
    use sarsen_runtime::fake::Behaviour;

    use crate::testing::World;

    #[tokio::test]
    async fn who_may_deploy_one_app_does_not_reach_the_others() {
        let world = World::new(Behaviour::default()).await;
        let data = world.control.storage_root();
        for line in [
            "apps:create shop",
            "apps:create blog",
            "network:create back",
            "storage:create uploads",
        ] {
            world.ok(line).await;
        }
        let bob = world.key("bob", "shop", Right::Deploy).await;
        for line in [
            "docker-options:add shop deploy,run --link blog.web.1:blog",
            "docker-options:add shop run --network back",
            "docker-options:add shop build --network back",
            "docker-options:add shop deploy -v cache-blog:/c",
            "docker-options:add shop deploy --label SERVICE_NAME=blog",
            "docker-options:add shop deploy -e SERVICE_5000_NAME=blog",
            "config:set --no-restart shop A=1 SERVICE_NAME=blog",
            "logs:set shop vector-sink http://127.0.0.1:8500/v1/kv/x",
            "network:set shop attach-post-create back",
            "network:set shop initial-network back",
            "storage:mount shop uploads --container-dir /x",
            "storage:mount shop volume:/x",
            &format!("storage:mount shop {data}/blog:/x"),
            &format!("docker-options:add shop deploy -v {data}/blog:/x"),
        ] {
            let complaint = world.denied(&bob, line).await;
            assert!(complaint.contains("beyond the app"), "{line}: {complaint}");
        }
        let image = world.denied(&bob, "git:from-image shop dokku/blog:latest");
        assert!(image.await.contains("Access denied"));
        let own = world.ok("docker-options:report shop").await;
        assert!(!own.contains("--"), "{own}");
        assert_eq!(world.ok("config:keys shop").await, "");
        world
            .ok("storage:mount shop uploads --container-dir /x")
            .await;
        world.ok("docker-options:add shop run --network back").await;
    }

    #[test]
    fn every_flag_is_in_the_docs() {
        let page = include_str!("../../../../docs/docker-options.md");
        for name in DockerFlags::names() {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
