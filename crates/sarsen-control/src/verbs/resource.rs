//! How much of the host an app's containers may take.

use sarsen_domain::{AppName, Invalid};
use sarsen_store::Scope;

use crate::control::Control;
use crate::failure::Outcome;
use crate::property::apps_to_report;
use crate::report::{self, Fields, ReportKind};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "resource:limit",
        "[--cpu N] [--memory SIZE] <app>",
        Change,
        "Shows or sets limits (from the next deploy or restart on)",
        limit
    ),
    verb!(
        "resource:limit-clear",
        "<app>",
        Change,
        "Removes all limits of an app",
        clear
    ),
    verb!(
        "resource:report",
        "[<app>] [--format stdout|json] [--resource-*]",
        Read,
        "Displays a resource report",
        report
    ),
];

const PLUGIN: &str = "resource";
const REPORT: ReportKind = ReportKind {
    prefix: "resource",
    label: "resource",
    long_json_keys: true,
};
/// Docker refuses less.
const MEMORY_MIN: i64 = 6 * 1024 * 1024;

/// Bytes of memory, if the app has a limit.
pub(crate) async fn memory(control: &Control, app: &AppName) -> Outcome<Option<i64>> {
    let value = control
        .store
        .properties()
        .get(&Scope::App(app.clone()), PLUGIN, "limit.memory")
        .await?;
    Ok(value.map(|value| parse_memory(&value)).transpose()?)
}

/// Billionths of a CPU, if the app has a limit.
pub(crate) async fn nano_cpus(control: &Control, app: &AppName) -> Outcome<Option<i64>> {
    let value = control
        .store
        .properties()
        .get(&Scope::App(app.clone()), PLUGIN, "limit.cpu")
        .await?;
    Ok(value.map(|value| parse_cpu(&value)).transpose()?)
}

/// `512` and `512m` are megabytes, as Dokku has it; `k`, `g` and `b` too.
fn parse_memory(text: &str) -> Result<i64, Invalid> {
    let invalid = || {
        Invalid::new(format!(
            "Invalid memory limit '{}': use a size such as 512m or 2g, at least 6m",
            text.escape_debug()
        ))
    };
    let digits = text.trim_end_matches(['b', 'k', 'm', 'g']);
    let factor = match text.get(digits.len()..) {
        Some("b") => 1,
        Some("k") => 1024,
        Some("" | "m") => 1024 * 1024,
        Some("g") => 1024 * 1024 * 1024,
        _ => return Err(invalid()),
    };
    let count: i64 = digits.parse().map_err(|_| invalid())?;
    count
        .checked_mul(factor)
        .filter(|bytes| *bytes >= MEMORY_MIN)
        .ok_or_else(invalid)
}

fn parse_cpu(text: &str) -> Result<i64, Invalid> {
    let cpus: f64 = text
        .parse()
        .ok()
        .filter(|cpus| (0.01..=1024.0).contains(cpus))
        .ok_or_else(|| {
            Invalid::new(format!(
                "Invalid CPU limit '{}': use a number such as 0.5 or 2",
                text.escape_debug()
            ))
        })?;
    #[expect(clippy::cast_possible_truncation, reason = "at most 1024 × 10⁹")]
    let nanos = (cpus * 1e9).round() as i64;
    Ok(nanos)
}

async fn limit(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let scope = Scope::App(AppName::clone(&app));
    let (cpu, memory) = (call.args.value("--cpu"), call.args.value("--memory"));
    if cpu.is_none() && memory.is_none() {
        return show(control, call, &app).await;
    }
    cpu.filter(|value| *value != "clear")
        .map(parse_cpu)
        .transpose()?;
    memory
        .filter(|value| *value != "clear")
        .map(parse_memory)
        .transpose()?;
    for (key, value) in [("limit.cpu", cpu), ("limit.memory", memory)] {
        let properties = control.store.properties();
        match value {
            None => {}
            Some("clear") => properties.unset(&scope, PLUGIN, key).await?,
            Some(value) => properties.set(&scope, PLUGIN, key, value).await?,
        }
    }
    call.out
        .title(&format!("Setting resource limits for {}", &*app))
        .await?;
    show(control, call, &app).await
}

async fn show(control: &Control, call: &mut Call, app: &AppName) -> Outcome {
    let values = control
        .store
        .properties()
        .all(&Scope::App(app.clone()), PLUGIN)
        .await?;
    call.out
        .title(&format!("resource limits {app} information"))
        .await?;
    for key in ["cpu", "memory"] {
        let value = values
            .get(&format!("limit.{key}"))
            .map_or("", String::as_str);
        call.out
            .line(format!("       {key}: {value}").trim_end())
            .await?;
    }
    Ok(())
}

async fn clear(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let scope = Scope::App(AppName::clone(&app));
    for key in ["limit.cpu", "limit.memory"] {
        control
            .store
            .properties()
            .unset(&scope, PLUGIN, key)
            .await?;
    }
    call.out
        .title(&format!("Clearing resource limits of {}", &*app))
        .await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_to_report(control, call).await? {
        let values = control
            .store
            .properties()
            .all(&Scope::App(app.clone()), PLUGIN)
            .await?;
        let fields: Fields = values
            .into_iter()
            .map(|(key, value)| (format!("resource-_default_.{key}"), value))
            .collect();
        if fields.is_empty() && call.args.flags_with("--resource").is_empty() {
            call.out
                .title(&format!("{app} resource information"))
                .await?;
            continue;
        }
        report::print(call, &REPORT, app.as_str(), &fields).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares() {
        assert_eq!(parse_memory("512").unwrap(), 512 << 20);
        assert_eq!(parse_memory("1g").unwrap(), 1 << 30);
        for bad in ["", "m", "5m", "-1g", "1t", "1mm", "9999999999g"] {
            assert!(parse_memory(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_cpu("0.5").unwrap(), 500_000_000);
        for bad in ["", "0", "-1", "x", "nan", "inf"] {
            assert!(parse_cpu(bad).is_err(), "{bad}");
        }
    }
}
