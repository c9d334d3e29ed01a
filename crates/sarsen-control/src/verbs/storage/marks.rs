//! Labels and annotations of named folders. Dokku has them for Kubernetes; here they are on the containers that mount
//! the folder, from their next start on.

use std::collections::BTreeMap;

use sarsen_domain::{ContainerSettings, DockerFlags};
use sarsen_store::{Mark, StorageMount};

use super::entry_name;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::report::{self, Fields, ReportKind};
use crate::table::Call;

/// A value is a word or two.
const VALUE_MAX: usize = 1024;

const LABELS: ReportKind = ReportKind {
    prefix: "storage-labels",
    label: "storage labels",
    long_json_keys: true,
};

const ANNOTATIONS: ReportKind = ReportKind {
    prefix: "storage-annotations",
    label: "storage annotations",
    long_json_keys: true,
};

pub(super) async fn set_label(control: &Control, call: &mut Call) -> Outcome {
    set(control, call, Mark::Label).await
}

pub(super) async fn set_annotation(control: &Control, call: &mut Call) -> Outcome {
    set(control, call, Mark::Annotation).await
}

pub(super) async fn report_labels(control: &Control, call: &mut Call) -> Outcome {
    report(control, call, Mark::Label, &LABELS).await
}

pub(super) async fn report_annotations(control: &Control, call: &mut Call) -> Outcome {
    report(control, call, Mark::Annotation, &ANNOTATIONS).await
}

/// `NAME KEY [VALUE]`
async fn set(control: &Control, call: &mut Call, kind: Mark) -> Outcome {
    let name = entry_name(call.args.get(0).unwrap_or_default())?;
    let key = call.args.get(1).unwrap_or_default().to_owned();
    let value = call.args.get(2).unwrap_or_default().to_owned();
    check(&key, &value)?;
    let storage = control.store.storage();
    if value.is_empty() {
        storage.set_mark(&name, kind, (&key, None)).await?;
        return call.out.title(&format!("Unsetting {key}")).await;
    }
    storage.set_mark(&name, kind, (&key, Some(&value))).await?;
    call.out.title(&format!("Setting {key} to {value}")).await
}

fn check(key: &str, value: &str) -> Outcome {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let starts_well = key.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || key.len() > 200 || !key.chars().all(legal) {
        return Err(Failure::new(format!(
            "Invalid key '{}': letters, digits, '.', '-', '_' and '/'",
            key.escape_debug()
        )));
    }
    if value.len() > VALUE_MAX || value.chars().any(char::is_control) {
        return Err(Failure::new(format!(
            "The value must be one line of at most {VALUE_MAX} characters"
        )));
    }
    // Some are the deploy's own.
    DockerFlags::parse(&[format!("--label={key}={value}")])?;
    Ok(())
}

async fn report(control: &Control, call: &mut Call, kind: Mark, shown: &ReportKind) -> Outcome {
    let storage = control.store.storage();
    let names = match call.args.get(0) {
        Some(name) => vec![storage.get(&entry_name(name)?).await?.name],
        None => {
            let mut entries = storage.list().await?;
            entries.retain(|entry| !entry.unnamed);
            entries.into_iter().map(|entry| entry.name).collect()
        }
    };
    let mut marks = storage.marks(kind).await?;
    for name in names {
        let own = marks.remove(&name).unwrap_or_default().into_iter();
        let fields: Fields = own
            .map(|(key, value)| (format!("{}-{key}", shown.prefix), value))
            .collect();
        report::print(call, shown, &name, &fields).await?;
    }
    Ok(())
}

/// What is said of all folders.
pub(crate) struct Marks {
    labels: BTreeMap<String, BTreeMap<String, String>>,
    annotations: BTreeMap<String, BTreeMap<String, String>>,
}

impl Marks {
    /// Puts what is said of a mounted folder on a container.
    pub(crate) fn put(&self, held: &StorageMount, settings: &mut ContainerSettings) {
        let of = |all: &BTreeMap<String, BTreeMap<String, String>>| {
            all.get(&held.entry.name).cloned().unwrap_or_default()
        };
        settings.labels.extend(of(&self.labels));
        settings.annotations.extend(of(&self.annotations));
    }
}

impl Control {
    /// What is said of folders.
    pub(crate) async fn storage_marks(&self) -> Outcome<Marks> {
        let storage = self.store.storage();
        Ok(Marks {
            labels: storage.marks(Mark::Label).await?,
            annotations: storage.marks(Mark::Annotation).await?,
        })
    }
}
