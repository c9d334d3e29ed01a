//! Backups of services: which there are, where, and which could be restored.

use sarsen_domain::{AddonName, ImageRef, ServiceName};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::rows::{now, parsed, words};
use crate::{Store, StoreError};

/// The backups of a [`Store`].
pub struct ServiceBackups<'a>(pub(crate) &'a Store);

/// A backup to be.
#[derive(Debug, Clone)]
pub struct NewBackup {
    pub addon: AddonName,
    pub service: ServiceName,
    pub destination: String,
    pub file: String,
    pub image: ImageRef,
    pub encryption: BackupEncryption,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupRecord {
    pub id: i64,
    pub addon: AddonName,
    pub service: ServiceName,
    pub destination: String,
    pub file: String,
    pub image: ImageRef,
    pub encryption: BackupEncryption,
    pub state: BackupState,
    pub size_bytes: Option<i64>,
    /// What was counted in the service just before.
    pub counted: Option<i64>,
    pub created_at: i64,
    pub finished_at: Option<i64>,
    pub message: Option<String>,
    pub verified: Option<Verification>,
}

/// The last time that a backup was restored on trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    pub at: i64,
    pub good: bool,
    pub message: String,
}

/// How a backup is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupEncryption {
    None,
    /// The service's passphrase opens it.
    Passphrase,
    /// Somebody's private key opens it, which is not here.
    Recipient,
}

words!(BackupEncryption, "encryption of a backup":
    None = "none",
    Passphrase = "passphrase",
    Recipient = "recipient",
);

/// How far a backup has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupState {
    Running,
    Done,
    Failed,
}

words!(BackupState, "state of a backup":
    Running = "running",
    Done = "done",
    Failed = "failed",
);

impl ServiceBackups<'_> {
    /// Writes down that a backup begins; gives its number.
    pub async fn begin(&self, new: &NewBackup) -> Result<i64, StoreError> {
        let statement = sqlx::query(
            "INSERT INTO service_backups (addon, service, destination, file, image, encryption, state, created_at) \
             VALUES (?, ?, ?, ?, ?, ?, 'running', ?)",
        )
        .bind(new.addon.as_str())
        .bind(new.service.as_str())
        .bind(&new.destination)
        .bind(&new.file)
        .bind(new.image.as_str())
        .bind(new.encryption.as_str())
        .bind(now());
        let done = self.0.change(statement).await?;
        Ok(done.last_insert_rowid())
    }

    /// A backup is there: so large, of a service with so many things in it.
    pub async fn done(&self, id: i64, size: i64, counted: Option<i64>) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "UPDATE service_backups SET state = 'done', size_bytes = ?, counted = ?, finished_at = ? WHERE id = ?",
        )
        .bind(size)
        .bind(counted)
        .bind(now())
        .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// A backup came to nothing.
    pub async fn failed(&self, id: i64, message: &str) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "UPDATE service_backups SET state = 'failed', message = ?, finished_at = ? WHERE id = ?",
        )
        .bind(message)
        .bind(now())
        .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Those that were under way when the daemon ended came to nothing.
    pub async fn abandon(&self) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "UPDATE service_backups SET state = 'failed', message = 'The daemon ended meanwhile', finished_at = ? \
             WHERE state = 'running'",
        )
        .bind(now());
        self.0.change(statement).await?;
        Ok(())
    }

    /// A backup was restored on trial.
    pub async fn verified(&self, id: i64, outcome: &Verification) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "UPDATE service_backups SET verified_at = ?, verified_good = ?, verified_message = ? WHERE id = ?",
        )
        .bind(outcome.at)
        .bind(outcome.good)
        .bind(&outcome.message)
        .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Forgets a backup whose file is gone.
    pub async fn remove(&self, id: i64) -> Result<(), StoreError> {
        let statement = sqlx::query("DELETE FROM service_backups WHERE id = ?").bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// The backups of services of this name, newest first.
    pub async fn of_service(
        &self,
        addon: &AddonName,
        service: &ServiceName,
    ) -> Result<Vec<BackupRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM service_backups WHERE addon = ? AND service = ? ORDER BY id DESC",
        )
        .bind(addon.as_str())
        .bind(service.as_str())
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        rows.iter().map(record).collect()
    }

    /// One backup.
    pub async fn get(&self, id: i64) -> Result<BackupRecord, StoreError> {
        let row = sqlx::query("SELECT * FROM service_backups WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *self.0.read().await?)
            .await?
            .ok_or_else(|| StoreError::no_such(format!("Backup {id}")))?;
        record(&row)
    }

    /// Every backup, newest first.
    pub async fn all(&self) -> Result<Vec<BackupRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM service_backups ORDER BY id DESC")
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter().map(record).collect()
    }
}

fn record(row: &SqliteRow) -> Result<BackupRecord, StoreError> {
    let at: Option<i64> = row.try_get("verified_at")?;
    let verified = at.map(|at| {
        let message: Option<String> = row.try_get("verified_message")?;
        Ok::<_, sqlx::Error>(Verification {
            at,
            good: row.try_get("verified_good")?,
            message: message.unwrap_or_default(),
        })
    });
    Ok(BackupRecord {
        id: row.try_get("id")?,
        addon: parsed(row, "addon")?,
        service: parsed(row, "service")?,
        destination: row.try_get("destination")?,
        file: row.try_get("file")?,
        image: parsed(row, "image")?,
        encryption: parsed(row, "encryption")?,
        state: parsed(row, "state")?,
        size_bytes: row.try_get("size_bytes")?,
        counted: row.try_get("counted")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
        message: row.try_get("message")?,
        verified: verified.transpose()?,
    })
}
