//! Services of addons: what they are made of, what is wanted of them, and which apps are linked to them.

mod backups;
mod settings;

use std::collections::BTreeMap;

use sarsen_domain::{AddonName, AppName, EnvKey, ImageRef, Secret, ServiceName};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::config::put;
use crate::rows::{app_id, is_duplicate, now, parse, parsed, words};
use crate::seal::{Place, Sealer};
use crate::{Conflict, Store, StoreError};

pub use backups::{
    BackupEncryption, BackupRecord, BackupState, NewBackup, ServiceBackups, Verification,
};
pub use settings::{
    BackupSchedule, BackupSettings, ExposedPort, S3Login, SealedText, ServiceSettings,
};

/// The services of a [`Store`].
pub struct Services<'a>(pub(crate) &'a Store);

/// A service to be.
#[derive(Debug, Clone)]
pub struct NewService {
    pub addon: AddonName,
    pub name: ServiceName,
    pub image: ImageRef,
    /// Used for no service before.
    pub volume: String,
    /// Passwords, by the names that the addon gives them.
    pub secrets: BTreeMap<String, Secret<String>>,
    pub settings: ServiceSettings,
    /// What is wanted of it; one that is destroyed from the beginning is on trial only.
    pub state: ServiceState,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRecord {
    pub id: i64,
    pub addon: AddonName,
    pub name: ServiceName,
    pub image: ImageRef,
    pub volume: String,
    pub secrets: BTreeMap<String, Secret<String>>,
    pub settings: ServiceSettings,
    pub state: ServiceState,
    pub created_at: i64,
    pub size: Option<DataSize>,
    /// Due times of backups up to here have been looked after.
    pub backup_cursor: Option<i64>,
    /// The same for verifications.
    pub verify_cursor: Option<i64>,
}

/// How much a service's data took on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataSize {
    pub bytes: i64,
    /// When that was.
    pub at: i64,
}

/// What a schedule of a service is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupTask {
    Backup,
    Verify,
}

/// What is wanted of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    Running,
    /// A person stopped it.
    Stopped,
    /// It is to be gone, data and all.
    Destroying,
}

words!(ServiceState, "state of a service":
    Running = "running",
    Stopped = "stopped",
    Destroying = "destroying",
);

