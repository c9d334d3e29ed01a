//! How much of the host an app's containers and builds may take, and how much is kept for them.

use std::collections::BTreeMap;

use sarsen_domain::docker_flags::{Gpus, cpus, size};
use sarsen_domain::{AppName, ContainerSettings, Invalid, ProcessType};
use sarsen_store::Scope;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::apps_to_report;
use crate::report::{self, Fields, ReportKind};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "resource:limit",
        "[--process-type P] [--cpu N] [--memory SIZE] [--memory-swap SIZE] [--network V] [--network-ingress V] [--network-egress V] [--nvidia-gpu N] <app>",
        Change,
        "Shows or sets limits (from the next deploy or restart on); 'clear' removes one",
        limit
    ),
    verb!(
        "resource:limit-clear",
        "[--process-type P] <app>",
        Change,
        "Removes the limits of an app",
        clear_limits
    ),
    verb!(
        "resource:report",
        "[<app>] [--format stdout|json] [--resource-*]",
        Read,
        "Displays a resource report",
        report
    ),
    verb!(
        "resource:reserve",
        "[--process-type P] [--cpu N] [--memory SIZE] [--memory-swap SIZE] [--network V] [--network-ingress V] [--network-egress V] [--nvidia-gpu N] <app>",
        Change,
        "Shows or sets reservations (from the next deploy or restart on); 'clear' removes one",
        reserve
    ),
    verb!(
        "resource:reserve-clear",
        "[--process-type P] <app>",
        Change,
        "Removes the reservations of an app",
        clear_reservations
    ),
];

const PLUGIN: &str = "resource";
const REPORT: ReportKind = ReportKind {
    prefix: "resource",
    label: "resource",
    long_json_keys: true,
};
/// What Dokku calls all process types together.
const DEFAULT: &str = "_default_";
/// The process type that stands for builds.
const BUILD: &str = "build";
/// Docker refuses less.
const MEMORY_MIN: i64 = 6 * 1024 * 1024;
/// What Docker weighs a container with, per CPU, and the most that the kernel takes.
const SHARES_PER_CPU: i64 = 1024;
const CPUS_WEIGHED: i64 = 256;
const NANO: i64 = 1_000_000_000;
const KEYS: [&str; 7] = [
    "cpu",
    "memory",
    "memory-swap",
    "network",
    "network-ingress",
    "network-egress",
    "nvidia-gpu",
];

/// A ceiling, or what is kept free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Limit,
    Reserve,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Reserve => "reserve",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Limit => "limits",
            Self::Reserve => "reservations",
        }
    }

    /// Lays a value over settings; one that Docker cannot hold is refused by name.
    fn apply(self, key: &str, value: &str, to: &mut ContainerSettings) -> Result<(), Invalid> {
        match (self, key) {
            (Self::Limit, "cpu") => to.nano_cpus = Some(cpu(value)?),
            (Self::Limit, "memory") => to.memory = Some(memory(value)?),
            (Self::Limit, "memory-swap") => {
                to.memory_swap = Some(if value == "-1" { -1 } else { memory(value)? });
            }
            (Self::Limit, "nvidia-gpu") => to.gpus = Some(gpu(value)?),
            (Self::Reserve, "cpu") => {
                to.cpu_shares = Some(shares(value)?);
            }
            (Self::Reserve, "memory") => to.memory_reservation = Some(memory(value)?),
            (Self::Limit, _) => {
                return Err(Invalid::new(format!(
                    "--{key} cannot be honoured: Docker does not limit a container's traffic"
                )));
            }
            (Self::Reserve, _) => {
                return Err(Invalid::new(format!(
                    "--{key} cannot be honoured: Docker reserves cpu and memory only"
                )));
            }
        }
        Ok(())
    }
}

/// What was set for an app: by process type, by `limit.cpu`.
#[derive(Debug, Default)]
pub(crate) struct Resources(BTreeMap<String, BTreeMap<String, String>>);

