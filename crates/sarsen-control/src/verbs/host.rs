//! The host as a whole: what it is, what is left over on it, and whether commands are traced.

use std::path::Path;

use sarsen_domain::container::label;
use sarsen_domain::{AppName, ImageRef};
use sarsen_plugins::Trigger;
use sarsen_runtime::{ContainerInfo, ContainerStatus};
use sarsen_store::Scope;

use crate::access::Action;
use crate::args::Usage;
use crate::control::Control;
use crate::failure::Outcome;
use crate::property::apps_to_report;
use crate::table::{self, Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "cleanup",
        "[<app>]",
        Host,
        "Removes containers and images of ours that nothing uses",
        cleanup
    ),
    verb!(
        "report",
        "[<app>|--all]",
        Read,
        "Displays the reports of every command family, without an app also about the host",
        report
    ),
    verb!("trace:off", "", Host, "Stops tracing commands", trace_off),
    verb!(
        "trace:on",
        "",
        Host,
        "Has every command end with a line on how it went, as --trace does for one",
        trace_on
    ),
];

const TRACE: &str = "trace";

async fn trace_on(control: &Control, call: &mut Call) -> Outcome {
    let properties = control.store.properties();
    properties
        .set(&Scope::Global, TRACE, "enabled", "true")
        .await?;
    call.out.header("Enabling trace mode").await
}

async fn trace_off(control: &Control, call: &mut Call) -> Outcome {
    let properties = control.store.properties();
    properties.unset(&Scope::Global, TRACE, "enabled").await?;
    call.out.header("Disabling trace mode").await
}

impl Control {
    /// Whether `trace:on` holds.
    pub(crate) async fn is_traced(&self) -> bool {
        let properties = self.store.properties();
        let enabled = properties.get(&Scope::Global, TRACE, "enabled").await;
        enabled.is_ok_and(|enabled| enabled.is_some())
    }
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    let words = match (&call.app, call.args.has("--all")) {
        (Some(app), _) => vec![app.to_string()],
        (None, all) => {
            if !all {
                about_host(control, call).await?;
            }
            Vec::new()
        }
    };
    let mine = call.command;
    let own = std::mem::take(&mut call.args);
    let families = table::commands()
        .filter(|command| command.name.ends_with(":report") && command.action == Action::Read);
    for command in families {
        let usage = Usage::parse(command.usage)?;
        // Reports of things that are not apps are about nothing here.
        if usage.position("app").is_none() {
            continue;
        }
        call.command = command;
        call.args = usage.apply(&words)?;
        (command.run)(control, call).await?;
    }
    call.command = mine;
    call.args = own;
    if !control.plugins.implements(&Trigger::Report) {
        return Ok(());
    }
    for app in apps_to_report(control, call).await? {
        let moment = (Trigger::Report, vec![app.to_string()]);
        control.fire_for(call, moment).await?;
    }
    Ok(())
}

async fn about_host(control: &Control, call: &mut Call) -> Outcome {
    let folder = control.settings.data_dir.clone();
    let machine = tokio::task::spawn_blocking(move || Machine::look(&folder)).await;
    let machine = machine.unwrap_or_default();
    let engine = match control.runtime.info().await {
        Ok(engine) => format!("{} (API {})", engine.version, engine.api_version),
        Err(error) => format!("does not answer: {error}"),
    };
    let mut lines = vec![
        ("kernel", machine.kernel),
        ("memory", machine.memory),
        ("disk", machine.disk),
        ("docker version", engine),
        ("sarsen version", env!("CARGO_PKG_VERSION").to_owned()),
        ("apps", control.store.apps().list().await?.len().to_string()),
    ];
    for plugin in control.plugins.list()? {
        lines.push(("plugin", plugin.name.to_string()));
    }
    for (name, value) in lines {
        call.out.header(&format!("{name}: {value}")).await?;
    }
    Ok(())
}

/// What the host is, as far as the kernel tells.
#[derive(Default)]
struct Machine {
    kernel: String,
    memory: String,
    disk: String,
}

impl Machine {
    fn look(folder: &Path) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let kernel = ["ostype", "osrelease", "version"]
            .map(|name| read(&format!("/proc/sys/kernel/{name}")).trim().to_owned());
        let memory = read("/proc/meminfo");
        let kilobytes = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let (total, free) = (kilobytes("MemTotal:"), kilobytes("MemAvailable:"));
        Self {
            kernel: kernel.join(" "),
            memory: format!("{} MB, {} MB available", total / 1024, free / 1024),
            disk: disk(folder),
        }
    }
}

fn disk(folder: &Path) -> String {
    let Ok(disk) = nix::sys::statvfs::statvfs(folder) else {
        return "unknown".to_owned();
    };
    let megabytes = |blocks: u64| blocks.saturating_mul(disk.fragment_size()) >> 20;
    format!(
        "{} MB, {} MB available",
        megabytes(disk.blocks()),
        megabytes(disk.blocks_available())
    )
}

/// Only what carries our label is looked at; the images of releases that can be rolled back to have a name, and stay.
async fn cleanup(control: &Control, call: &mut Call) -> Outcome {
    let mut labels = vec![format!("{}={}", label::OWNER, control.settings.owner)];
    if let Some(app) = &call.app {
        labels.push(format!("{}={}", label::APP, &**app));
    }
    let containers = idle_containers(control, &labels).await?;
    let left = control.deployer.abandon(&containers).await;
    let removed = containers.len() - left.len();
    let mut images = 0_usize;
    for image in control.runtime.images(&labels).await? {
        if image.tags.is_empty() && remove(control, &image.id).await {
            images += 1;
        }
    }
    call.out
        .header(&format!(
            "Cleanup: removed {removed} containers and {images} images"
        ))
        .await
}

/// Containers that ended and that no instance stands for: one-off commands, builds, what a crash left.
async fn idle_containers(
    control: &Control,
    labels: &[String],
) -> Outcome<Vec<sarsen_domain::ContainerId>> {
    // In this order: a row is there before its container, and goes after it.
    let containers = control.runtime.list(labels).await?;
    let instances = control.store.instances().all().await?;
    let known = |container: &ContainerInfo| {
        let id = container.labels.get(label::INSTANCE);
        id.and_then(|id| id.parse().ok())
            .is_some_and(|id: i64| instances.iter().any(|instance| instance.id == id))
    };
    let busy = |container: &ContainerInfo| {
        let app = container.labels.get(label::APP);
        app.and_then(|app| AppName::parse(app).ok())
            .is_some_and(|app| control.locks.holder(&app).is_some())
    };
    let service = |container: &ContainerInfo| !container.labels.contains_key(label::APP);
    Ok(containers
        .into_iter()
        .filter(|container| {
            matches!(
                container.status,
                ContainerStatus::Exited | ContainerStatus::Dead
            )
        })
        .filter(|container| !known(container) && !busy(container) && !service(container))
        .map(|container| container.id)
        .collect())
}

/// The engine refuses for as long as anything uses the image.
async fn remove(control: &Control, image: &ImageRef) -> bool {
    match control.runtime.remove_image(image).await {
        Ok(()) => true,
        Err(error) => {
            tracing::debug!(%error, "an image without a name stays");
            false
        }
    }
}
