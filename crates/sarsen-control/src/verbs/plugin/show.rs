//! What plugins there are, and how their scripts ended.

use sarsen_plugins::{Plugin, PluginName};
use sarsen_store::PluginRun;

use crate::control::Control;
use crate::failure::Outcome;
use crate::report::{Fields, ReportKind, text, wants_json};
use crate::table::Call;
use crate::time::rfc3339;

/// So many of the last runs are shown.
const RUNS: usize = 10;

const REPORT: ReportKind = ReportKind {
    prefix: "plugin",
    label: "plugin",
    long_json_keys: false,
};

pub(super) async fn list(control: &Control, call: &mut Call) -> Outcome {
    let plugins = control.plugins.list()?;
    match wants_json(call)? {
        true => {
            let rows = plugins.iter().map(json).collect();
            call.out
                .line(&serde_json::Value::Array(rows).to_string())
                .await
        }
        false => {
            let lines: String = plugins.iter().map(line).collect();
            call.out.bytes(lines.as_bytes()).await
        }
    }
}

fn state(plugin: &Plugin) -> &'static str {
    if plugin.enabled {
        "enabled"
    } else {
        "disabled"
    }
}

/// As plugn prints it: scripts cut it into columns.
fn line(plugin: &Plugin) -> String {
    let (version, description) = match &plugin.manifest {
        Ok(manifest) => (manifest.version.as_str(), manifest.description.clone()),
        Err(why) => ("", format!("broken: {why}")),
    };
    format!(
        "  {:<20} {version:<5} {:<10} {description}\n",
        plugin.name,
        state(plugin)
    )
}

fn json(plugin: &Plugin) -> serde_json::Value {
    let manifest = plugin.manifest.clone().unwrap_or_default();
    let record = plugin.record.clone().unwrap_or_default();
    let mut row = serde_json::json!({
        "name": plugin.name.as_str(), "version": manifest.version, "enabled": plugin.enabled, "core": plugin.core,
        "description": manifest.description, "source_url": record.source_url, "committish": record.committish,
        "branch": record.branch, "commit": record.commit,
    });
    if let (Err(why), Some(row)) = (&plugin.manifest, row.as_object_mut()) {
        row.insert("error".to_owned(), why.as_str().into());
    }
    row
}

pub(super) async fn report(control: &Control, call: &mut Call) -> Outcome {
    let mut plugins = control.plugins.list()?;
    match call.args.get(0) {
        Some(name) => plugins = vec![control.plugins.find(&PluginName::parse(name)?)?],
        None => plugins.retain(|plugin| !plugin.core),
    }
    let as_json = wants_json(call)?;
    for plugin in plugins {
        let runs = control
            .store
            .plugin_runs()
            .newest(plugin.name.as_str(), RUNS)
            .await?;
        if as_json {
            let mut row = json(&plugin);
            if let Some(row) = row.as_object_mut() {
                row.insert("runs".to_owned(), runs.iter().map(run_json).collect());
            }
            call.out.line(&row.to_string()).await?;
        } else {
            let fields = fields(&plugin, &runs);
            call.out
                .bytes(text(&REPORT, plugin.name.as_str(), &fields).as_bytes())
                .await?;
            print_runs(call, &runs).await?;
        }
    }
    Ok(())
}

fn fields(plugin: &Plugin, runs: &[PluginRun]) -> Fields {
    let manifest = plugin.manifest.clone().unwrap_or_default();
    let record = plugin.record.clone().unwrap_or_default();
    let longest = runs.iter().map(|run| run.millis).max();
    let failed = runs.iter().filter(|run| run.exit_code != 0).count();
    [
        ("plugin-description", manifest.description),
        ("plugin-version", manifest.version),
        ("plugin-enabled", plugin.enabled.to_string()),
        ("plugin-core", plugin.core.to_string()),
        ("plugin-source-url", record.source_url),
        ("plugin-committish", record.committish),
        ("plugin-branch", record.branch),
        ("plugin-commit", record.commit),
        (
            "plugin-error",
            plugin.manifest.as_ref().err().cloned().unwrap_or_default(),
        ),
        (
            "plugin-failed-runs",
            format!("{failed} of the last {}", runs.len()),
        ),
        (
            "plugin-longest-run",
            longest
                .map(|millis| format!("{millis} ms"))
                .unwrap_or_default(),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

async fn print_runs(call: &mut Call, runs: &[PluginRun]) -> Outcome {
    let row = |run: &PluginRun| {
        let ended = match run.failure.as_str() {
            "" => "succeeded",
            failure => failure,
        };
        let took = format!("{} ms", run.millis);
        vec![
            format!("       {}", rfc3339(run.at_ms / 1000)),
            run.script.clone(),
            took,
            ended.to_owned(),
        ]
    };
    call.out
        .table(&runs.iter().map(row).collect::<Vec<_>>())
        .await
}

fn run_json(run: &PluginRun) -> serde_json::Value {
    serde_json::json!({
        "script": run.script, "at": rfc3339(run.at_ms / 1000), "duration_ms": run.millis, "exit_code": run.exit_code,
        "failure": run.failure,
    })
}