impl Resources {
    /// What is set for the app.
    pub(crate) async fn of(control: &Control, app: &AppName) -> Outcome<Self> {
        let scope = Scope::App(app.clone());
        let mut by_process: BTreeMap<String, BTreeMap<_, _>> = BTreeMap::new();
        for (key, value) in control.store.properties().all(&scope, PLUGIN).await? {
            let (process, key) = split(&key);
            let values = by_process.entry(process.to_owned()).or_default();
            values.insert(key.to_owned(), value);
        }
        Ok(Self(by_process))
    }

    /// The process types that have something of their own.
    pub(crate) fn processes(&self) -> impl Iterator<Item = ProcessType> {
        let named = self
            .0
            .keys()
            .filter(|name| *name != DEFAULT && *name != BUILD);
        named.filter_map(|name| ProcessType::parse(name).ok())
    }

    /// What holds for a process type: its own values, else those for all.
    pub(crate) fn settings(&self, process: Option<&ProcessType>) -> Outcome<ContainerSettings> {
        let own = process.and_then(|process| self.0.get(process.as_str()));
        self.merged(self.0.get(DEFAULT), own)
    }

    /// The value of `limit.memory` or its like that holds for a process type.
    pub(crate) fn value(&self, process: &ProcessType, key: &str) -> Option<&str> {
        let of = |name: &str| self.0.get(name).and_then(|values| values.get(key));
        of(process.as_str())
            .or_else(|| of(DEFAULT))
            .map(String::as_str)
    }

    /// What holds for builds, which take nothing of what is set for all processes.
    pub(crate) fn build(&self) -> Outcome<ContainerSettings> {
        self.merged(None, self.0.get(BUILD))
    }

    fn merged(
        &self,
        default: Option<&BTreeMap<String, String>>,
        own: Option<&BTreeMap<String, String>>,
    ) -> Outcome<ContainerSettings> {
        let mut values = default.cloned().unwrap_or_default();
        values.extend(own.cloned().unwrap_or_default());
        let mut settings = ContainerSettings::default();
        for (key, value) in values {
            let (kind, key) = key.split_once('.').unwrap_or_default();
            let kind = if kind == Kind::Limit.as_str() {
                Kind::Limit
            } else {
                Kind::Reserve
            };
            kind.apply(key, &value, &mut settings)?;
        }
        Ok(settings)
    }
}

/// Whether a setting from elsewhere will do: `web.limit.cpu`, `limit.memory`.
pub(crate) fn check(key: &str, value: &str) -> Result<(), Invalid> {
    let (process, rest) = split(key);
    if process != DEFAULT && process != BUILD {
        ProcessType::parse(process)?;
    }
    let kind = match rest.split_once('.') {
        Some(("limit", name)) => (Kind::Limit, name),
        Some(("reserve", name)) => (Kind::Reserve, name),
        Some(_) | None => {
            return Err(Invalid::new(
                "a resource is called limit.NAME or reserve.NAME",
            ));
        }
    };
    kind.0
        .apply(kind.1, value, &mut ContainerSettings::default())
}

/// `web.limit.cpu` → `web`, `limit.cpu`; `limit.cpu` is for all.
fn split(key: &str) -> (&str, &str) {
    match key.split_once('.') {
        Some(("limit" | "reserve", _)) | None => (DEFAULT, key),
        Some((process, rest)) => (process, rest),
    }
}

/// `512` and `512m` are megabytes, as Dokku has it; `k`, `g` and `b` too.
fn memory(text: &str) -> Result<i64, Invalid> {
    let bare = text.bytes().all(|b| b.is_ascii_digit());
    let bytes = if bare {
        size(&format!("{text}m"))
    } else {
        size(text)
    };
    bytes
        .ok()
        .filter(|bytes| *bytes >= MEMORY_MIN)
        .ok_or_else(|| {
            Invalid::new(format!(
                "Invalid amount of memory '{}': use a size such as 512m or 2g, at least 6m",
                text.escape_debug()
            ))
        })
}

fn cpu(text: &str) -> Result<i64, Invalid> {
    cpus(text).map_err(|why| {
        Invalid::new(format!(
            "Invalid number of CPUs '{}': {why}",
            text.escape_debug()
        ))
    })
}