impl Services<'_> {
    /// Writes a service down.
    pub async fn create(&self, new: &NewService) -> Result<ServiceRecord, StoreError> {
        let mut tx = self.0.write().await?;
        let created_at = now();
        let id = sqlx::query(
            "INSERT INTO services (addon, name, image, volume, secrets, state, created_at) \
             VALUES (?, ?, ?, ?, x'', ?, ?)",
        )
        .bind(new.addon.as_str())
        .bind(new.name.as_str())
        .bind(new.image.as_str())
        .bind(&new.volume)
        .bind(new.state.as_str())
        .bind(created_at)
        .execute(&mut *tx)
        .await
        .map_err(|error| taken(error, &new.name))?
        .last_insert_rowid();
        sqlx::query("UPDATE services SET secrets = ?, settings = ? WHERE id = ?")
            .bind(sealed(&self.0.sealer, id, &new.secrets)?)
            .bind(sealed_settings(&self.0.sealer, id, &new.settings)?)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(ServiceRecord {
            id,
            addon: new.addon.clone(),
            name: new.name.clone(),
            image: new.image.clone(),
            volume: new.volume.clone(),
            secrets: new.secrets.clone(),
            settings: new.settings.clone(),
            state: new.state,
            created_at,
            size: None,
            backup_cursor: None,
            verify_cursor: None,
        })
    }

    /// One service.
    pub async fn get(
        &self,
        addon: &AddonName,
        name: &ServiceName,
    ) -> Result<ServiceRecord, StoreError> {
        let row = sqlx::query("SELECT * FROM services WHERE addon = ? AND name = ?")
            .bind(addon.as_str())
            .bind(name.as_str())
            .fetch_optional(&mut *self.0.read().await?)
            .await?
            .ok_or_else(|| StoreError::no_such(format!("{addon} service {name}")))?;
        self.record(&row)
    }

    /// Every service, by addon and name.
    pub async fn all(&self) -> Result<Vec<ServiceRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM services ORDER BY addon, name")
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter().map(|row| self.record(row)).collect()
    }

    /// The services that an app is linked to, by addon and name.
    pub async fn of_app(&self, app: &AppName) -> Result<Vec<ServiceRecord>, StoreError> {
        let mut connection = self.0.read().await?;
        let app = app_id(&mut connection, app).await?;
        let rows = sqlx::query(
            "SELECT s.* FROM services s JOIN service_links l ON l.service_id = s.id \
             WHERE l.app_id = ? ORDER BY s.addon, s.name",
        )
        .bind(app)
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(|row| self.record(row)).collect()
    }

    /// The apps that are linked to a service, sorted.
    pub async fn links(&self, id: i64) -> Result<Vec<AppName>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT a.name FROM apps a JOIN service_links l ON l.app_id = a.id \
             WHERE l.service_id = ? ORDER BY a.name",
        )
        .bind(id)
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        names.iter().map(|name| parse("name", name)).collect()
    }

    /// Says that it is to run, or to stand still.
    pub async fn set_state(&self, id: i64, state: ServiceState) -> Result<(), StoreError> {
        let statement =
            sqlx::query("UPDATE services SET state = ? WHERE id = ? AND state <> 'destroying'")
                .bind(state.as_str())
                .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Replaces what people chose for it.
    pub async fn set_settings(
        &self,
        id: i64,
        settings: &ServiceSettings,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query("UPDATE services SET settings = ? WHERE id = ?")
            .bind(sealed_settings(&self.0.sealer, id, settings)?)
            .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Gives it another image and volume, and what people chose with them.
    pub async fn replace(
        &self,
        id: i64,
        (image, volume): (&ImageRef, &str),
        settings: &ServiceSettings,
    ) -> Result<(), StoreError> {
        let statement =
            sqlx::query("UPDATE services SET image = ?, volume = ?, settings = ? WHERE id = ?")
                .bind(image.as_str())
                .bind(volume)
                .bind(sealed_settings(&self.0.sealer, id, settings)?)
                .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Notes how much its data takes on disk.
    pub async fn set_size(&self, id: i64, bytes: i64) -> Result<(), StoreError> {
        let statement =
            sqlx::query("UPDATE services SET data_bytes = ?, measured_at = ? WHERE id = ?")
                .bind(bytes)
                .bind(now())
                .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Says that no due time up to this one is to be looked after.
    pub async fn set_cursor(
        &self,
        id: i64,
        task: BackupTask,
        until: Option<i64>,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let statement = match task {
            BackupTask::Backup => "UPDATE services SET backup_cursor = ? WHERE id = ?",
            BackupTask::Verify => "UPDATE services SET verify_cursor = ? WHERE id = ?",
        };
        sqlx::query(statement)
            .bind(until)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Says that it is to be gone, unless apps are linked to it. From here on nobody can link it.
    pub async fn begin_destroy(&self, service: &ServiceRecord) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let done = sqlx::query(
            "UPDATE services SET state = 'destroying' WHERE id = ? \
             AND NOT EXISTS (SELECT 1 FROM service_links WHERE service_id = services.id)",
        )
        .bind(service.id)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(Conflict::ServiceLinked(service.name.clone()).into());
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets a service whose container and data are gone.
    pub async fn remove(&self, id: i64) -> Result<(), StoreError> {
        let statement = sqlx::query("DELETE FROM services WHERE id = ?").bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Links a service to an app and gives the app this config var.
    pub async fn link(
        &self,
        service: &ServiceRecord,
        app: &AppName,
        (key, url): (&EnvKey, &str),
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        let done = sqlx::query(
            "INSERT INTO service_links (service_id, app_id) \
             SELECT id, ? FROM services WHERE id = ? AND state <> 'destroying'",
        )
        .bind(app_id)
        .bind(service.id)
        .execute(&mut *tx)
        .await
        .map_err(|error| linked(error, service, app))?;
        if done.rows_affected() == 0 {
            let (addon, name) = (&service.addon, &service.name);
            return Err(StoreError::no_such(format!("{addon} service {name}")));
        }
        put(&mut tx, &self.0.sealer, Some(app_id), (key, url)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives an app these config vars, all or none.
    pub async fn set_vars(
        &self,
        app: &AppName,
        vars: &[(EnvKey, String)],
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        for (key, value) in vars {
            put(&mut tx, &self.0.sealer, Some(app_id), (key, value)).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes a link away, and these config vars of the app; false when there was no link.
    pub async fn unlink(
        &self,
        service: &ServiceRecord,
        app: &AppName,
        keys: &[EnvKey],
    ) -> Result<bool, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        let done = sqlx::query("DELETE FROM service_links WHERE service_id = ? AND app_id = ?")
            .bind(service.id)
            .bind(app_id)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        for key in keys {
            remove_var(&mut tx, app_id, key).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    fn record(&self, row: &SqliteRow) -> Result<ServiceRecord, StoreError> {
        let id = row.try_get("id")?;
        let place = Place::Service { id };
        let secrets = self.0.sealer.open(&place, row.try_get("secrets")?)?;
        let secrets: BTreeMap<String, String> = serde_json::from_str(&secrets)
            .map_err(|error| StoreError::corrupt("secrets", error))?;
        let secrets = secrets.into_iter();
        let size: Option<i64> = row.try_get("data_bytes")?;
        let measured_at: Option<i64> = row.try_get("measured_at")?;
        Ok(ServiceRecord {
            id,
            addon: parsed(row, "addon")?,
            name: parsed(row, "name")?,
            image: parsed(row, "image")?,
            volume: row.try_get("volume")?,
            secrets: secrets.map(|(name, value)| (name, value.into())).collect(),
            settings: self.settings(id, row.try_get("settings")?)?,
            state: parsed(row, "state")?,
            created_at: row.try_get("created_at")?,
            size: size
                .zip(measured_at)
                .map(|(bytes, at)| DataSize { bytes, at }),
            backup_cursor: row.try_get("backup_cursor")?,
            verify_cursor: row.try_get("verify_cursor")?,
        })
    }

    fn settings(&self, id: i64, stored: &[u8]) -> Result<ServiceSettings, StoreError> {
        if stored.is_empty() {
            return Ok(ServiceSettings::default());
        }
        let text = self.0.sealer.open(&Place::ServiceSettings { id }, stored)?;
        serde_json::from_str(&text).map_err(|error| StoreError::corrupt("settings", error))
    }
}

fn sealed(
    sealer: &Sealer,
    id: i64,
    secrets: &BTreeMap<String, Secret<String>>,
) -> Result<Vec<u8>, StoreError> {
    let object: serde_json::Map<_, _> = secrets
        .iter()
        .map(|(name, value)| (name.clone(), value.expose().as_str().into()))
        .collect();
    let text = serde_json::Value::Object(object).to_string();
    sealer.seal(&Place::Service { id }, &text)
}

fn sealed_settings(
    sealer: &Sealer,
    id: i64,
    settings: &ServiceSettings,
) -> Result<Vec<u8>, StoreError> {
    let text =
        serde_json::to_string(settings).map_err(|error| StoreError::corrupt("settings", error))?;
    sealer.seal(&Place::ServiceSettings { id }, &text)
}

async fn remove_var(
    connection: &mut SqliteConnection,
    app_id: i64,
    key: &EnvKey,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM config WHERE app_id = ? AND key = ?")
        .bind(app_id)
        .bind(key.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

fn taken(error: sqlx::Error, name: &ServiceName) -> StoreError {
    if is_duplicate(&error) {
        return Conflict::ServiceExists(name.clone()).into();
    }
    error.into()
}

fn linked(error: sqlx::Error, service: &ServiceRecord, app: &AppName) -> StoreError {
    if is_duplicate(&error) {
        return Conflict::LinkExists(service.name.clone(), app.clone()).into();
    }
    error.into()
}

#[cfg(test)]
mod tests;
