//! Backups of services, as people ask for them.

use sarsen_addons::Addon;
use sarsen_addons::backup::{Destination, check_recipient};
use sarsen_deploy::cron::Schedule;
use sarsen_store::{
    BackupRecord, BackupSchedule, BackupSettings, BackupState, BackupTask, S3Login, ServiceRecord,
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::{running, subject};
use crate::access::{Action, authorise};
use crate::addons::BackupWish;
use crate::args::Args;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::output::columns;
use crate::report::wants_json;
use crate::table::Call;
use crate::time::rfc3339;
use crate::verbs::apps::confirm;

/// A passphrase that can be tried out is none.
const PASSPHRASE_MIN: usize = 8;
const SECRET_MAX: u64 = 4096;

pub(super) async fn backup(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = running(control, call).await?;
    let destination = destination(control, call, &record, 1)?;
    call.out
        .header(&format!("Backing up {} to {destination}", record.name))
        .await?;
    let wish = BackupWish {
        addon,
        service: record,
        destination,
    };
    let backup = control.back_up(wish).await?;
    let size = backup.size_bytes.unwrap_or_default();
    let (id, file) = (backup.id, &backup.file);
    call.out
        .header(&format!("Backup {id} is there: {file}, {size} bytes"))
        .await
}

/// What was said, else the destination of the schedule, else our own folder. Other folders of the host are for people
/// on the host to name.
fn destination(
    control: &Control,
    call: &Call,
    record: &ServiceRecord,
    place: usize,
) -> Outcome<String> {
    let Some(text) = call.args.get(place) else {
        let schedule = record.settings.backup.schedule.as_ref();
        let folder = || control.backup_folder().display().to_string();
        return Ok(schedule.map_or_else(folder, |schedule| schedule.destination.clone()));
    };
    let destination = Destination::parse(text).map_err(Failure::new)?;
    if let Destination::Folder(folder) = &destination
        && *folder != control.backup_folder()
    {
        authorise(&call.actor, Action::Root, ())
            .map_err(|_| Failure::new("A folder of the host is named on the host, not over ssh"))?;
    }
    Ok(destination.to_string())
}

pub(super) async fn auth(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let word = |index: usize| call.args.get(index).filter(|word| !word.is_empty());
    let signature = word(4).unwrap_or("s3v4").to_owned();
    if !matches!(signature.as_str(), "s3v4" | "v4" | "4") {
        let signature = signature.escape_debug();
        return Err(Failure::new(format!(
            "Requests are signed with version 4 (s3v4), not with '{signature}'"
        )));
    }
    let key_id = word(1).unwrap_or_default().to_owned();
    let region = word(3).unwrap_or("us-east-1").to_owned();
    let endpoint = word(5).map(|url| url.trim_end_matches('/').to_owned());
    if let Some(url) = &endpoint
        && !(url.starts_with("https://") || url.starts_with("http://"))
    {
        let url = url.escape_debug();
        return Err(Failure::new(format!("'{url}' is no URL of an S3 storage")));
    }
    if !region
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        let region = region.escape_debug();
        return Err(Failure::new(format!("'{region}' is no region")));
    }
    let secret = secret(call, 2, "secret access key").await?;
    let login = S3Login {
        key_id,
        secret: secret.into(),
        region,
        endpoint,
    };
    change(control, &addon, &record, |backup| backup.s3 = Some(login)).await?;
    call.out
        .header(&format!("Backups of {} can go to S3", record.name))
        .await
}

pub(super) async fn deauth(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    change(control, &addon, &record, |backup| backup.s3 = None).await?;
    call.out
        .header(&format!(
            "Backups of {} cannot go to S3 any more",
            record.name
        ))
        .await
}