fn shares(text: &str) -> Result<i64, Invalid> {
    let nanos = cpu(text)?;
    if nanos > CPUS_WEIGHED * NANO {
        return Err(Invalid::new(format!(
            "Invalid number of CPUs '{text}': no more than {CPUS_WEIGHED} can be reserved"
        )));
    }
    Ok((nanos / 1_000_000 * SHARES_PER_CPU / 1000).max(2))
}

fn gpu(text: &str) -> Result<Gpus, Invalid> {
    if text == "all" {
        return Ok(Gpus::All);
    }
    let count = text.parse().ok().filter(|count| (1..=64).contains(count));
    count.map(Gpus::Count).ok_or_else(|| {
        Invalid::new(format!(
            "Invalid number of GPUs '{}': use all or a number",
            text.escape_debug()
        ))
    })
}

/// The process type that a command names, and the beginning of its keys.
fn process(call: &Call) -> Outcome<(String, String)> {
    match call.args.value("--process-type") {
        None | Some(DEFAULT) => Ok((DEFAULT.to_owned(), String::new())),
        Some(name) if matches!(name, "limit" | "reserve") => Err(Failure::new(format!(
            "A process type cannot be called '{name}' here"
        ))),
        Some(name) => {
            let process = ProcessType::parse(name)?;
            Ok((process.to_string(), format!("{process}.")))
        }
    }
}

async fn limit(control: &Control, call: &mut Call) -> Outcome {
    change(control, call, Kind::Limit).await
}

async fn reserve(control: &Control, call: &mut Call) -> Outcome {
    change(control, call, Kind::Reserve).await
}

async fn change(control: &Control, call: &mut Call, kind: Kind) -> Outcome {
    let app = call.app()?;
    let scope = Scope::App(AppName::clone(&app));
    let (process, prefix) = process(call)?;
    let mut changes = Vec::new();
    let mut lines = Vec::new();
    for key in KEYS {
        let Some(value) = call.args.value(&format!("--{key}")) else {
            continue;
        };
        let kept = Some(value).filter(|value| !matches!(*value, "clear" | ""));
        if let Some(value) = kept {
            let mut settings = ContainerSettings::default();
            kind.apply(key, value, &mut settings)?;
            refuse_beyond_the_engine(control, value, settings.nano_cpus).await?;
        }
        let name = format!("{prefix}{}.{key}", kind.as_str());
        changes.push((name, kept.map(str::to_owned)));
        lines.push(format!("       {key}: {}", kept.unwrap_or_default()));
    }
    if changes.is_empty() {
        return show(control, call, &app, kind, &process).await;
    }
    control
        .store
        .properties()
        .change(&scope, PLUGIN, &changes)
        .await?;
    let title = format!(
        "Setting resource {} for {}{}",
        kind.plural(),
        &*app,
        of(&process)
    );
    call.out.title(&title).await?;
    for line in lines {
        call.out.line(line.trim_end()).await?;
    }
    Ok(())
}

/// The engine would say so at the next start only.
pub(crate) async fn refuse_beyond_the_engine(
    control: &Control,
    text: &str,
    nanos: Option<i64>,
) -> Outcome {
    let (Some(nanos), Ok(cpus)) = (nanos, control.runtime.cpus().await) else {
        return Ok(());
    };
    if nanos <= i64::from(cpus) * NANO {
        return Ok(());
    }
    Err(Failure::new(format!(
        "Invalid number of CPUs '{}': the container engine has {cpus}",
        text.escape_debug()
    )))
}

/// `(web)` behind an app's name; nothing for all process types.
fn of(process: &str) -> String {
    if process == DEFAULT {
        String::new()
    } else {
        format!(" ({process})")
    }
}

async fn show(
    control: &Control,
    call: &mut Call,
    app: &AppName,
    kind: Kind,
    process: &str,
) -> Outcome {
    let resources = Resources::of(control, app).await?;
    let values = resources.0.get(process).cloned().unwrap_or_default();
    let place = if process == DEFAULT {
        "[defaults]".to_owned()
    } else {
        format!("({process})")
    };
    let title = format!("resource {} {app} information {place}", kind.plural());
    call.out.title(&title).await?;
    for key in KEYS {
        let value = values.get(&format!("{}.{key}", kind.as_str()));
        let line = format!("       {key}: {}", value.map_or("", String::as_str));
        call.out.line(line.trim_end()).await?;
    }
    Ok(())
}

