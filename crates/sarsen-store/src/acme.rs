//! ACME: accounts, which apps want certificates, how it went, and how much was asked of an authority lately.

use std::collections::BTreeMap;

use sarsen_domain::{AppName, Secret};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite};

use crate::rows::{app_id, must_touch, now, parsed};
use crate::seal::Place;
use crate::{Store, StoreError};

/// Orders older than this count for no authority's limit.
const REMEMBERED: i64 = 30 * 24 * 3600;

/// The ACME side of a [`Store`].
pub struct Acme<'a>(pub(crate) &'a Store);

/// A change of how one app stands; the app's name is the last thing to bind.
macro_rules! change {
    ($set:literal) => {
        concat!(
            "UPDATE acme_apps SET ",
            $set,
            " WHERE app_id = (SELECT id FROM apps WHERE name = ?)"
        )
    };
}

/// How an app stands with its authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AcmeState {
    /// Whether certificates are wanted.
    pub is_enabled: bool,
    /// Failures in a row.
    pub failures: u32,
    /// Nothing is tried before; Unix seconds.
    pub retry_at: i64,
    /// What went wrong last, if nothing went well since.
    pub error: Option<String>,
    /// When the certificate is to be renewed; Unix seconds.
    pub renew_at: Option<i64>,
}

/// How an order ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderOutcome {
    Issued,
    /// The authority said no.
    Failed,
    /// It was not asked after all.
    Unasked,
}

/// What was asked of an authority lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrdersLately {
    /// Orders of any kind in the last three hours.
    pub recent: i64,
    /// Certificates for this very set of names in the last week.
    pub same_names: i64,
    /// Failures for this set of names in the last hour.
    pub failed: i64,
    /// When the oldest of those failures was.
    pub first_failed_at: Option<i64>,
}

