//! Builds: a record of every attempt to change what runs, whether it succeeded or not.

use sarsen_domain::{
    AppName, BuildId, BuildKind, BuildSource, BuildStatus, CommitId, ReleaseNumber,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Encode, Row, Sqlite, SqliteConnection, Type};

use crate::rows::{app_id, limit, narrowed_option, now, now_ms, parsed, parsed_option};
use crate::{Store, StoreError};

/// The builds of a [`Store`].
pub struct Builds<'a>(pub(crate) &'a Store);

/// One build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildRecord {
    pub id: BuildId,
    pub app: AppName,
    pub kind: BuildKind,
    pub source: BuildSource,
    pub status: BuildStatus,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub exit_code: Option<i32>,
    /// Who set it off.
    pub author: String,
    /// The stage it has come to.
    pub stage: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    pub commit: Option<CommitId>,
    /// The release it made, once there is one.
    pub release: Option<ReleaseNumber>,
}

/// When a build came to a stage; `end` is when it was over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRecord {
    pub build: BuildId,
    pub stage: String,
    pub started_ms: i64,
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT b.*, a.name AS app FROM builds b JOIN apps a ON a.id = b.app_id ",
            $tail
        )
    };
}

impl Builds<'_> {
    /// Records that a build begins.
    pub async fn start(
        &self,
        app: &AppName,
        kind: BuildKind,
        source: BuildSource,
        author: &str,
    ) -> Result<BuildRecord, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        let millis = u64::try_from(now_ms()).unwrap_or_default();
        let id = BuildId::from_parts(millis, rand::random());
        sqlx::query(
            "INSERT INTO builds (id, app_id, kind, source, status, started_at, author) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(id.as_str())
        .bind(app_id)
        .bind(kind.as_str())
        .bind(source.as_str())
        .bind(BuildStatus::Running.as_str())
        .bind(now())
        .bind(author)
        .execute(&mut *tx)
        .await?;
        let build = find(&mut tx, &id).await?;
        note_stage(&mut tx, &id, "receive").await?;
        tx.commit().await?;
        Ok(build)
    }

    /// Notes the stage that the build has come to, and when it first did.
    pub async fn set_stage(&self, id: &BuildId, stage: &str) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let done = sqlx::query("UPDATE builds SET stage = ? WHERE id = ?")
            .bind(stage)
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(no_such(id));
        }
        note_stage(&mut tx, id, stage).await?;
        tx.commit().await?;
        Ok(())
    }

    /// When a build came to its stages, in their order.
    pub async fn stages(&self, id: &BuildId) -> Result<Vec<StageRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM build_stages WHERE build = ? ORDER BY started_ms")
            .bind(id.as_str())
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter().map(stage_row).collect()
    }

    /// The stages of an app's last deploys that went well, `count` builds at most.
    pub async fn usual_stages(
        &self,
        app: &AppName,
        count: usize,
    ) -> Result<Vec<StageRecord>, StoreError> {
        let mut connection = self.0.read().await?;
        let app_id = app_id(&mut connection, app).await?;
        let rows = sqlx::query(
            "SELECT s.* FROM build_stages s WHERE s.build IN (SELECT id FROM builds \
               WHERE app_id = ? AND status = 'succeeded' ORDER BY seq DESC LIMIT ?) \
             ORDER BY s.build, s.started_ms",
        )
        .bind(app_id)
        .bind(limit(count))
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(stage_row).collect()
    }

    /// Notes the commit that is built.
    pub async fn set_commit(&self, id: &BuildId, commit: &CommitId) -> Result<(), StoreError> {
        let sql = "UPDATE builds SET commit_id = ? WHERE id = ?";
        self.note(sql, id, commit.as_str()).await
    }

    /// Ties the build to the release that it deploys (a build that makes a release is tied by that).
    pub async fn set_release(
        &self,
        id: &BuildId,
        release: ReleaseNumber,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE builds SET \"release\" = ? WHERE id = ?";
        self.note(sql, id, i64::from(release.0)).await
    }

    /// Records how the build ended. The first verdict stands: a build that was cancelled does not fail afterwards.
    /// The record as it is then comes back.
    pub async fn finish(
        &self,
        id: &BuildId,
        status: BuildStatus,
        exit_code: Option<i32>,
        error: Option<&str>,
    ) -> Result<BuildRecord, StoreError> {
        let mut tx = self.0.write().await?;
        sqlx::query(
            "UPDATE builds SET status = ?, exit_code = ?, error = ?, finished_at = ? \
             WHERE id = ? AND status = 'running'",
        )
        .bind(status.as_str())
        .bind(exit_code)
        .bind(error)
        .bind(now())
        .bind(id.as_str())
        .execute(&mut *tx)
        .await?;
        let build = find(&mut tx, id).await?;
        note_stage(&mut tx, id, "end").await?;
        tx.commit().await?;
        Ok(build)
    }

    /// One build of this app.
    pub async fn get(&self, app: &AppName, id: &BuildId) -> Result<BuildRecord, StoreError> {
        let mut connection = self.0.read().await?;
        app_id(&mut connection, app).await?;
        let build = find(&mut connection, id).await?;
        if build.app != *app {
            // An id alone gives no right to look at another app's build.
            return Err(no_such(id));
        }
        Ok(build)
    }

    /// The app's builds, newest first.
    pub async fn list(&self, app: &AppName) -> Result<Vec<BuildRecord>, StoreError> {
        let mut connection = self.0.read().await?;
        let app_id = app_id(&mut connection, app).await?;
        let rows = sqlx::query(select!("WHERE b.app_id = ? ORDER BY b.seq DESC"))
            .bind(app_id)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(from_row).collect()
    }

    /// The app's newest build.
    pub async fn last(&self, app: &AppName) -> Result<Option<BuildRecord>, StoreError> {
        let mut connection = self.0.read().await?;
        let app_id = app_id(&mut connection, app).await?;
        let row = sqlx::query(select!("WHERE b.app_id = ? ORDER BY b.seq DESC LIMIT 1"))
            .bind(app_id)
            .fetch_optional(&mut *connection)
            .await?;
        row.as_ref().map(from_row).transpose()
    }

    /// Builds under way, oldest first.
    pub async fn running(&self) -> Result<Vec<BuildRecord>, StoreError> {
        running(&mut *self.0.read().await?).await
    }

    /// At the start of the daemon: whatever still counts as running was cut off. Those builds come back as they
    /// are now.
    pub async fn abandon_running(&self) -> Result<Vec<BuildRecord>, StoreError> {
        let mut tx = self.0.write().await?;
        let mut cut_off = running(&mut tx).await?;
        let finished_at = now();
        sqlx::query(
            "UPDATE builds SET status = 'abandoned', finished_at = ? WHERE status = 'running'",
        )
        .bind(finished_at)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        for build in &mut cut_off {
            build.status = BuildStatus::Abandoned;
            build.finished_at = Some(finished_at);
        }
        Ok(cut_off)
    }

    /// Forgets all but the newest `keep` builds that have ended; the forgotten ones' logs can go.
    pub async fn prune(&self, app: &AppName, keep: usize) -> Result<Vec<BuildId>, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        let rows = sqlx::query(
            "DELETE FROM builds WHERE seq IN (\
               SELECT seq FROM builds WHERE app_id = ? AND status <> 'running' \
               ORDER BY seq DESC LIMIT -1 OFFSET ?) RETURNING id",
        )
        .bind(app_id)
        .bind(limit(keep))
        .fetch_all(&mut *tx)
        .await?;
        let pruned = rows.iter().map(|row| parsed(row, "id")).collect();
        tx.commit().await?;
        pruned
    }

    async fn note<'v, V>(&self, sql: &'static str, id: &BuildId, value: V) -> Result<(), StoreError>
    where
        V: Encode<'v, Sqlite> + Type<Sqlite> + Send + 'v,
    {
        let mut tx = self.0.write().await?;
        let done = sqlx::query(sql)
            .bind(value)
            .bind(id.as_str())
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(no_such(id));
        }
        tx.commit().await?;
        Ok(())
    }
}

