//! Releases: whole, numbered descriptions of what an app runs or ran.

mod row;

use std::collections::{BTreeMap, BTreeSet};

use sarsen_domain::{
    AppName, BuildId, BuilderKind, CommitId, Config, Formation, ImageRef, PortMapping, Procfile,
    Release, ReleaseNumber, ReleaseState,
};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::rows::{app_id, gathered, limit, narrowed, now, parse, parsed};
use crate::{Conflict, Store, StoreError};

/// The releases of a [`Store`].
pub struct Releases<'a>(pub(crate) &'a Store);

/// A release before it has a number; the fields are those of [`Release`].
#[derive(Debug, Clone)]
pub struct NewRelease {
    pub app: AppName,
    pub image: ImageRef,
    pub builder: BuilderKind,
    pub commit: Option<CommitId>,
    pub config: Config,
    pub procfile: Procfile,
    pub formation: Formation,
    pub detected_ports: Vec<PortMapping>,
    pub app_json: Option<String>,
    pub build: BuildId,
    pub author: String,
    pub description: String,
}

/// A release's line in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseSummary {
    pub number: ReleaseNumber,
    pub state: ReleaseState,
    pub commit: Option<CommitId>,
    pub author: String,
    pub description: String,
    pub created_at: i64,
    pub build: BuildId,
    pub image: ImageRef,
}

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT r.*, a.name AS app FROM releases r JOIN apps a ON a.id = r.app_id ",
            $tail
        )
    };
}