impl Acme<'_> {
    /// The credentials of an account, if there is one.
    pub async fn account(
        &self,
        directory: &str,
        email: &str,
    ) -> Result<Option<Secret<String>>, StoreError> {
        let row = sqlx::query(
            "SELECT id, credentials FROM acme_accounts WHERE directory = ? AND email = ?",
        )
        .bind(directory)
        .bind(email)
        .fetch_optional(&mut *self.0.read().await?)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let place = Place::AcmeAccount {
            id: row.try_get("id")?,
        };
        let opened = self.0.sealer.open(&place, row.try_get("credentials")?)?;
        Ok(Some(Secret::new(opened)))
    }

    /// Keeps an account's credentials.
    pub async fn keep_account(
        &self,
        directory: &str,
        email: &str,
        credentials: &Secret<String>,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        sqlx::query("DELETE FROM acme_accounts WHERE directory = ? AND email = ?")
            .bind(directory)
            .bind(email)
            .execute(&mut *tx)
            .await?;
        let id = sqlx::query(
            "INSERT INTO acme_accounts (directory, email, credentials) VALUES (?, ?, x'')",
        )
        .bind(directory)
        .bind(email)
        .execute(&mut *tx)
        .await?
        .last_insert_rowid();
        let sealed = self
            .0
            .sealer
            .seal(&Place::AcmeAccount { id }, credentials.expose())?;
        sqlx::query("UPDATE acme_accounts SET credentials = ? WHERE id = ?")
            .bind(sealed)
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Says whether certificates are wanted for an app, and forgets old failures.
    pub async fn enable(&self, app: &AppName, wanted: Wanted) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        sqlx::query(
            "INSERT INTO acme_apps (app_id, is_enabled) VALUES (?, ?) ON CONFLICT (app_id) DO UPDATE \
             SET is_enabled = excluded.is_enabled, failures = 0, retry_at = 0, error = NULL",
        )
        .bind(id)
        .bind(wanted == Wanted::Yes)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Undoes an `enable` that led to nothing: only the error stays, to be shown.
    pub async fn give_up(&self, app: &AppName, error: &str) -> Result<(), StoreError> {
        let change = sqlx::query(change!("is_enabled = 0, error = ?")).bind(error);
        self.update(app, change).await
    }

    /// How an app stands; none if nobody ever said anything about it.
    pub async fn state(&self, app: &AppName) -> Result<Option<AcmeState>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let row = sqlx::query("SELECT * FROM acme_apps WHERE app_id = ?")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
        row.map(|row| state(&row)).transpose()
    }

    /// Every app about which something was said.
    pub async fn all(&self) -> Result<BTreeMap<AppName, AcmeState>, StoreError> {
        let rows =
            sqlx::query("SELECT a.name, c.* FROM acme_apps c JOIN apps a ON a.id = c.app_id")
                .fetch_all(&mut *self.0.read().await?)
                .await?;
        rows.iter()
            .map(|row| Ok((parsed(row, "name")?, state(row)?)))
            .collect()
    }

    /// Writes down that it went well.
    pub async fn succeeded(&self, app: &AppName, renew_at: i64) -> Result<(), StoreError> {
        let change = change!("failures = 0, retry_at = 0, error = NULL, renew_at = ?");
        self.update(app, sqlx::query(change).bind(renew_at)).await
    }

    /// Writes down that it went wrong.
    pub async fn failed(
        &self,
        app: &AppName,
        error: &str,
        retry_at: i64,
    ) -> Result<(), StoreError> {
        let change = change!("failures = failures + 1, retry_at = ?, error = ?");
        let change = sqlx::query(change).bind(retry_at).bind(error);
        self.update(app, change).await
    }

    /// Has nothing tried before a point in time.
    pub async fn wait_until(&self, app: &AppName, retry_at: i64) -> Result<(), StoreError> {
        let change = sqlx::query(change!("retry_at = ?")).bind(retry_at);
        self.update(app, change).await
    }

    /// Runs a `change!`, of which only the app is still to be bound.
    async fn update<'q>(
        &self,
        app: &'q AppName,
        change: Query<'q, Sqlite, SqliteArguments>,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let done = change.bind(app.as_str()).execute(&mut *tx).await?;
        must_touch(done.rows_affected(), app)?;
        tx.commit().await?;
        Ok(())
    }

    /// Writes down that something is asked of an authority, before it is: what a crash leaves behind counts.
    pub async fn begin_order(&self, directory: &str, hosts: &str) -> Result<i64, StoreError> {
        let mut tx = self.0.write().await?;
        sqlx::query("DELETE FROM acme_orders WHERE at < ?")
            .bind(now() - REMEMBERED)
            .execute(&mut *tx)
            .await?;
        let id = sqlx::query(
            "INSERT INTO acme_orders (directory, hosts, outcome, at) VALUES (?, ?, 'pending', ?)",
        )
        .bind(directory)
        .bind(hosts)
        .bind(now())
        .execute(&mut *tx)
        .await?
        .last_insert_rowid();
        tx.commit().await?;
        Ok(id)
    }

    /// Writes down how an order ended.
    pub async fn end_order(&self, id: i64, outcome: OrderOutcome) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let change = match outcome {
            OrderOutcome::Issued => "UPDATE acme_orders SET outcome = 'issued' WHERE id = ?",
            OrderOutcome::Failed => "UPDATE acme_orders SET outcome = 'failed' WHERE id = ?",
            OrderOutcome::Unasked => "DELETE FROM acme_orders WHERE id = ?",
        };
        sqlx::query(change).bind(id).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What was asked of an authority lately.
    pub async fn orders_lately(
        &self,
        directory: &str,
        hosts: &str,
    ) -> Result<OrdersLately, StoreError> {
        let row = sqlx::query(
            "SELECT count(*) FILTER (WHERE at > ?1 - 10800) AS recent, \
             count(*) FILTER (WHERE hosts = ?3 AND outcome = 'issued' AND at > ?1 - 604800) AS same, \
             count(*) FILTER (WHERE hosts = ?3 AND outcome = 'failed' AND at > ?1 - 3600) AS failed, \
             min(at) FILTER (WHERE hosts = ?3 AND outcome = 'failed' AND at > ?1 - 3600) AS first \
             FROM acme_orders WHERE directory = ?2",
        )
        .bind(now())
        .bind(directory)
        .bind(hosts)
        .fetch_one(&mut *self.0.read().await?)
        .await?;
        Ok(OrdersLately {
            recent: row.try_get("recent")?,
            same_names: row.try_get("same")?,
            failed: row.try_get("failed")?,
            first_failed_at: row.try_get("first")?,
        })
    }
}

/// Whether certificates are wanted for an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Yes,
    /// Not even when all others get one by themselves.
    No,
}

fn state(row: &SqliteRow) -> Result<AcmeState, StoreError> {
    Ok(AcmeState {
        is_enabled: row.try_get("is_enabled")?,
        failures: row.try_get("failures")?,
        retry_at: row.try_get("retry_at")?,
        error: row.try_get("error")?,
        renew_at: row.try_get("renew_at")?,
    })
}

#[cfg(test)]
mod tests;