async fn clear_limits(control: &Control, call: &mut Call) -> Outcome {
    clear(control, call, Kind::Limit).await
}

async fn clear_reservations(control: &Control, call: &mut Call) -> Outcome {
    clear(control, call, Kind::Reserve).await
}

/// Of one process type, or of all of them.
async fn clear(control: &Control, call: &mut Call, kind: Kind) -> Outcome {
    let app = call.app()?;
    let scope = Scope::App(AppName::clone(&app));
    let chosen = match call.args.value("--process-type") {
        Some(_) => Some(process(call)?.0),
        None => None,
    };
    let all = control.store.properties().all(&scope, PLUGIN).await?;
    let keys = all.into_keys().filter(|key| {
        let (process, rest) = split(key);
        let is_kind = rest.split('.').next() == Some(kind.as_str());
        is_kind && chosen.as_deref().is_none_or(|chosen| chosen == process)
    });
    let changes: Vec<_> = keys.map(|key| (key, None)).collect();
    control
        .store
        .properties()
        .change(&scope, PLUGIN, &changes)
        .await?;
    let place = chosen.as_deref().map(of).unwrap_or_default();
    let title = format!("Clearing resource {} of {}{place}", kind.plural(), &*app);
    call.out.title(&title).await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_to_report(control, call).await? {
        let resources = Resources::of(control, &app).await?;
        let fields: Fields = resources
            .0
            .iter()
            .flat_map(|(process, values)| {
                let field = move |(key, value): (&String, &String)| {
                    (format!("resource-{process}.{key}"), value.clone())
                };
                values.iter().map(field)
            })
            .collect();
        report::print(call, &REPORT, app.as_str(), &fields).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares() {
        assert_eq!(memory("512").unwrap(), 512 << 20);
        assert_eq!(memory("1g").unwrap(), 1 << 30);
        for bad in ["", "m", "5m", "-1g", "1x", "1mm", "9999999999g"] {
            assert!(memory(bad).is_err(), "{bad}");
        }
        assert_eq!(cpu("0.5").unwrap(), 500_000_000);
        for bad in ["", "0", "-1", "x", "nan", "inf"] {
            assert!(cpu(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_docker_cannot_hold_is_refused_by_name() {
        let mut settings = ContainerSettings::default();
        for (kind, key) in [
            (Kind::Limit, "network"),
            (Kind::Limit, "network-egress"),
            (Kind::Reserve, "memory-swap"),
            (Kind::Reserve, "nvidia-gpu"),
        ] {
            let error = kind.apply(key, "1", &mut settings).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
        assert!(Kind::Reserve.apply("cpu", "900", &mut settings).is_err());
        Kind::Reserve.apply("cpu", "1.5", &mut settings).unwrap();
        assert_eq!(settings.cpu_shares, Some(1536));
    }

    #[test]
    fn a_process_takes_its_own_values_before_those_for_all() {
        let values = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        let resources = Resources(BTreeMap::from([
            (
                DEFAULT.to_owned(),
                values(&[("limit.memory", "64"), ("limit.cpu", "1")]),
            ),
            ("web".to_owned(), values(&[("limit.memory", "128")])),
            (BUILD.to_owned(), values(&[("limit.memory", "256")])),
        ]));
        let web = resources.settings(Some(&ProcessType::web())).unwrap();
        assert_eq!(
            (web.memory, web.nano_cpus),
            (Some(128 << 20), Some(1_000_000_000))
        );
        assert_eq!(resources.settings(None).unwrap().memory, Some(64 << 20));
        let build = resources.build().unwrap();
        assert_eq!((build.memory, build.nano_cpus), (Some(256 << 20), None));
        assert_eq!(resources.processes().count(), 1);
    }
}
