//! Backups of services: made, kept, restored, and restored on trial.
//!
//! An export is first written to a file of this host, whole; only then it goes where it is kept. So what stands there is
//! never half a backup.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sarsen_addons::backup::{
    Destination, Key, Packing, Place, S3Access, S3Storage, pack, test, unpack,
};
use sarsen_addons::{Addon, Engine};
use sarsen_store::{
    BackupEncryption, BackupRecord, BackupSettings, BackupState, NewBackup, ServiceRecord,
    Verification,
};

use super::{READY, service};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::time::rfc3339;

const PIPE: usize = 256 * 1024;
/// Backups that came to nothing are remembered, so many of a service.
const FAILURES_KEPT: usize = 10;

/// A backup that is wanted.
#[derive(Debug, Clone)]
pub(crate) struct BackupWish {
    pub addon: Addon,
    pub service: ServiceRecord,
    pub destination: String,
}

/// A file under way, which goes when this is dropped.
pub(super) struct Spool(PathBuf);

impl Spool {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "{} stays", self.0.display());
            }
            _ => {}
        }
    }
}

impl Control {
    /// The folder of backups that nobody sends elsewhere.
    pub(crate) fn backup_folder(&self) -> PathBuf {
        self.settings.data_dir.join("backups")
    }

    /// Backs a service up. It goes on when the caller is gone, and is given up when the daemon ends.
    pub(crate) async fn back_up(&self, wish: BackupWish) -> Outcome<BackupRecord> {
        let control = self.clone();
        let work = self.tasks.spawn(async move {
            tokio::select! {
                done = Box::pin(control.back_up_now(&wish)) => done,
                () = control.shutdown.cancelled() => Err(Failure::new(crate::failure::STOPPING)),
            }
        });
        work.await
            .map_err(|error| Failure::new(error.to_string()))?
    }

    async fn back_up_now(&self, wish: &BackupWish) -> Outcome<BackupRecord> {
        let (addon, record) = (&wish.addon, &wish.service);
        let _busy = self.addons.take_data(&addon.name, &record.name)?;
        let settings = &record.settings.backup;
        let place = self.place(&wish.destination, settings).await?;
        let new = NewBackup {
            addon: addon.name.clone(),
            service: record.name.clone(),
            destination: wish.destination.clone(),
            file: file_name(addon, record),
            image: record.image.clone(),
            encryption: encryption(settings),
        };
        let backups = self.store.service_backups();
        let id = backups.begin(&new).await?;
        match self.make_backup(wish, (id, &place), &new.file).await {
            Ok((size, counted)) => {
                let size = i64::try_from(size).unwrap_or(i64::MAX);
                backups.done(id, size, counted).await?;
            }
            Err(failure) => {
                backups.failed(id, &failure.message).await?;
                return Err(failure);
            }
        }
        self.thin_out(wish, &place).await;
        Ok(backups.get(id).await?)
    }

    async fn make_backup(
        &self,
        wish: &BackupWish,
        (id, place): (i64, &Place),
        file: &str,
    ) -> Outcome<(u64, Option<i64>)> {
        let (addon, record) = (&wish.addon, &wish.service);
        let counted = self.addons.engine.count(addon, &service(record)).await;
        let counted = counted.unwrap_or_else(|error| {
            tracing::warn!(%error, "what {} service {} holds cannot be counted", addon.name, record.name);
            None
        });
        let spool = self.spool(&format!("backup-{id}")).await?;
        let key = key(&record.settings.backup);
        let size = self.write_export(addon, record, spool.path(), key).await?;
        place.put(spool.path(), file).await?;
        Ok((size, counted))
    }

    /// Removes backups of the service from a place that has more of them than are to be kept.
    async fn thin_out(&self, wish: &BackupWish, place: &Place) {
        let record = &wish.service;
        let backups = self.store.service_backups();
        let thinned = async {
            let all = backups.of_service(&record.addon, &record.name).await?;
            let failed = all.iter().filter(|one| one.state == BackupState::Failed);
            for backup in failed.skip(FAILURES_KEPT) {
                backups.remove(backup.id).await?;
            }
            let Some(keep) = record.settings.backup.keep else {
                return Ok(());
            };
            let here = all.iter().filter(|one| {
                one.state == BackupState::Done && one.destination == wish.destination
            });
            for backup in here.skip(usize::try_from(keep).unwrap_or(usize::MAX)) {
                place.delete(&backup.file).await?;
                backups.remove(backup.id).await?;
            }
            Ok::<_, Failure>(())
        };
        if let Err(failure) = thinned.await {
            let (addon, name) = (&record.addon, &record.name);
            tracing::warn!(error = %failure, "old backups of {addon} service {name} stay");
        }
    }

