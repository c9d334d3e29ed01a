//! Scheduled tasks: up to when their due times were looked after, and their runs.

use std::collections::BTreeMap;

use sarsen_domain::{AppName, CronId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::rows::{app_id, limit, narrowed, now, parsed, words};
use crate::{Store, StoreError};

/// Selects runs with the names of their apps.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT r.*, a.name AS app FROM cron_runs r JOIN apps a ON a.id = r.app_id ",
            $rest
        )
    };
}

/// The scheduled tasks of a [`Store`].
pub struct Cron<'a>(pub(crate) &'a Store);

/// A run to be.
#[derive(Debug, Clone)]
pub struct NewCronRun {
    pub app: AppName,
    pub task: CronId,
    pub command: String,
    /// When it was due; `None` when a person asked for it.
    pub due_at: Option<i64>,
    /// Due times before that one that nobody was there for.
    pub missed: u32,
    /// Seconds that it may take.
    pub ttl: u64,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronRun {
    pub id: i64,
    pub app: AppName,
    pub task: CronId,
    pub command: String,
    pub due_at: Option<i64>,
    pub missed: u32,
    pub ttl: u64,
    pub state: CronRunState,
    pub created_at: i64,
    pub finished_at: Option<i64>,
    pub exit_code: Option<i64>,
    /// The container's name.
    pub container: Option<String>,
    /// What there is to say of its end.
    pub message: Option<String>,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CronRunState {
    /// Written down; its container may not be there yet.
    Starting,
    Running,
    Succeeded,
    Failed,
    /// The one before it had not ended, and they may not meet.
    Skipped,
    /// It had to make room for the next one.
    Replaced,
}

words!(CronRunState, "state of a run":
    Starting = "starting",
    Running = "running",
    Succeeded = "succeeded",
    Failed = "failed",
    Skipped = "skipped",
    Replaced = "replaced",
);

impl CronRunState {
    /// Whether its end is still to come.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Handled {
    pub state: CronRunState,
    pub exit_code: Option<i64>,
    pub message: Option<String>,
}

impl Cron<'_> {
    /// Up to when the due times of each task were looked after.
    pub async fn cursors(&self) -> Result<BTreeMap<(AppName, CronId), i64>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.name, c.task, c.handled_until FROM cron_cursors c \
             JOIN apps a ON a.id = c.app_id",
        )
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        let entry = |row: &SqliteRow| {
            let key = (parsed(row, "name")?, parsed(row, "task")?);
            Ok((key, row.try_get("handled_until")?))
        };
        rows.iter().map(entry).collect()
    }

    /// Says that no due time of a task up to this one is to be looked after.
    pub async fn set_cursor(
        &self,
        app: &AppName,
        task: &CronId,
        until: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        put_cursor(&mut tx, id, task, until).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets a task that its app has no longer.
    pub async fn forget(&self, app: &AppName, task: &CronId) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        sqlx::query("DELETE FROM cron_cursors WHERE app_id = ? AND task = ?")
            .bind(id)
            .bind(task.as_str())
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Writes a run down before its container is made. One that was due counts as looked after from the same moment.
    pub async fn begin(&self, new: &NewCronRun) -> Result<i64, StoreError> {
        let mut tx = self.0.write().await?;
        let app = app_id(&mut tx, &new.app).await?;
        let id = sqlx::query(
            "INSERT INTO cron_runs (app_id, task, command, due_at, missed, ttl, state, created_at) \
             VALUES (?, ?, ?, ?, ?, ?, 'starting', ?)",
        )
        .bind(app)
        .bind(new.task.as_str())
        .bind(&new.command)
        .bind(new.due_at)
        .bind(i64::from(new.missed))
        .bind(i64::try_from(new.ttl).unwrap_or(i64::MAX))
        .bind(now())
        .execute(&mut *tx)
        .await?
        .last_insert_rowid();
        if let Some(due) = new.due_at {
            put_cursor(&mut tx, app, &new.task, due).await?;
        }
        tx.commit().await?;
        Ok(id)
    }

    /// Says that a run's container is there.
    pub async fn set_running(&self, id: i64, container: &str) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "UPDATE cron_runs SET state = 'running', container = ? \
             WHERE id = ? AND state IN ('starting', 'running')",
        )
        .bind(container)
        .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Records how a run ended. The first verdict stands.
    pub async fn finish(&self, id: i64, end: &Handled) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "UPDATE cron_runs SET state = ?, exit_code = ?, message = ?, finished_at = ? \
             WHERE id = ? AND state IN ('starting', 'running')",
        )
        .bind(end.state.as_str())
        .bind(end.exit_code)
        .bind(end.message.as_deref())
        .bind(now())
        .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Runs whose end is still to come, oldest first.
    pub async fn open_runs(&self) -> Result<Vec<CronRun>, StoreError> {
        let rows = sqlx::query(select!(
            "WHERE r.state IN ('starting', 'running') ORDER BY r.id"
        ))
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        rows.iter().map(from_row).collect()
    }

    /// The last run of each task of an app that was not left out.
    pub async fn last_runs(&self, app: &AppName) -> Result<BTreeMap<CronId, CronRun>, StoreError> {
        let mut connection = self.0.read().await?;
        let app = app_id(&mut connection, app).await?;
        let rows = sqlx::query(select!(
            "WHERE r.id IN (SELECT max(id) FROM cron_runs \
               WHERE app_id = ? AND state <> 'skipped' GROUP BY task)"
        ))
        .bind(app)
        .fetch_all(&mut *connection)
        .await?;
        let runs = rows.iter().map(from_row);
        runs.map(|run| run.map(|run| (run.task.clone(), run)))
            .collect()
    }

    /// The newest runs of an app, or of one of its tasks, newest first.
    pub async fn runs(
        &self,
        app: &AppName,
        task: Option<&CronId>,
        count: usize,
    ) -> Result<Vec<CronRun>, StoreError> {
        let mut connection = self.0.read().await?;
        let app = app_id(&mut connection, app).await?;
        let rows = sqlx::query(select!(
            "WHERE r.app_id = ?1 AND (?2 IS NULL OR r.task = ?2) ORDER BY r.id DESC LIMIT ?3"
        ))
        .bind(app)
        .bind(task.map(CronId::as_str))
        .bind(limit(count))
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(from_row).collect()
    }

    /// One run, unless it is forgotten.
    pub async fn get(&self, id: i64) -> Result<Option<CronRun>, StoreError> {
        let row = sqlx::query(select!("WHERE r.id = ?"))
            .bind(id)
            .fetch_optional(&mut *self.0.read().await?)
            .await?;
        row.as_ref().map(from_row).transpose()
    }

    /// The run that a container of this name carried out.
    pub async fn by_container(&self, name: &str) -> Result<Option<CronRun>, StoreError> {
        let row = sqlx::query(select!("WHERE r.container = ? ORDER BY r.id DESC LIMIT 1"))
            .bind(name)
            .fetch_optional(&mut *self.0.read().await?)
            .await?;
        row.as_ref().map(from_row).transpose()
    }

    /// Forgets all but the newest `keep` runs of a task that have ended; the forgotten ones' output can go.
    pub async fn prune(
        &self,
        app: &AppName,
        task: &CronId,
        keep: usize,
    ) -> Result<Vec<i64>, StoreError> {
        let mut tx = self.0.write().await?;
        let app = app_id(&mut tx, app).await?;
        let gone = sqlx::query_scalar(
            "DELETE FROM cron_runs WHERE id IN (\
               SELECT id FROM cron_runs WHERE app_id = ? AND task = ? \
               AND state NOT IN ('starting', 'running') ORDER BY id DESC LIMIT -1 OFFSET ?) \
             RETURNING id",
        )
        .bind(app)
        .bind(task.as_str())
        .bind(limit(keep))
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(gone)
    }

    /// The ids of all runs.
    pub async fn ids(&self) -> Result<Vec<i64>, StoreError> {
        Ok(sqlx::query_scalar("SELECT id FROM cron_runs")
            .fetch_all(&mut *self.0.read().await?)
            .await?)
    }

    /// The app.json of every release that serves and speaks of scheduled tasks, with its app and whether that is
    /// stopped.
    pub async fn app_jsons(&self) -> Result<Vec<(AppName, String, bool)>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.name, a.stopped, r.app_json FROM releases r JOIN apps a ON a.id = r.app_id \
             WHERE r.state = 'live' AND instr(r.app_json, 'cron') > 0 ORDER BY a.name",
        )
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        let entry = |row: &SqliteRow| {
            Ok((
                parsed(row, "name")?,
                row.try_get("app_json")?,
                row.try_get::<i64, _>("stopped")? != 0,
            ))
        };
        rows.iter().map(entry).collect()
    }
}

async fn put_cursor(
    connection: &mut sqlx::SqliteConnection,
    app: i64,
    task: &CronId,
    until: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO cron_cursors (app_id, task, handled_until) VALUES (?, ?, ?)",
    )
    .bind(app)
    .bind(task.as_str())
    .bind(until)
    .execute(connection)
    .await?;
    Ok(())
}

fn from_row(row: &SqliteRow) -> Result<CronRun, StoreError> {
    Ok(CronRun {
        id: row.try_get("id")?,
        app: parsed(row, "app")?,
        task: parsed(row, "task")?,
        command: row.try_get("command")?,
        due_at: row.try_get("due_at")?,
        missed: narrowed(row, "missed")?,
        ttl: narrowed(row, "ttl")?,
        state: parsed(row, "state")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
        exit_code: row.try_get("exit_code")?,
        container: row.try_get("container")?,
        message: row.try_get("message")?,
    })
}

#[cfg(test)]
mod tests;
