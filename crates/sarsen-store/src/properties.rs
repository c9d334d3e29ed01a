//! Properties: the settings that `PLUGIN:set` writes, as text; what they mean is their concern's business.

use std::collections::BTreeMap;

use sarsen_domain::AppName;
use sqlx::{Row, SqliteConnection};

use crate::rows::{app_id, parsed, scope_id};
use crate::seal::Sealer;
use crate::{Scope, Store, StoreError};

mod sealed;

pub use sealed::is_sealed_property;
pub(crate) use sealed::{close, open, seal_plain};

/// The properties of a [`Store`].
pub struct Properties<'a>(pub(crate) &'a Store);

impl Properties<'_> {
    /// The value in this very scope.
    pub async fn get(
        &self,
        scope: &Scope,
        plugin: &str,
        key: &str,
    ) -> Result<Option<String>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = scope_id(&mut connection, scope).await?;
        let value = sqlx::query_scalar(
            "SELECT value FROM properties WHERE app_id IS ? AND plugin = ? AND key = ?",
        )
        .bind(id)
        .bind(plugin)
        .bind(key)
        .fetch_optional(&mut *connection)
        .await?;
        let open = |value| open(&self.0.sealer, id, (plugin, key), value);
        value.map(open).transpose()
    }

    /// Adds or replaces a value.
    pub async fn set(
        &self,
        scope: &Scope,
        plugin: &str,
        key: &str,
        value: &str,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = scope_id(&mut tx, scope).await?;
        put(&mut tx, &self.0.sealer, id, (plugin, key, value)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Sets and removes values together: `None` removes.
    pub async fn change(
        &self,
        scope: &Scope,
        plugin: &str,
        changes: &[(String, Option<String>)],
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = scope_id(&mut tx, scope).await?;
        for (key, value) in changes {
            match value {
                Some(value) => {
                    put(&mut tx, &self.0.sealer, id, (plugin, key, value)).await?;
                }
                None => remove(&mut tx, id, (plugin, key)).await?,
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// Removes a value, if there is one.
    pub async fn unset(&self, scope: &Scope, plugin: &str, key: &str) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = scope_id(&mut tx, scope).await?;
        remove(&mut tx, id, (plugin, key)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Every value that the scope has for one plugin.
    pub async fn all(
        &self,
        scope: &Scope,
        plugin: &str,
    ) -> Result<BTreeMap<String, String>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = scope_id(&mut connection, scope).await?;
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT key, value FROM properties WHERE app_id IS ? AND plugin = ?")
                .bind(id)
                .bind(plugin)
                .fetch_all(&mut *connection)
                .await?;
        rows.into_iter()
            .map(|(key, value)| {
                let value = open(&self.0.sealer, id, (plugin, &key), value)?;
                Ok((key, value))
            })
            .collect()
    }

    /// Every value of the scope: plugin, key, value. Sealed ones are left out: this is for files.
    pub async fn of_scope(
        &self,
        scope: &Scope,
    ) -> Result<Vec<(String, String, String)>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = scope_id(&mut connection, scope).await?;
        let mut rows: Vec<(String, String, String)> = sqlx::query_as(
            "SELECT plugin, key, value FROM properties WHERE app_id IS ? ORDER BY plugin, key",
        )
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
        rows.retain(|(plugin, key, _)| !is_sealed_property(plugin, key));
        Ok(rows)
    }

    /// The app's value, or else the global one.
    pub async fn effective(
        &self,
        app: &AppName,
        plugin: &str,
        key: &str,
    ) -> Result<Option<String>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let found: Option<(Option<i64>, String)> = sqlx::query_as(
            "SELECT app_id, value FROM properties WHERE plugin = ? AND key = ? \
             AND (app_id = ? OR app_id IS NULL) ORDER BY app_id IS NULL LIMIT 1",
        )
        .bind(plugin)
        .bind(key)
        .bind(id)
        .fetch_optional(&mut *connection)
        .await?;
        let open = |(owner, value)| open(&self.0.sealer, owner, (plugin, key), value);
        found.map(open).transpose()
    }

    /// One property of every app that has it itself.
    pub async fn by_app(
        &self,
        plugin: &str,
        key: &str,
    ) -> Result<BTreeMap<AppName, String>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.name, a.id, p.value FROM properties p JOIN apps a ON a.id = p.app_id \
             WHERE p.plugin = ? AND p.key = ?",
        )
        .bind(plugin)
        .bind(key)
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        rows.iter()
            .map(|row| {
                let (owner, value) = (row.try_get("id")?, row.try_get("value")?);
                let value = open(&self.0.sealer, owner, (plugin, key), value)?;
                Ok((parsed(row, "name")?, value))
            })
            .collect()
    }
}

/// Adds or replaces a value: plugin, key, value.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
    app: Option<i64>,
    (plugin, key, value): (&str, &str, &str),
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO properties (app_id, plugin, key, value) VALUES (?, ?, ?, ?)",
    )
    .bind(app)
    .bind(plugin)
    .bind(key)
    .bind(close(sealer, app, (plugin, key), value)?)
    .execute(connection)
    .await?;
    Ok(())
}

async fn remove(
    connection: &mut SqliteConnection,
    app: Option<i64>,
    (plugin, key): (&str, &str),
) -> Result<(), sqlx::Error> {
    sqlx::query("DELETE FROM properties WHERE app_id IS ? AND plugin = ? AND key = ?")
        .bind(app)
        .bind(plugin)
        .bind(key)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
