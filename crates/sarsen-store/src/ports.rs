//! Port mappings that users set with `ports:add` and `ports:set`, in their order.

use std::collections::BTreeMap;

use sarsen_domain::{AppName, PortMapping};
use sqlx::SqliteConnection;

use crate::rows::{app_id, gathered, limit, parse, parsed};
use crate::{Store, StoreError};

/// The port mappings of a [`Store`].
pub struct Ports<'a>(pub(crate) &'a Store);

impl Ports<'_> {
    /// The app's mappings.
    pub async fn list(&self, app: &AppName) -> Result<Vec<PortMapping>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let rows = sqlx::query("SELECT mapping FROM ports WHERE app_id = ? ORDER BY position")
            .bind(id)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(|row| parsed(row, "mapping")).collect()
    }

    /// Makes the app have these mappings and no others.
    pub async fn set(&self, app: &AppName, mappings: &[PortMapping]) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        sqlx::query("DELETE FROM ports WHERE app_id = ?")
            .bind(id)
            .execute(&mut *tx)
            .await?;
        insert(&mut tx, id, mappings).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The mappings of every app that has any.
    pub async fn all(&self) -> Result<BTreeMap<AppName, Vec<PortMapping>>, StoreError> {
        let text: String = sqlx::query_scalar(
            "SELECT json_group_array(json_array(a.name, p.mapping) ORDER BY p.app_id, p.position) \
             FROM ports p JOIN apps a ON a.id = p.app_id",
        )
        .fetch_one(&mut *self.0.read().await?)
        .await?;
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, mapping) in gathered::<(String, String)>("ports", &text)? {
            let mappings = all.entry(parse("name", &name)?).or_default();
            mappings.push(parse("mapping", &mapping)?);
        }
        Ok(all)
    }
}

/// Adds mappings to an app that has none.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    app: i64,
    mappings: &[PortMapping],
) -> Result<(), sqlx::Error> {
    for (position, mapping) in mappings.iter().enumerate() {
        sqlx::query("INSERT INTO ports (app_id, position, mapping) VALUES (?, ?, ?)")
            .bind(app)
            .bind(limit(position))
            .bind(mapping.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
