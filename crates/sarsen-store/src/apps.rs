//! Apps: that they exist, and the few facts that belong to the app itself.

mod clone;

use sarsen_domain::{AppName, BuildStatus, CommitId, Formation, ReleaseNumber};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::rows::{
    app_id, is_duplicate, must_touch, narrowed, narrowed_option, now, parse, parsed, parsed_option,
};
use crate::{Store, StoreError, formation};

/// The apps of a [`Store`].
pub struct Apps<'a>(pub(crate) &'a Store);

/// One app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRecord {
    pub name: AppName,
    pub created_at: i64,
    /// `apps:lock`: no deploys.
    pub locked: bool,
    /// `ps:stop`: not to be started again by itself.
    pub stopped: bool,
    /// A release has been live.
    pub deployed: bool,
    pub live_release: Option<ReleaseNumber>,
}

/// One app's line in an overview.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSummary {
    pub app: AppRecord,
    /// When the live release was made.
    pub released_at: Option<i64>,
    /// What the live release was built from.
    pub commit: Option<CommitId>,
    /// Live containers.
    pub live_instances: u32,
    /// Containers that the formation asks for.
    pub wanted_instances: u32,
    /// How the latest build ended, or that it runs.
    pub last_build: Option<BuildStatus>,
}

/// Whether an app refuses deploys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locked {
    Yes,
    No,
}

/// Whether a person stopped an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    Yes,
    No,
}

impl Apps<'_> {
    /// Makes an app with the formation `web=1`.
    pub async fn create(&self, app: &AppName) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = sqlx::query("INSERT INTO apps (name, created_at) VALUES (?, ?)")
            .bind(app.as_str())
            .bind(now())
            .execute(&mut *tx)
            .await
            .map_err(taken)?
            .last_insert_rowid();
        formation::merge(&mut tx, id, &Formation::initial()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether there is such an app.
    pub async fn exists(&self, app: &AppName) -> Result<bool, StoreError> {
        match app_id(&mut *self.0.read().await?, app).await {
            Ok(_) => Ok(true),
            Err(StoreError::NoSuchApp(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// All names, sorted.
    pub async fn list(&self) -> Result<Vec<AppName>, StoreError> {
        // One row with a line per name costs a fraction of a row per name, and every command line completion asks.
        let names: Option<String> =
            sqlx::query_scalar("SELECT group_concat(name, char(10) ORDER BY name) FROM apps")
                .fetch_one(&mut *self.0.read().await?)
                .await?;
        let names = names.unwrap_or_default();
        names.lines().map(|name| parse("name", name)).collect()
    }

    /// One app.
    pub async fn get(&self, app: &AppName) -> Result<AppRecord, StoreError> {
        let row = sqlx::query(
            "SELECT a.*, r.number AS live_release FROM apps a \
             LEFT JOIN releases r ON r.app_id = a.id AND r.state = 'live' WHERE a.name = ?",
        )
        .bind(app.as_str())
        .fetch_optional(&mut *self.0.read().await?)
        .await?
        .ok_or_else(|| StoreError::NoSuchApp(app.clone()))?;
        record(&row)
    }

    /// Everything an overview shows of every app, sorted by name, in one query.
    pub async fn summaries(&self) -> Result<Vec<AppSummary>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.*, r.number AS live_release, r.created_at AS released_at, r.commit_id, \
               (SELECT count(*) FROM instances i WHERE i.app_id = a.id AND i.state = 'live') AS live_instances, \
               (SELECT ifnull(sum(quantity), 0) FROM formation f WHERE f.app_id = a.id) AS wanted_instances, \
               (SELECT status FROM builds b WHERE b.app_id = a.id ORDER BY seq DESC LIMIT 1) AS last_build \
             FROM apps a LEFT JOIN releases r ON r.app_id = a.id AND r.state = 'live' ORDER BY a.name",
        )
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        rows.iter().map(summary).collect()
    }

    /// Removes the app and all its rows. Containers, images and files are the caller's.
    pub async fn destroy(&self, app: &AppName) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let done = sqlx::query("DELETE FROM apps WHERE name = ?")
            .bind(app.as_str())
            .execute(&mut *tx)
            .await?;
        must_touch(done.rows_affected(), app)?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives the app another name; everything it has stays its own.
    pub async fn rename(&self, old: &AppName, new: &AppName) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let done = sqlx::query("UPDATE apps SET name = ? WHERE name = ?")
            .bind(new.as_str())
            .bind(old.as_str())
            .execute(&mut *tx)
            .await
            .map_err(taken)?;
        must_touch(done.rows_affected(), old)?;
        tx.commit().await?;
        Ok(())
    }

    /// `apps:lock`, `apps:unlock`
    pub async fn set_locked(&self, app: &AppName, locked: Locked) -> Result<(), StoreError> {
        let sql = match locked {
            Locked::Yes => "UPDATE apps SET locked = 1 WHERE name = ?",
            Locked::No => "UPDATE apps SET locked = 0 WHERE name = ?",
        };
        self.update(sql, app).await
    }

    /// `ps:stop`, `ps:start`
    pub async fn set_stopped(&self, app: &AppName, stopped: Stopped) -> Result<(), StoreError> {
        let sql = match stopped {
            Stopped::Yes => "UPDATE apps SET stopped = 1 WHERE name = ?",
            Stopped::No => "UPDATE apps SET stopped = 0 WHERE name = ?",
        };
        self.update(sql, app).await
    }

    pub(crate) async fn update(&self, sql: &'static str, app: &AppName) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let done = sqlx::query(sql)
            .bind(app.as_str())
            .execute(&mut *tx)
            .await?;
        must_touch(done.rows_affected(), app)?;
        tx.commit().await?;
        Ok(())
    }
}

fn taken(error: sqlx::Error) -> StoreError {
    if is_duplicate(&error) {
        return StoreError::AppExists;
    }
    error.into()
}

fn record(row: &SqliteRow) -> Result<AppRecord, StoreError> {
    Ok(AppRecord {
        name: parsed(row, "name")?,
        created_at: row.try_get("created_at")?,
        locked: row.try_get("locked")?,
        stopped: row.try_get("stopped")?,
        deployed: row.try_get("deployed")?,
        live_release: narrowed_option(row, "live_release")?.map(ReleaseNumber),
    })
}

fn summary(row: &SqliteRow) -> Result<AppSummary, StoreError> {
    Ok(AppSummary {
        app: record(row)?,
        released_at: row.try_get("released_at")?,
        commit: parsed_option(row, "commit_id")?,
        live_instances: narrowed(row, "live_instances")?,
        wanted_instances: narrowed(row, "wanted_instances")?,
        last_build: parsed_option(row, "last_build")?,
    })
}

#[cfg(test)]
mod tests;