pub(super) async fn schedule(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let cron = call.args.get(1).unwrap_or_default().to_owned();
    Schedule::parse(&cron)?;
    let destination = destination(control, call, &record, 2)?;
    let bucket = Destination::parse(&destination).map_err(Failure::new)?;
    if matches!(bucket, Destination::Bucket { .. }) && record.settings.backup.s3.is_none() {
        let (addon, name) = (&addon.name, &record.name);
        return Err(Failure::new(format!(
            "Nobody has said who we are to the S3 storage: '{addon}:backup-auth {name}' first"
        )));
    }
    let schedule = BackupSchedule {
        cron: cron.clone(),
        destination: destination.clone(),
    };
    change(control, &addon, &record, |backup| {
        backup.schedule = Some(schedule)
    })
    .await?;
    let now = Some(crate::time::now());
    let services = control.store.services();
    services
        .set_cursor(record.id, BackupTask::Backup, now)
        .await?;
    call.out
        .header(&format!(
            "{} is backed up to {destination}: {cron}",
            record.name
        ))
        .await
}

pub(super) async fn schedule_cat(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let (noun, name) = (&addon.name, &record.name);
    let Some(schedule) = &record.settings.backup.schedule else {
        return Err(Failure::new(format!("{name} is not backed up by itself")));
    };
    let BackupSchedule { cron, destination } = schedule;
    call.out
        .line(&format!("{cron} {noun}:backup {name} {destination}"))
        .await
}

pub(super) async fn unschedule(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    change(control, &addon, &record, |backup| backup.schedule = None).await?;
    call.out
        .header(&format!(
            "{} is not backed up by itself any more",
            record.name
        ))
        .await
}

pub(super) async fn set_encryption(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let passphrase = secret(call, 1, "passphrase").await?;
    if passphrase.chars().count() < PASSPHRASE_MIN {
        return Err(Failure::new(format!(
            "The passphrase is too short: {PASSPHRASE_MIN} characters at least"
        )));
    }
    change(control, &addon, &record, |backup| {
        backup.passphrase = Some(passphrase.into());
    })
    .await?;
    call.out
        .header(&format!(
            "Backups of {} are encrypted with the passphrase from now on",
            record.name
        ))
        .await
}

pub(super) async fn unset_encryption(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    change(control, &addon, &record, |backup| backup.passphrase = None).await?;
    call.out
        .header(&format!(
            "Backups of {} are encrypted with no passphrase from now on",
            record.name
        ))
        .await
}

pub(super) async fn set_recipient(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let key = call.args.get(1).unwrap_or_default().to_owned();
    check_recipient(&key).map_err(Failure::new)?;
    change(control, &addon, &record, |backup| {
        backup.recipient = Some(key)
    })
    .await?;
    call.out
        .header(&format!(
            "Backups of {} are encrypted with the public key from now on",
            record.name
        ))
        .await?;
    call.out
        .line("       Whoever has the private key reads them; 'backup-verify' and 'backup-restore' cannot")
        .await
}

pub(super) async fn unset_recipient(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    change(control, &addon, &record, |backup| backup.recipient = None).await?;
    call.out
        .header(&format!(
            "Backups of {} are encrypted with no public key from now on",
            record.name
        ))
        .await
}