impl Releases<'_> {
    /// Stores a release under the app's next number, waiting to go live, and ties its build to it.
    pub async fn create(&self, new: NewRelease) -> Result<Release, StoreError> {
        let mut tx = self.0.write().await?;
        let numbered = sqlx::query(
            "UPDATE apps SET last_release = last_release + 1 WHERE name = ? \
             RETURNING id, last_release",
        )
        .bind(new.app.as_str())
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::NoSuchApp(new.app.clone()))?;
        let app_id = numbered.try_get("id")?;
        let release = row::numbered(
            new,
            ReleaseNumber(narrowed(&numbered, "last_release")?),
            now(),
        );
        row::insert(&mut tx, &self.0.sealer, app_id, &release).await?;
        sqlx::query("UPDATE builds SET \"release\" = ? WHERE id = ? AND app_id = ?")
            .bind(release.number.0)
            .bind(release.build.as_str())
            .bind(app_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(release)
    }

    /// Another image for a release that does not serve yet.
    pub async fn set_image(
        &self,
        app: &AppName,
        number: ReleaseNumber,
        image: &ImageRef,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        let changed = sqlx::query(
            "UPDATE releases SET image = ? WHERE app_id = ? AND number = ? AND state = 'pending'",
        )
        .bind(image.as_str())
        .bind(id)
        .bind(number.0)
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            return Err(no_such(app, number));
        }
        tx.commit().await?;
        Ok(())
    }

    /// One release of the app.
    pub async fn get(&self, app: &AppName, number: ReleaseNumber) -> Result<Release, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let row = sqlx::query(select!("WHERE r.app_id = ? AND r.number = ?"))
            .bind(id)
            .bind(number.0)
            .fetch_optional(&mut *connection)
            .await?;
        let row = row.ok_or_else(|| no_such(app, number))?;
        row::from_row(&row, &self.0.sealer)
    }

    /// The release that serves.
    pub async fn live(&self, app: &AppName) -> Result<Option<Release>, StoreError> {
        let sql = select!("WHERE r.app_id = ? AND r.state = 'live'");
        self.optional(sql, app).await
    }

    /// The newest release that was built as this image; one that an image was brought for says nothing about it.
    pub async fn built_as(
        &self,
        app: &AppName,
        image: &ImageRef,
    ) -> Result<Option<Release>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let row = sqlx::query(select!(
            "WHERE r.app_id = ? AND r.image = ? AND r.builder <> ? ORDER BY r.number DESC LIMIT 1"
        ))
        .bind(id)
        .bind(image.as_str())
        .bind(BuilderKind::Null.as_str())
        .fetch_optional(&mut *connection)
        .await?;
        row.map(|row| row::from_row(&row, &self.0.sealer))
            .transpose()
    }

    /// How many images the releases of every app have, by app.
    pub async fn images_by_app(&self) -> Result<Vec<(AppName, usize)>, StoreError> {
        let text: String = sqlx::query_scalar(
            "SELECT json_group_array(json_array(name, images) ORDER BY name) FROM ( \
               SELECT a.name, count(DISTINCT r.image) AS images \
               FROM apps a LEFT JOIN releases r ON r.app_id = a.id GROUP BY a.id)",
        )
        .fetch_one(&mut *self.0.read().await?)
        .await?;
        gathered::<(String, usize)>("releases", &text)?
            .into_iter()
            .map(|(name, images)| Ok((parse("name", &name)?, images)))
            .collect()
    }

    /// What the live release of every app asks for, apps without one left out.
    pub async fn live_ports(&self) -> Result<BTreeMap<AppName, Vec<PortMapping>>, StoreError> {
        let text: String = sqlx::query_scalar(
            "SELECT json_group_array(json_array(a.name, json(r.detected_ports))) \
             FROM releases r JOIN apps a ON a.id = r.app_id WHERE r.state = 'live'",
        )
        .fetch_one(&mut *self.0.read().await?)
        .await?;
        let rows: Vec<(String, Vec<String>)> = gathered("detected_ports", &text)?;
        rows.iter()
            .map(|(name, texts)| Ok((parse("name", name)?, row::ports(texts)?)))
            .collect()
    }

    /// What a rollback goes to: the newest release that served before the live one.
    pub async fn previous_deployable(&self, app: &AppName) -> Result<Option<Release>, StoreError> {
        let sql = select!(
            "WHERE r.app_id = ?1 AND r.state = 'retired' AND r.number < ifnull(\
               (SELECT number FROM releases WHERE app_id = ?1 AND state = 'live'), 1 << 40) \
             ORDER BY r.number DESC LIMIT 1"
        );
        self.optional(sql, app).await
    }

    /// The app's newest releases, newest first, without what weighs.
    pub async fn list(
        &self,
        app: &AppName,
        count: usize,
    ) -> Result<Vec<ReleaseSummary>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let rows = sqlx::query(
            "SELECT number, state, commit_id, author, description, created_at, build, image \
             FROM releases WHERE app_id = ? ORDER BY number DESC LIMIT ?",
        )
        .bind(id)
        .bind(limit(count))
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(row::summary).collect()
    }

    /// Lays a waiting release aside: it can be deployed later, like one that has served.
    pub async fn shelve(&self, app: &AppName, number: ReleaseNumber) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        let changed = sqlx::query(
            "UPDATE releases SET state = 'retired' \
             WHERE app_id = ? AND number = ? AND state = 'pending'",
        )
        .bind(id)
        .bind(number.0)
        .execute(&mut *tx)
        .await?;
        if changed.rows_affected() == 0 {
            return Err(no_such(app, number));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Records that a waiting release will never serve.
    pub async fn fail(&self, app: &AppName, number: ReleaseNumber) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        match state(&mut tx, id, number).await? {
            None => return Err(no_such(app, number)),
            Some(ReleaseState::Live | ReleaseState::Retired) => {
                return Err(Conflict::ReleaseServed(number).into());
            }
            Some(ReleaseState::Pending | ReleaseState::Failed) => {}
        }
        sqlx::query("UPDATE releases SET state = 'failed' WHERE app_id = ? AND number = ?")
            .bind(id)
            .bind(number.0)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Marks the release that a build was to bring as failed, if it waits still.
    pub async fn fail_build(&self, app: &AppName, build: &BuildId) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        sqlx::query(
            "UPDATE releases SET state = 'failed' WHERE app_id = ? AND build = ? AND state = 'pending'",
        )
        .bind(id)
        .bind(build.as_str())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The images that must not be removed: of the last `keep` releases that served, of live and of waiting ones,
    /// and of every container that we mean to have.
    pub async fn images_in_use(&self, keep: usize) -> Result<BTreeSet<ImageRef>, StoreError> {
        let rows = sqlx::query(
            "SELECT image FROM (SELECT image, row_number() OVER (\
               PARTITION BY app_id ORDER BY number DESC) AS age \
               FROM releases WHERE state IN ('live', 'retired')) WHERE age <= ? \
             UNION SELECT image FROM releases WHERE state IN ('live', 'pending') \
             UNION SELECT r.image FROM instances i \
               JOIN releases r ON r.app_id = i.app_id AND r.number = i.\"release\"",
        )
        .bind(limit(keep))
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        rows.iter().map(|row| parsed(row, "image")).collect()
    }

    /// Forgets, of the releases that served and of those that failed, all but the newest `keep` each. Live and
    /// waiting ones stay, and so do those that a container still belongs to. The forgotten ones come back.
    pub async fn prune(
        &self,
        app: &AppName,
        keep: usize,
    ) -> Result<Vec<ReleaseSummary>, StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        let rows = sqlx::query(
            "DELETE FROM releases AS r WHERE r.app_id = ?1 AND r.state IN ('retired', 'failed') \
             AND r.number NOT IN (SELECT number FROM (SELECT number, row_number() OVER (\
               PARTITION BY state = 'failed' ORDER BY number DESC) AS age \
               FROM releases WHERE app_id = ?1 AND state <> 'pending') WHERE age <= ?2) \
             AND NOT EXISTS (SELECT 1 FROM instances i \
               WHERE i.app_id = ?1 AND i.\"release\" = r.number) \
             RETURNING number, state, commit_id, author, description, created_at, build, image",
        )
        .bind(id)
        .bind(limit(keep))
        .fetch_all(&mut *tx)
        .await?;
        let mut pruned = rows
            .iter()
            .map(row::summary)
            .collect::<Result<Vec<_>, _>>()?;
        tx.commit().await?;
        pruned.sort_unstable_by_key(|release| release.number);
        Ok(pruned)
    }

    /// At the start of the daemon: releases that wait have nobody who deploys them any more. They fail and come
    /// back.
    pub async fn pending_at_start(&self) -> Result<Vec<(AppName, ReleaseNumber)>, StoreError> {
        let mut tx = self.0.write().await?;
        let rows = sqlx::query(
            "SELECT a.name, r.number FROM releases r JOIN apps a ON a.id = r.app_id \
             WHERE r.state = 'pending' ORDER BY a.name, r.number",
        )
        .fetch_all(&mut *tx)
        .await?;
        sqlx::query("UPDATE releases SET state = 'failed' WHERE state = 'pending'")
            .execute(&mut *tx)
            .await?;
        let pending = rows.iter().map(app_and_number).collect();
        tx.commit().await?;
        pending
    }

    async fn optional(
        &self,
        sql: &'static str,
        app: &AppName,
    ) -> Result<Option<Release>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let row = sqlx::query(sql)
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
        row.map(|row| row::from_row(&row, &self.0.sealer))
            .transpose()
    }
}

/// Where a release is in its life, within the caller's transaction.
pub(crate) async fn state(
    connection: &mut SqliteConnection,
    app_id: i64,
    number: ReleaseNumber,
) -> Result<Option<ReleaseState>, StoreError> {
    let row = sqlx::query("SELECT state FROM releases WHERE app_id = ? AND number = ?")
        .bind(app_id)
        .bind(number.0)
        .fetch_optional(connection)
        .await?;
    row.map(|row| parsed(&row, "state")).transpose()
}

pub(crate) fn no_such(app: &AppName, number: ReleaseNumber) -> StoreError {
    StoreError::no_such(format!("Release {number} of app {app}"))
}

fn app_and_number(row: &SqliteRow) -> Result<(AppName, ReleaseNumber), StoreError> {
    Ok((
        parsed(row, "name")?,
        ReleaseNumber(narrowed(row, "number")?),
    ))
}

#[cfg(test)]
mod tests;
