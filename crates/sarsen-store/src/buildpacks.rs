//! Buildpacks that users chose for an app, in the order they run.

use sarsen_domain::{AppName, BuildpackRef};
use sqlx::SqliteConnection;

use crate::rows::{app_id, limit, parsed};
use crate::{Store, StoreError};

/// The buildpack lists of a [`Store`].
pub struct Buildpacks<'a>(pub(crate) &'a Store);

impl Buildpacks<'_> {
    /// The app's list.
    pub async fn get(&self, app: &AppName) -> Result<Vec<BuildpackRef>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let rows =
            sqlx::query("SELECT buildpack FROM buildpacks WHERE app_id = ? ORDER BY position")
                .bind(id)
                .fetch_all(&mut *connection)
                .await?;
        rows.iter().map(|row| parsed(row, "buildpack")).collect()
    }

    /// Makes the app have this list.
    pub async fn set(&self, app: &AppName, buildpacks: &[BuildpackRef]) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        sqlx::query("DELETE FROM buildpacks WHERE app_id = ?")
            .bind(id)
            .execute(&mut *tx)
            .await?;
        insert(&mut tx, id, buildpacks).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Adds buildpacks to an app that has none.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    app: i64,
    buildpacks: &[BuildpackRef],
) -> Result<(), sqlx::Error> {
    for (position, buildpack) in buildpacks.iter().enumerate() {
        sqlx::query("INSERT INTO buildpacks (app_id, position, buildpack) VALUES (?, ?, ?)")
            .bind(app)
            .bind(limit(position))
            .bind(buildpack.as_str())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
