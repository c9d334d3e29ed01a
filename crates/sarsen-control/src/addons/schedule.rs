//! Backups and verifications at their times, and what services take on disk. Level-triggered, as scheduled tasks are:
//! what is due follows from the store and the clock.

use std::time::Duration;

use sarsen_addons::Addon;
use sarsen_deploy::cron::{Schedule, Zone};
use sarsen_store::{BackupRecord, BackupState, BackupTask, ServiceRecord, ServiceState};
use tokio_util::sync::CancellationToken;

use super::BackupWish;
use crate::control::Control;
use crate::cron::Clock;
use crate::failure::{Failure, Outcome};
use crate::verbs::cron::CONCERN;

const LOOK: Duration = Duration::from_secs(20);
/// How often a service's data is measured.
const MEASURE: i64 = 3600;
/// A cursor that is further ahead of the clock than this was set by a clock that was wrong.
const AHEAD_MAX: i64 = 24 * 3600;

impl Control {
    /// Backs services up at their times until the daemon ends.
    pub async fn keep_backups(self, clock: Clock, shutdown: CancellationToken) {
        if let Err(error) = self.store.service_backups().abandon().await {
            tracing::warn!(%error, "backups that were cut off look as if they were under way");
        }
        self.say_replaced_addons();
        loop {
            if let Err(failure) = Box::pin(self.backup_tick(clock())).await {
                tracing::warn!(error = %failure, "backups must wait");
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn say_replaced_addons(&self) {
        for addon in self.addons.catalog.iter() {
            let name = &addon.name;
            if self.plugins.is_enabled(name.as_str()) {
                tracing::warn!("the plugin {name} takes the place of the bundled addon {name}");
            }
        }
    }

    /// Begins what has come due up to `now`.
    pub(crate) async fn backup_tick(&self, now: i64) -> Outcome {
        let zone = CONCERN.global(self, "timezone").await?;
        let zone = match zone.as_str() {
            "" => Zone::system(),
            name => Zone::parse(name)?,
        };
        for record in self.store.services().all().await? {
            let addon = self.addons.catalog.get(record.addon.as_str());
            let Some(addon) = addon.filter(|_| record.state == ServiceState::Running) else {
                continue;
            };
            let backup = &record.settings.backup;
            let schedule = backup.schedule.as_ref().map(|schedule| &schedule.cron);
            if self
                .comes_due(&record, (BackupTask::Backup, schedule), (now, &zone))
                .await?
            {
                self.begin_backup(addon, &record);
            }
            let schedule = backup.verify_schedule.as_ref();
            if self
                .comes_due(&record, (BackupTask::Verify, schedule), (now, &zone))
                .await?
            {
                self.begin_verify(addon, &record);
            }
            let stale = record.size.is_none_or(|size| size.at < now - MEASURE);
            if stale && let Err(failure) = self.measure_service(addon, &record).await {
                let (addon, name) = (&record.addon, &record.name);
                tracing::debug!(error = %failure, "{addon} service {name} cannot be measured");
            }
        }
        Ok(())
    }

    /// Whether its time has come; from here on it counts as looked after.
    async fn comes_due(
        &self,
        record: &ServiceRecord,
        (task, schedule): (BackupTask, Option<&String>),
        (now, zone): (i64, &Zone),
    ) -> Outcome<bool> {
        let services = self.store.services();
        let cursor = match task {
            BackupTask::Backup => record.backup_cursor,
            BackupTask::Verify => record.verify_cursor,
        };
        let Some(schedule) = schedule else {
            if cursor.is_some() {
                services.set_cursor(record.id, task, None).await?;
            }
            return Ok(false);
        };
        let Some(since) = cursor.filter(|since| *since <= now + AHEAD_MAX) else {
            // Nothing that was due before the schedule was there is missed.
            services.set_cursor(record.id, task, Some(now)).await?;
            return Ok(false);
        };
        let Some(due) = Schedule::parse(schedule)?.due(since, now, zone) else {
            return Ok(false);
        };
        // It stays due while somebody replaces the data, or the engine does not answer.
        if self.runtime.ping().await.is_err() {
            return Ok(false);
        }
        if self.addons.take_data(&record.addon, &record.name).is_err() {
            return Ok(false);
        }
        services.set_cursor(record.id, task, Some(due.at)).await?;
        Ok(true)
    }

    fn begin_backup(&self, addon: &Addon, record: &ServiceRecord) {
        let Some(schedule) = record.settings.backup.schedule.clone() else {
            return;
        };
        let wish = BackupWish {
            addon: addon.clone(),
            service: record.clone(),
            destination: schedule.destination,
        };
        let control = self.clone();
        self.tasks.spawn(async move {
            let (addon, name) = (wish.addon.name.clone(), wish.service.name.clone());
            match Box::pin(control.back_up(wish)).await {
                Ok(backup) => tracing::info!("backup {} of {addon} service {name} is made", backup.id),
                Err(failure) => {
                    tracing::error!(error = %failure, "{addon} service {name} could not be backed up");
                }
            }
        });
    }

    fn begin_verify(&self, addon: &Addon, record: &ServiceRecord) {
        let (control, addon, record) = (self.clone(), addon.clone(), record.clone());
        self.tasks.spawn(async move {
            let (noun, name) = (addon.name.clone(), record.name.clone());
            let verified = async {
                let backup = control.newest_backup(&record).await?;
                let outcome = control.verify_backup(&addon, &record, &backup).await?;
                match outcome.good {
                    true => Ok(()),
                    false => Err(Failure::new(outcome.message)),
                }
            };
            tokio::select! {
                done = Box::pin(verified) => match done {
                    Ok(()) => tracing::info!("the newest backup of {noun} service {name} can be restored"),
                    Err(failure) => {
                        tracing::error!(error = %failure, "the newest backup of {noun} service {name} could not be restored");
                    }
                },
                () = control.shutdown.cancelled() => {}
            }
        });
    }

    /// The newest backup of a service that is there.
    pub(crate) async fn newest_backup(&self, record: &ServiceRecord) -> Outcome<BackupRecord> {
        let backups = self.store.service_backups();
        let all = backups.of_service(&record.addon, &record.name).await?;
        let mut done = all.into_iter().filter(|one| one.state == BackupState::Done);
        done.next().ok_or_else(|| {
            let (addon, name) = (&record.addon, &record.name);
            Failure::new(format!(
                "There is no backup of {name}: '{addon}:backup {name}' makes one"
            ))
        })
    }
}
