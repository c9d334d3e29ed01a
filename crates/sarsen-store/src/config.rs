//! Config vars. Keys are plain, values are sealed for their scope and key.

use sarsen_domain::{AppName, Config, EnvKey};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::rows::{app_id, parsed, scope_id};
use crate::seal::{Place, Sealer};
use crate::{Scope, Store, StoreError};

/// The config vars of a [`Store`].
pub struct ConfigVars<'a>(pub(crate) &'a Store);

impl ConfigVars<'_> {
    /// The vars of one scope alone.
    pub async fn get(&self, scope: &Scope) -> Result<Config, StoreError> {
        let mut connection = self.0.read().await?;
        let id = scope_id(&mut connection, scope).await?;
        let rows = sqlx::query("SELECT app_id, key, sealed FROM config WHERE app_id IS ?")
            .bind(id)
            .fetch_all(&mut *connection)
            .await?;
        self.open(&rows)
    }

    /// The global vars with the app's laid over them: what a container of the app sees.
    pub async fn merged(&self, app: &AppName) -> Result<Config, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        // Global ones come first: of two equal keys the later one wins.
        let rows = sqlx::query(
            "SELECT app_id, key, sealed FROM config \
             WHERE app_id IS NULL OR app_id = ? ORDER BY app_id IS NOT NULL",
        )
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
        self.open(&rows)
    }

    /// Adds or replaces vars.
    pub async fn set(&self, scope: &Scope, vars: Vec<(EnvKey, String)>) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = scope_id(&mut tx, scope).await?;
        for (key, value) in &vars {
            put(&mut tx, &self.0.sealer, id, (key, value)).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Removes vars; those that were there come back.
    pub async fn unset(&self, scope: &Scope, keys: &[EnvKey]) -> Result<Vec<EnvKey>, StoreError> {
        let mut tx = self.0.write().await?;
        let id = scope_id(&mut tx, scope).await?;
        let mut removed = Vec::new();
        for key in keys {
            let done = sqlx::query("DELETE FROM config WHERE app_id IS ? AND key = ?")
                .bind(id)
                .bind(key.as_str())
                .execute(&mut *tx)
                .await?;
            if done.rows_affected() > 0 {
                removed.push(key.clone());
            }
        }
        tx.commit().await?;
        Ok(removed)
    }

    /// Makes the scope hold these vars and no others.
    pub async fn replace(&self, scope: &Scope, config: &Config) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = scope_id(&mut tx, scope).await?;
        delete_all(&mut tx, id).await?;
        for var in config.iter() {
            put(&mut tx, &self.0.sealer, id, var).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Removes every var of the scope.
    pub async fn clear(&self, scope: &Scope) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = scope_id(&mut tx, scope).await?;
        delete_all(&mut tx, id).await?;
        tx.commit().await?;
        Ok(())
    }

    fn open(&self, rows: &[SqliteRow]) -> Result<Config, StoreError> {
        rows.iter()
            .map(|row| {
                let key: EnvKey = parsed(row, "key")?;
                let place = Place::Config {
                    app_id: row.try_get("app_id")?,
                    key: key.as_str(),
                };
                let value = self.0.sealer.open(&place, row.try_get("sealed")?)?;
                Ok((key, value))
            })
            .collect()
    }
}

pub(crate) async fn put(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
    app_id: Option<i64>,
    (key, value): (&EnvKey, &str),
) -> Result<(), StoreError> {
    let place = Place::Config {
        app_id,
        key: key.as_str(),
    };
    let sealed = sealer.seal(&place, value)?;
    sqlx::query("INSERT OR REPLACE INTO config (app_id, key, sealed) VALUES (?, ?, ?)")
        .bind(app_id)
        .bind(key.as_str())
        .bind(sealed)
        .execute(connection)
        .await?;
    Ok(())
}

async fn delete_all(
    connection: &mut SqliteConnection,
    app_id: Option<i64>,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM config WHERE app_id IS ?")
        .bind(app_id)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