    /// Restores a backup on trial: into a service that is made for it and removed again.
    pub(crate) async fn verify_backup(
        &self,
        addon: &Addon,
        record: &ServiceRecord,
        backup: &BackupRecord,
    ) -> Outcome<Verification> {
        let tried = Box::pin(self.try_backup(addon, record, backup)).await;
        let outcome = Verification {
            at: crate::time::now(),
            good: tried.is_ok(),
            message: match tried {
                Ok(message) => message,
                Err(failure) => failure.message,
            },
        };
        let backups = self.store.service_backups();
        backups.verified(backup.id, &outcome).await?;
        Ok(outcome)
    }

    async fn try_backup(
        &self,
        addon: &Addon,
        record: &ServiceRecord,
        backup: &BackupRecord,
    ) -> Outcome<String> {
        let (spool, key) = self.fetch_backup(addon, record, backup).await?;
        let counted = self.try_import(addon, record, (spool.path(), key)).await?;
        let (Some(unit), Some(found)) = (addon.counts(), counted) else {
            return Ok("restored".to_owned());
        };
        match backup.counted {
            Some(before) if before > 0 && found == 0 => Err(Failure::new(format!(
                "It holds no {unit}, although there were {before} when it was made"
            ))),
            Some(before) => Ok(format!(
                "restored: {found} {unit}, and {before} when it was made"
            )),
            None => Ok(format!("restored: {found} {unit}")),
        }
    }

    /// Replaces the data of a service, which runs, by a backup's.
    pub(crate) async fn restore_backup(
        &self,
        addon: &Addon,
        record: &ServiceRecord,
        backup: &BackupRecord,
    ) -> Outcome {
        let (spool, key) = self.fetch_backup(addon, record, backup).await?;
        let restored = self.read_import(addon, record, spool.path(), key).await;
        if restored.is_err() && addon.imports_while_stopped() {
            // Whatever came of it, the service goes on.
            self.start_service(addon, record).await?;
        }
        restored
    }

    /// A backup's file, found to be whole, and what opens it.
    async fn fetch_backup(
        &self,
        addon: &Addon,
        record: &ServiceRecord,
        backup: &BackupRecord,
    ) -> Outcome<(Spool, Option<Key>)> {
        let settings = &record.settings.backup;
        let key = match backup.encryption {
            BackupEncryption::None => None,
            BackupEncryption::Passphrase => {
                let passphrase = settings.passphrase.as_ref().ok_or_else(|| {
                    Failure::new(format!(
                        "Backup {} is encrypted with a passphrase: set it with '{}:backup-set-encryption {}'",
                        backup.id, addon.name, record.name
                    ))
                })?;
                Some(Key::Passphrase(passphrase.into()))
            }
            BackupEncryption::Recipient => {
                return Err(Failure::new(format!(
                    "Backup {} is encrypted for a private key that is not here: decrypt {} with 'age --decrypt' where the key is, and import it",
                    backup.id, backup.file
                )));
            }
        };
        let place = self.place(&backup.destination, settings).await?;
        let spool = self.spool(&format!("restore-{}", backup.id)).await?;
        place.get(&backup.file, spool.path()).await?;
        let packing = packing(addon, key.clone());
        let whole = test(spool.path(), packing).await;
        whole.map_err(|error| {
            Failure::new(format!("Backup {} cannot be read: {error}", backup.id))
        })?;
        Ok((spool, key))
    }

    /// Writes an export to a new file; gives its size.
    pub(super) async fn write_export(
        &self,
        addon: &Addon,
        record: &ServiceRecord,
        file: &Path,
        key: Option<Key>,
    ) -> Outcome<u64> {
        let (reader, writer) = tokio::io::duplex(PIPE);
        let service = service(record);
        let export = self.addons.engine.export_into(addon, &service, writer);
        let (exported, packed) = tokio::join!(export, pack(reader, file, packing(addon, key)));
        // Of two complaints the file's comes first: it is why the export could not go on.
        let size =
            packed.map_err(|error| Failure::new(format!("Cannot write the file: {error}")))?;
        exported?;
        Ok(size)
    }

