//! What there is of storage, as text and JSON.

use sarsen_store::StorageEntry;
use serde_json::json;

use super::{check_scheduler, entry_name};
use crate::control::Control;
use crate::failure::Outcome;
use crate::property::apps_to_report;
use crate::report::{self, Fields, ReportKind, wants_json};
use crate::table::Call;

const REPORT: ReportKind = ReportKind {
    prefix: "storage",
    label: "storage",
    long_json_keys: true,
};

fn to_json(entry: &StorageEntry) -> serde_json::Value {
    json!({
        "name": entry.name,
        "host_path": entry.source,
        "scheduler": "docker-local",
        "chown": entry.owner.map(|id| id.to_string()).unwrap_or_default(),
        "mode": entry.mode.map(|mode| format!("{mode:04o}")).unwrap_or_default(),
    })
}

pub(super) async fn info(control: &Control, call: &mut Call) -> Outcome {
    let as_json = wants_json(call)?;
    let name = entry_name(call.args.get(0).unwrap_or_default())?;
    let entry = control.store.storage().get(&name).await?;
    let json = to_json(&entry);
    if as_json {
        return call.out.line(&json.to_string()).await;
    }
    call.out
        .title(&format!("{name} storage information"))
        .await?;
    for (word, key) in [
        ("Name", "name"),
        ("Host path", "host_path"),
        ("Scheduler", "scheduler"),
        ("Chown", "chown"),
        ("Mode", "mode"),
    ] {
        let value = json
            .get(key)
            .and_then(|value| value.as_str())
            .unwrap_or_default();
        let line = format!("       {:<31}{value}", format!("{word}:"));
        call.out.line(line.trim_end()).await?;
    }
    Ok(())
}

pub(super) async fn list_entries(control: &Control, call: &mut Call) -> Outcome {
    check_scheduler(call)?;
    let as_json = wants_json(call)?;
    let entries = control.store.storage().list().await?;
    if as_json {
        let rows: Vec<_> = entries.iter().map(to_json).collect();
        let rows = serde_json::Value::Array(rows);
        return call.out.line(&rows.to_string()).await;
    }
    call.out.title("Storage entries").await?;
    let rows = entries
        .into_iter()
        .map(|entry| vec![entry.name, entry.source]);
    let rows: Vec<_> = rows.collect();
    call.out.table(&rows).await
}

pub(super) async fn list(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let as_json = wants_json(call)?;
    let mounts = control.store.storage().mounts(&app).await?;
    if as_json {
        let rows = mounts.iter().map(|held| {
            json!({
                "entry_name": held.entry.name,
                "host_path": held.entry.source,
                "container_path": held.mount.target,
                "readonly": held.mount.read_only,
                "volume_options": held.mount.options,
            })
        });
        let rows = serde_json::Value::Array(rows.collect());
        return call.out.line(&rows.to_string()).await;
    }
    call.out
        .title(&format!("{} volume bind-mounts", &*app))
        .await?;
    for held in mounts {
        let line = format!("{}:{}", held.entry.source, held.mount.target);
        call.out.line(&line).await?;
    }
    Ok(())
}

pub(super) async fn report(control: &Control, call: &mut Call) -> Outcome {
    for app in apps_to_report(control, call).await? {
        let mounts = control.store.storage().mounts(&app).await?;
        let mut fields = Fields::new();
        for phase in ["build", "deploy", "run"] {
            let of_phase = mounts.iter().filter(|held| {
                held.mount
                    .phases
                    .split(',')
                    .any(|held_phase| held_phase == phase)
            });
            let flags = of_phase.map(|held| {
                let options = if held.mount.read_only { ":ro" } else { "" };
                format!("-v {}:{}{options}", held.entry.source, held.mount.target)
            });
            let flags: Vec<_> = flags.collect();
            fields.insert(format!("storage-{phase}-mounts"), flags.join(" "));
        }
        for (number, held) in mounts.iter().enumerate() {
            let owner = held.mount.owner.map(|id| id.to_string());
            for (key, value) in [
                ("entry-name", held.entry.name.clone()),
                ("host-path", held.entry.source.clone()),
                ("container-path", held.mount.target.clone()),
                ("phases", held.mount.phases.clone()),
                ("process-type", held.mount.process.clone()),
                ("subpath", held.mount.subpath.clone()),
                ("readonly", held.mount.read_only.to_string()),
                ("volume-options", held.mount.options.clone()),
                ("volume-chown", owner.unwrap_or_default()),
            ] {
                fields.insert(format!("storage-attachment.{}.{key}", number + 1), value);
            }
        }
        report::print(call, &REPORT, app.as_str(), &fields).await?;
    }
    Ok(())
}
