//! Instances: the containers that we mean to have. A row is written before its container is made and removed after
//! it is gone, so that a start after a crash knows what to finish and what to clear away.

mod promotion;

use std::fmt;
use std::str::FromStr;

use sarsen_domain::{
    AppName, BuildId, ContainerId, Invalid, ProcessIndex, ProcessType, ReleaseNumber,
};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::rows::{app_id, json_list, narrowed, narrowed_option, now, parsed, parsed_option};
use crate::{Store, StoreError, releases};

pub use promotion::Replace;

/// The instances of a [`Store`].
pub struct Instances<'a>(pub(crate) &'a Store);

/// A container that we mean to have, or that is on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    pub id: i64,
    pub app: AppName,
    pub release: ReleaseNumber,
    pub process: ProcessType,
    pub index: ProcessIndex,
    pub state: InstanceState,
    /// Once the container is made.
    pub container: Option<ContainerId>,
    /// The container's name, once it is made.
    pub name: Option<String>,
    pub build: BuildId,
    /// The port that it listens on, when it takes requests.
    pub port: Option<u16>,
    pub created_at: i64,
}

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InstanceState {
    /// Being started and checked; gets no traffic.
    Candidate,
    /// Serves.
    Live,
    /// Replaced: to be drained and stopped.
    Retiring,
}

/// What is planned: process type, index, port.
pub type Planned = (ProcessType, ProcessIndex, Option<u16>);

const RETIRE: &str = "UPDATE instances SET state = 'retiring' \
     WHERE state = 'live' AND id IN (SELECT value FROM json_each(?))";

macro_rules! select {
    ($tail:literal) => {
        concat!(
            "SELECT i.*, a.name AS app FROM instances i JOIN apps a ON a.id = i.app_id ",
            $tail
        )
    };
}
use select;

impl Instances<'_> {
    /// Writes down containers that are about to be made, as candidates, in the order given.
    pub async fn plan(
        &self,
        app: &AppName,
        release: ReleaseNumber,
        build: &BuildId,
        planned: &[Planned],
    ) -> Result<Vec<Instance>, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        if releases::state(&mut tx, app_id, release).await?.is_none() {
            return Err(releases::no_such(app, release));
        }
        let created_at = now();
        let mut instances = Vec::with_capacity(planned.len());
        for (process, index, port) in planned {
            let done = sqlx::query(
                "INSERT INTO instances (app_id, \"release\", build, process, idx, state, port, created_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(app_id)
            .bind(release.0)
            .bind(build.as_str())
            .bind(process.as_str())
            .bind(index)
            .bind(InstanceState::Candidate.as_str())
            .bind(port)
            .bind(created_at)
            .execute(&mut *tx)
            .await?;
            instances.push(Instance {
                id: done.last_insert_rowid(),
                app: app.clone(),
                release,
                process: process.clone(),
                index: *index,
                state: InstanceState::Candidate,
                container: None,
                name: None,
                build: build.clone(),
                port: *port,
                created_at,
            });
        }
        tx.commit().await?;
        Ok(instances)
    }

    /// Notes the container that was made for an instance.
    pub async fn set_container(
        &self,
        id: i64,
        container: &ContainerId,
        name: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let done = sqlx::query("UPDATE instances SET container = ?, name = ? WHERE id = ?")
            .bind(container.as_str())
            .bind(name)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::no_such(format!("Instance {id}")));
        }
        tx.commit().await?;
        Ok(())
    }

    /// Marks live instances as on their way out (scaling down, stopping); others are left as they are.
    pub async fn retire(&self, ids: &[i64]) -> Result<(), StoreError> {
        self.change(RETIRE, ids).await
    }

    /// Removes the rows of containers that are gone.
    pub async fn forget(&self, ids: &[i64]) -> Result<(), StoreError> {
        self.change(
            "DELETE FROM instances WHERE id IN (SELECT value FROM json_each(?))",
            ids,
        )
        .await
    }

    /// The app's instances in every state, by process and index.
    pub async fn list(&self, app: &AppName) -> Result<Vec<Instance>, StoreError> {
        let mut connection = self.0.read().await?;
        let app_id = app_id(&mut connection, app).await?;
        let rows = sqlx::query(select!(
            "WHERE i.app_id = ? ORDER BY i.process, i.idx, i.id"
        ))
        .bind(app_id)
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(from_row).collect()
    }

    /// All instances of all apps.
    pub async fn all(&self) -> Result<Vec<Instance>, StoreError> {
        self.select(select!("ORDER BY a.name, i.process, i.idx, i.id"))
            .await
    }

    /// The live instances of all apps.
    pub async fn live(&self) -> Result<Vec<Instance>, StoreError> {
        self.select(select!(
            "WHERE i.state = 'live' ORDER BY a.name, i.process, i.idx"
        ))
        .await
    }

    /// The live web instances of all apps.
    pub async fn live_web(&self) -> Result<Vec<Instance>, StoreError> {
        self.select(select!(
            "WHERE i.state = 'live' AND i.process = 'web' ORDER BY a.name, i.idx"
        ))
        .await
    }

    async fn select(&self, sql: &'static str) -> Result<Vec<Instance>, StoreError> {
        let rows = sqlx::query(sql)
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter().map(from_row).collect()
    }

    async fn change(&self, sql: &'static str, ids: &[i64]) -> Result<(), StoreError> {
        let statement = sqlx::query(sql).bind(json_list(ids.iter().copied()));
        self.0.change(statement).await?;
        Ok(())
    }
}

impl InstanceState {
    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Live => "live",
            Self::Retiring => "retiring",
        }
    }
}

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for InstanceState {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [Self::Candidate, Self::Live, Self::Retiring]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| {
                Invalid::new(format!("Unknown instance state '{}'", text.escape_debug()))
            })
    }
}

fn from_row(row: &SqliteRow) -> Result<Instance, StoreError> {
    Ok(Instance {
        id: row.try_get("id")?,
        app: parsed(row, "app")?,
        release: ReleaseNumber(narrowed(row, "release")?),
        process: parsed(row, "process")?,
        index: narrowed(row, "idx")?,
        state: parsed(row, "state")?,
        container: parsed_option(row, "container")?,
        name: row.try_get("name")?,
        build: parsed(row, "build")?,
        port: narrowed_option(row, "port")?,
        created_at: row.try_get("created_at")?,
    })
}

#[cfg(test)]
mod tests;
