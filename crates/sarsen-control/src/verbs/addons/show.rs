//! What there is, and what it says.

use futures_util::StreamExt;
use sarsen_addons::{Addon, Engine};
use sarsen_runtime::{LogOptions, StdStream};
use sarsen_store::{BackupState, ServiceRecord, ServiceState};

use super::{addon, subject};
use crate::addons::service;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::report::{self, Fields, ReportKind, wants_json};
use crate::table::Call;
use crate::time::rfc3339;

const REPORT: ReportKind = ReportKind {
    prefix: "",
    label: "service",
    long_json_keys: false,
};

pub(super) async fn exists(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let there = format!("{} service {} exists", addon.title, record.name);
    call.out.header(&there).await
}

pub(super) async fn list(control: &Control, call: &mut Call) -> Outcome {
    let addon = addon(control, call)?;
    let mut records = control.store.services().all().await?;
    // Those on trial, and those that are going, are nobody's.
    records.retain(|record| record.addon == addon.name && record.state != ServiceState::Destroying);
    match wants_json(call)? {
        true => {
            let mut rows = Vec::new();
            for record in &records {
                let fields = fields(control, &addon, record).await?;
                let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
                let links = control.store.services().links(record.id).await?;
                rows.push(serde_json::json!({
                    "name": record.name, "version": field("version"), "status": field("status"), "links": links,
                }));
            }
            let rows = serde_json::Value::Array(rows).to_string();
            call.out.line(&rows).await
        }
        false if records.is_empty() => {
            let none = format!("There are no {} services", addon.title);
            call.out.warn(&none).await
        }
        false => {
            call.out.title(&format!("{} services", addon.title)).await?;
            let lines: String = records.iter().map(|r| format!("{}\n", r.name)).collect();
            call.out.bytes(lines.as_bytes()).await
        }
    }
}

pub(super) async fn info(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let (heading, fields) = all_of(control, &addon, &record).await?;
    report::print(call, &REPORT, &heading, &fields).await
}

/// A service that was just made; the flags of its making choose no fields.
pub(super) async fn tell_of(
    control: &Control,
    call: &mut Call,
    addon: &Addon,
    record: &ServiceRecord,
) -> Outcome {
    let (heading, fields) = all_of(control, addon, record).await?;
    let text = report::text(&REPORT, &heading, &fields);
    call.out.bytes(text.as_bytes()).await
}

/// What there is to say of a service, its URL included.
async fn all_of(
    control: &Control,
    addon: &Addon,
    record: &ServiceRecord,
) -> Outcome<(String, Fields)> {
    let mut fields = fields(control, addon, record).await?;
    let dsn = Engine::url(addon, &service(record));
    fields.insert("dsn".to_owned(), dsn);
    Ok((format!("{} {}", record.name, addon.name), fields))
}

/// Everything but secrets.
async fn fields(control: &Control, addon: &Addon, record: &ServiceRecord) -> Outcome<Fields> {
    let described = service(record);
    let found = control.addons.engine.find(addon, &described).await?;
    let info = found.as_ref();
    let links = control.store.services().links(record.id).await?;
    let links: Vec<_> = links.iter().map(|app| app.as_str()).collect();
    let folder = control.addons.engine.folder(addon, &described);
    let config = addon.has_config_folder().then(|| folder.join("config"));
    let root = config.as_ref().map(|_| folder.display().to_string());
    let address = info.and_then(|info| info.address());
    let settings = &record.settings;
    let exposed: Vec<_> = settings.exposed.iter().map(ToString::to_string).collect();
    let (backup, verify) = lately(control, record).await?;
    let volume = addon.data_folder().map(|_| record.volume.clone());
    Ok([
        ("config-dir", config.map(|path| path.display().to_string())),
        ("config-options", Some(settings.options.join(" "))),
        ("data-dir", addon.data_folder().map(str::to_owned)),
        ("data-size", record.size.map(|size| size.bytes.to_string())),
        ("exposed-ports", Some(exposed.join(" "))),
        ("id", info.map(|info| info.id.to_string())),
        ("initial-network", Some(settings.initial_networks.join(","))),
        ("internal-ip", address.map(|ip| ip.to_string())),
        ("last-backup", backup),
        ("last-verify", verify),
        ("links", Some(links.join(" "))),
        (
            "post-create-network",
            Some(settings.post_create_networks.join(",")),
        ),
        (
            "post-start-network",
            Some(settings.post_start_networks.join(",")),
        ),
        ("service-root", root),
        (
            "status",
            Some(
                info.map_or("missing", |info| info.status.as_str())
                    .to_owned(),
            ),
        ),
        ("version", Some(record.image.to_string())),
        ("volume", volume),
    ]
    .map(|(key, value)| {
        let value = value.filter(|value| !value.is_empty());
        (key.to_owned(), value.unwrap_or_else(|| "-".to_owned()))
    })
    .into())
}

/// When the service was last backed up, and when a backup of it could last be restored.
async fn lately(
    control: &Control,
    record: &ServiceRecord,
) -> Outcome<(Option<String>, Option<String>)> {
    let backups = control.store.service_backups();
    let backups = backups.of_service(&record.addon, &record.name).await?;
    let done = backups.iter().filter(|one| one.state == BackupState::Done);
    let good = backups.iter().filter_map(|one| one.verified.as_ref());
    let good = good.filter(|last| last.good).map(|last| last.at);
    Ok((
        done.filter_map(|one| one.finished_at).max().map(rfc3339),
        good.max().map(rfc3339),
    ))
}

pub(super) async fn logs(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let count = call.args.value("--num").unwrap_or("100");
    let count = count
        .parse()
        .map_err(|_| Failure::new("--num needs a number of lines"))?;
    let found = control
        .addons
        .engine
        .find(&addon, &service(&record))
        .await?;
    let missing = || {
        Failure::new(format!(
            "{} service {} has no container",
            addon.title, record.name
        ))
    };
    let container = found.ok_or_else(missing)?.id;
    let options = LogOptions {
        follow: call.args.has("--tail"),
        tail: Some(count),
        timestamps: false,
    };
    let mut output = control.runtime.logs(&container, options).await?;
    let gone = call.gone.clone();
    loop {
        let chunk = tokio::select! {
            chunk = output.next() => chunk,
            () = gone.cancelled() => None,
        };
        let Some(chunk) = chunk else { return Ok(()) };
        let chunk = chunk?;
        match chunk.stream {
            StdStream::Stdout => call.out.bytes(&chunk.bytes).await?,
            StdStream::Stderr => call.out.error_bytes(&chunk.bytes).await?,
        }
    }
}