async fn find(connection: &mut SqliteConnection, id: &BuildId) -> Result<BuildRecord, StoreError> {
    let row = sqlx::query(select!("WHERE b.id = ?"))
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
    from_row(&row.ok_or_else(|| no_such(id))?)
}

async fn running(connection: &mut SqliteConnection) -> Result<Vec<BuildRecord>, StoreError> {
    let rows = sqlx::query(select!("WHERE b.status = 'running' ORDER BY b.seq"))
        .fetch_all(connection)
        .await?;
    rows.iter().map(from_row).collect()
}

async fn note_stage(
    connection: &mut SqliteConnection,
    id: &BuildId,
    stage: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR IGNORE INTO build_stages (build, stage, started_ms) VALUES (?, ?, ?)")
        .bind(id.as_str())
        .bind(stage)
        .bind(now_ms())
        .execute(connection)
        .await?;
    Ok(())
}

fn stage_row(row: &SqliteRow) -> Result<StageRecord, StoreError> {
    Ok(StageRecord {
        build: parsed(row, "build")?,
        stage: row.try_get("stage")?,
        started_ms: row.try_get("started_ms")?,
    })
}

fn no_such(id: &BuildId) -> StoreError {
    StoreError::no_such(format!("Build {id}"))
}

fn from_row(row: &SqliteRow) -> Result<BuildRecord, StoreError> {
    Ok(BuildRecord {
        id: parsed(row, "id")?,
        app: parsed(row, "app")?,
        kind: parsed(row, "kind")?,
        source: parsed(row, "source")?,
        status: parsed(row, "status")?,
        started_at: row.try_get("started_at")?,
        finished_at: row.try_get("finished_at")?,
        exit_code: narrowed_option(row, "exit_code")?,
        author: row.try_get("author")?,
        stage: row.try_get("stage")?,
        error: row.try_get("error")?,
        commit: parsed_option(row, "commit_id")?,
        release: narrowed_option(row, "release")?.map(ReleaseNumber),
    })
}

#[cfg(test)]
mod tests;
