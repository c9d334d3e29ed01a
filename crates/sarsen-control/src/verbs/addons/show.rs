//! What there is, and what it says.

use futures_util::StreamExt;
use sarsen_addons::{Addon, Engine};
use sarsen_runtime::{LogOptions, StdStream};
use sarsen_store::ServiceRecord;

use super::{addon, subject};
use crate::addons::service;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::report::{self, Fields, ReportKind, wants_json};
use crate::table::Call;

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
    records.retain(|record| record.addon == addon.name);
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
    let mut fields = fields(control, &addon, &record).await?;
    let dsn = Engine::url(&addon, &service(&record));
    fields.insert("dsn".to_owned(), dsn);
    let heading = format!("{} {}", record.name, addon.name);
    report::print(call, &REPORT, &heading, &fields).await
}

/// Everything but secrets.
async fn fields(control: &Control, addon: &Addon, record: &ServiceRecord) -> Outcome<Fields> {
    let found = control.addons.engine.find(addon, &service(record)).await?;
    let info = found.as_ref();
    let links = control.store.services().links(record.id).await?;
    let links: Vec<_> = links.iter().map(|app| app.as_str()).collect();
    let or_none = |text: String| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text
        }
    };
    let address = info.and_then(|info| info.address());
    Ok([
        ("exposed-ports", "-".to_owned()),
        (
            "id",
            or_none(info.map(|info| info.id.to_string()).unwrap_or_default()),
        ),
        (
            "internal-ip",
            or_none(address.map(|ip| ip.to_string()).unwrap_or_default()),
        ),
        ("links", or_none(links.join(" "))),
        (
            "status",
            info.map_or("missing", |info| info.status.as_str())
                .to_owned(),
        ),
        ("version", record.image.to_string()),
        ("volume", record.volume.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into())
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
