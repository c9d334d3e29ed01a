//! The formation of each app: how many containers of each process type are wanted.

use std::collections::BTreeMap;

use sarsen_domain::{AppName, Formation};
use sqlx::SqliteConnection;

use crate::rows::{app_id, narrowed, parsed};
use crate::{Store, StoreError};

/// The formations of a [`Store`].
pub struct Formations<'a>(pub(crate) &'a Store);

impl Formations<'_> {
    /// The app's formation.
    pub async fn get(&self, app: &AppName) -> Result<Formation, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let rows = sqlx::query("SELECT process, quantity FROM formation WHERE app_id = ?")
            .bind(id)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter()
            .map(|row| Ok((parsed(row, "process")?, narrowed(row, "quantity")?)))
            .collect()
    }

    /// Sets the quantities that are given; the others stay.
    pub async fn set(&self, app: &AppName, formation: &Formation) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        merge(&mut tx, id, formation).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The formation of every app that has one.
    pub async fn all(&self) -> Result<BTreeMap<AppName, Formation>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.name, f.process, f.quantity FROM formation f JOIN apps a ON a.id = f.app_id",
        )
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        let mut all: BTreeMap<_, Formation> = BTreeMap::new();
        for row in &rows {
            let formation = all.entry(parsed(row, "name")?).or_default();
            formation.set(parsed(row, "process")?, narrowed(row, "quantity")?);
        }
        Ok(all)
    }
}

/// Writes quantities within the caller's transaction.
pub(crate) async fn merge(
    connection: &mut SqliteConnection,
    app_id: i64,
    formation: &Formation,
) -> Result<(), StoreError> {
    for (process, quantity) in formation.iter() {
        sqlx::query(
            "INSERT INTO formation (app_id, process, quantity) VALUES (?, ?, ?) \
             ON CONFLICT (app_id, process) DO UPDATE SET quantity = excluded.quantity",
        )
        .bind(app_id)
        .bind(process.as_str())
        .bind(quantity)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