    /// Reads a file of an export into a service, which then answers.
    pub(super) async fn read_import(
        &self,
        addon: &Addon,
        record: &ServiceRecord,
        file: &Path,
        key: Option<Key>,
    ) -> Outcome {
        let engine = &self.addons.engine;
        let (reader, reading) = unpack(file, packing(addon, key));
        let service = service(record);
        engine.import_from(addon, &service, reader).await?;
        // One that has no need of all of it ends early.
        match reading.await.map_err(std::io::Error::other)? {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
                return Err(error.into());
            }
            _ => {}
        }
        Ok(engine.ready(addon, &service, READY).await?)
    }

    /// Copies what one service holds into another one of the same addon.
    pub(crate) async fn copy_data(
        &self,
        addon: &Addon,
        from: &ServiceRecord,
        to: &ServiceRecord,
    ) -> Outcome {
        let spool = self.spool(&format!("clone-{}", to.id)).await?;
        self.write_export(addon, from, spool.path(), None).await?;
        self.read_import(addon, to, spool.path(), None).await
    }

    /// A file that is not there yet, in a folder that only we can read.
    pub(super) async fn spool(&self, name: &str) -> Outcome<Spool> {
        let folder = self.settings.data_dir.join("spool");
        make_private(&folder)?;
        let spool = Spool(folder.join(name));
        // Of a daemon that was killed.
        match tokio::fs::remove_file(spool.path()).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(spool),
        }
    }

    async fn place(&self, destination: &str, settings: &BackupSettings) -> Outcome<Place> {
        match Destination::parse(destination).map_err(Failure::new)? {
            Destination::Folder(folder) => {
                if folder == self.backup_folder() {
                    make_private(&folder)?;
                }
                let there = tokio::fs::metadata(&folder).await;
                if !there.is_ok_and(|there| there.is_dir()) {
                    let folder = folder.display();
                    return Err(Failure::new(format!(
                        "There is no folder {folder}: make it first"
                    )));
                }
                Ok(Place::Folder(folder))
            }
            Destination::Bucket { name, prefix } => {
                let login = settings.s3.as_ref().ok_or_else(|| {
                    Failure::new(format!(
                        "Nobody has said who we are to the bucket {name}: see 'backup-auth'"
                    ))
                })?;
                let access = S3Access {
                    key_id: login.key_id.clone(),
                    secret: (&login.secret).into(),
                    region: login.region.clone(),
                    endpoint: login.endpoint.clone(),
                };
                let storage = S3Storage::new(&access, &name)?;
                Ok(Place::Bucket {
                    storage: Box::new(storage),
                    prefix,
                })
            }
        }
    }

    /// Measures what a service holds, and remembers it.
    pub(super) async fn measure_service(&self, addon: &Addon, record: &ServiceRecord) -> Outcome {
        let engine: &Engine = &self.addons.engine;
        if let Some(bytes) = engine.measure(addon, &service(record)).await? {
            self.store.services().set_size(record.id, bytes).await?;
        }
        Ok(())
    }
}

fn make_private(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

fn encryption(settings: &BackupSettings) -> BackupEncryption {
    match key(settings) {
        None => BackupEncryption::None,
        Some(Key::Passphrase(_)) => BackupEncryption::Passphrase,
        Some(Key::Recipient(_)) => BackupEncryption::Recipient,
    }
}

/// A public key counts for more than a passphrase, as with Dokku.
fn key(settings: &BackupSettings) -> Option<Key> {
    if let Some(recipient) = &settings.recipient {
        return Some(Key::Recipient(recipient.clone()));
    }
    let passphrase = settings.passphrase.as_ref()?;
    Some(Key::Passphrase(passphrase.into()))
}

fn packing(addon: &Addon, key: Option<Key>) -> Packing {
    let compress = addon.export_form().is_some_and(|(_, compress)| compress);
    Packing { compress, key }
}

/// `postgres-shop-20261122T141200Z-1f2e3d4c.dump.age`
fn file_name(addon: &Addon, record: &ServiceRecord) -> String {
    let time = rfc3339(crate::time::now()).replace(['-', ':'], "");
    let (form, compress) = addon.export_form().unwrap_or(("data", false));
    let gzip = if compress { ".gz" } else { "" };
    let age = match encryption(&record.settings.backup) {
        BackupEncryption::None => "",
        BackupEncryption::Passphrase | BackupEncryption::Recipient => ".age",
    };
    // Two in one second are two files.
    let tail: u32 = rand::random();
    let (addon, name) = (&addon.name, &record.name);
    format!("{addon}-{name}-{time}-{tail:08x}.{form}{gzip}{age}")
}