pub(super) async fn list(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let backups = control.store.service_backups();
    let backups = backups.of_service(&addon.name, &record.name).await?;
    if wants_json(call)? {
        let rows: Vec<_> = backups.iter().map(json).collect();
        let rows = serde_json::Value::Array(rows).to_string();
        return call.out.line(&rows).await;
    }
    if backups.is_empty() {
        let none = format!("There are no backups of {}", record.name);
        return call.out.warn(&none).await;
    }
    let heads = ["Id", "Created", "State", "Bytes", "Verified", "Where"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(backups.iter().map(row));
    call.out.title(&format!("{} backups", record.name)).await?;
    call.out.bytes(columns(&rows).as_bytes()).await
}

fn row(backup: &BackupRecord) -> Vec<String> {
    let verified = match &backup.verified {
        None => "never".to_owned(),
        Some(last) if last.good => rfc3339(last.at),
        Some(last) => format!("failed {}", rfc3339(last.at)),
    };
    let place = match (backup.state, &backup.message) {
        (BackupState::Failed, Some(message)) => {
            message.lines().next().unwrap_or_default().to_owned()
        }
        _ => format!("{}/{}", backup.destination, backup.file),
    };
    let size = backup
        .size_bytes
        .map_or_else(|| "-".to_owned(), |size| size.to_string());
    vec![
        backup.id.to_string(),
        rfc3339(backup.created_at),
        backup.state.as_str().to_owned(),
        size,
        verified,
        place,
    ]
}

fn json(backup: &BackupRecord) -> serde_json::Value {
    let verified = backup.verified.as_ref();
    serde_json::json!({
        "id": backup.id,
        "state": backup.state.as_str(),
        "destination": backup.destination,
        "file": backup.file,
        "image": backup.image,
        "encryption": backup.encryption.as_str(),
        "size": backup.size_bytes,
        "counted": backup.counted,
        "created_at": backup.created_at,
        "finished_at": backup.finished_at,
        "message": backup.message,
        "verified_at": verified.map(|last| last.at),
        "verified": verified.map(|last| last.good),
        "verified_message": verified.map(|last| &last.message),
    })
}

pub(super) async fn verify(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let backup = meant(control, &call.args, &record).await?;
    let id = backup.id;
    call.out
        .header(&format!("Restoring backup {id} into a throw-away service"))
        .await?;
    let gone = call.gone.clone();
    let outcome = tokio::select! {
        outcome = Box::pin(control.verify_backup(&addon, &record, &backup)) => outcome?,
        () = gone.cancelled() => return Err(Failure::silent(1)),
    };
    if outcome.good {
        return call
            .out
            .header(&format!("Backup {id}: {}", outcome.message))
            .await;
    }
    Err(Failure::new(format!(
        "Backup {id} could not be restored: {}",
        outcome.message
    )))
}

pub(super) async fn restore(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = running(control, call).await?;
    let backup = meant(control, &call.args, &record).await?;
    let (title, name, id) = (&addon.title, &record.name, backup.id);
    if !(call.force || call.args.has("--force")) {
        let what = format!("what {title} service {name} holds now");
        confirm(call, name.as_str(), &what).await?;
    }
    let _busy = control.addons.take_whole(&addon.name, name)?;
    call.out
        .header(&format!("Restoring backup {id} into {name}"))
        .await?;
    control.restore_backup(&addon, &record, &backup).await?;
    call.out.header(&format!("{name} holds backup {id}")).await
}

/// The backup that was named, of any service of the addon, else the newest one of this service.
async fn meant(control: &Control, args: &Args, record: &ServiceRecord) -> Outcome<BackupRecord> {
    let Some(text) = args.get(1) else {
        return control.newest_backup(record).await;
    };
    let none = || {
        let (addon, name, text) = (&record.addon, &record.name, text.escape_debug());
        Failure::new(format!(
            "There is no backup {text}: see '{addon}:backup-list {name}'"
        ))
    };
    let id = text.parse().map_err(|_| none())?;
    let backup = control.store.service_backups().get(id).await;
    let backup = backup.ok().filter(|backup| backup.addon == record.addon);
    let backup = backup.ok_or_else(none)?;
    if backup.state != BackupState::Done {
        return Err(Failure::new(format!(
            "Backup {id} was not made: it {}",
            match backup.state {
                BackupState::Running => "is under way",
                BackupState::Done | BackupState::Failed => "failed",
            }
        )));
    }
    Ok(backup)
}

async fn change(
    control: &Control,
    addon: &Addon,
    record: &ServiceRecord,
    how: impl FnOnce(&mut BackupSettings),
) -> Outcome {
    let _busy = control.addons.take(&addon.name, &record.name)?;
    // As they are now: somebody may have been faster.
    let services = control.store.services();
    let mut settings = services.get(&addon.name, &record.name).await?.settings;
    how(&mut settings.backup);
    Ok(services.set_settings(record.id, &settings).await?)
}

/// A secret among the words, or the first line of standard input, where lists of processes do not show it.
async fn secret(call: &mut Call, place: usize, what: &str) -> Outcome<String> {
    let given = call
        .args
        .get(place)
        .filter(|word| !word.is_empty() && *word != "-");
    let secret = match given {
        Some(word) => word.to_owned(),
        None => {
            let mut line = String::new();
            let input = BufReader::new(call.take_stdin().take(SECRET_MAX));
            let mut input = input;
            input.read_line(&mut line).await?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    if secret.is_empty() {
        return Err(Failure::new(format!(
            "Give the {what}, or send it on standard input"
        )));
    }
    Ok(secret)
}
