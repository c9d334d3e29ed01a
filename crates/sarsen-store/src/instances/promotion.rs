//! The moment a release goes live: candidates take the places of the instances they replace, all at once.

use sarsen_domain::{AppName, BuildId, ProcessIndex, ProcessType, ReleaseNumber, ReleaseState};
use sqlx::SqliteConnection;

use super::{Instance, InstanceState, Instances, RETIRE, from_row, select};
use crate::rows::{app_id, is_duplicate, json_list};
use crate::{Conflict, StoreError, releases};

/// Which live instances the candidates of a build replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replace {
    /// All of the app's.
    All,
    /// Those of some process types.
    Processes(Vec<ProcessType>),
    /// Single ones, such as `web.2`. An empty list replaces nothing (scaling up).
    Indexes(Vec<(ProcessType, ProcessIndex)>),
}

impl Replace {
    fn covers(&self, instance: &Instance) -> bool {
        match self {
            Self::All => true,
            Self::Processes(processes) => processes.contains(&instance.process),
            Self::Indexes(places) => places
                .iter()
                .any(|(process, index)| *process == instance.process && *index == instance.index),
        }
    }
}

impl Instances<'_> {
    /// Makes the candidates of this build live, what they replace retiring, the release live, the one before it
    /// retired, and the app deployed and started. The retiring instances come back, to be drained and stopped.
    pub async fn promote(
        &self,
        app: &AppName,
        release: ReleaseNumber,
        build: &BuildId,
        replace: Replace,
    ) -> Result<Vec<Instance>, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        match releases::state(&mut tx, app_id, release).await? {
            None => return Err(releases::no_such(app, release)),
            Some(ReleaseState::Failed) => return Err(Conflict::ReleaseFailed(release).into()),
            Some(ReleaseState::Pending | ReleaseState::Live | ReleaseState::Retired) => {}
        }
        let retiring = retire_replaced(&mut tx, app_id, &replace).await?;
        sqlx::query(
            "UPDATE instances SET state = 'live' \
             WHERE app_id = ? AND \"release\" = ? AND build = ? AND state = 'candidate'",
        )
        .bind(app_id)
        .bind(release.0)
        .bind(build.as_str())
        .execute(&mut *tx)
        .await
        .map_err(|error| place_taken(error, build))?;
        swap_releases(&mut tx, app_id, release).await?;
        tx.commit().await?;
        Ok(retiring)
    }
}

async fn retire_replaced(
    connection: &mut SqliteConnection,
    app_id: i64,
    replace: &Replace,
) -> Result<Vec<Instance>, StoreError> {
    let rows = sqlx::query(select!(
        "WHERE i.app_id = ? AND i.state = 'live' ORDER BY i.id"
    ))
    .bind(app_id)
    .fetch_all(&mut *connection)
    .await?;
    let live = rows.iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    let mut replaced: Vec<_> = live
        .into_iter()
        .filter(|instance| replace.covers(instance))
        .collect();
    sqlx::query(RETIRE)
        .bind(json_list(replaced.iter().map(|instance| instance.id)))
        .execute(connection)
        .await?;
    for instance in &mut replaced {
        instance.state = InstanceState::Retiring;
    }
    Ok(replaced)
}

async fn swap_releases(
    connection: &mut SqliteConnection,
    app_id: i64,
    release: ReleaseNumber,
) -> Result<(), StoreError> {
    for sql in [
        "UPDATE releases SET state = 'retired' WHERE app_id = ? AND number <> ? AND state = 'live'",
        "UPDATE releases SET state = 'live' WHERE app_id = ? AND number = ?",
    ] {
        sqlx::query(sql)
            .bind(app_id)
            .bind(release.0)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("UPDATE apps SET deployed = 1, stopped = 0 WHERE id = ?")
        .bind(app_id)
        .execute(connection)
        .await?;
    Ok(())
}

fn place_taken(error: sqlx::Error, build: &BuildId) -> StoreError {
    if is_duplicate(&error) {
        return Conflict::PlaceTaken(build.clone()).into();
    }
    error.into()
}
