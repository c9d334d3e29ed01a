//! Certificates of apps, with sealed keys. The ones that were replaced last are kept, to go back to.

use sarsen_domain::{AppName, Secret};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::rows::{app_id, now, parsed, words};
use crate::seal::{Place, Sealer};
use crate::{Store, StoreError};

/// How many replaced ones an app keeps.
const KEPT: i64 = 3;

/// The certificates of a [`Store`].
pub struct AppCertificates<'a>(pub(crate) &'a Store);

/// Where a certificate came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateSource {
    /// A person brought it.
    Imported,
    /// Self-signed here.
    Generated,
    /// An ACME authority gave it.
    Acme,
}

/// A certificate of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCertificate {
    pub id: i64,
    pub source: CertificateSource,
    /// PEM.
    pub chain: String,
    /// PEM.
    pub key: Secret<String>,
    pub created_at: i64,
}

/// The certificate to be.
#[derive(Debug, Clone)]
pub struct NewCertificate {
    pub source: CertificateSource,
    pub chain: String,
    pub key: Secret<String>,
}

words!(CertificateSource, "source of certificates":
    Imported = "imported",
    Generated = "generated",
    Acme = "acme",
);

impl AppCertificates<'_> {
    /// Makes this the app's certificate; the one before is kept for a while.
    pub async fn set(&self, app: &AppName, new: &NewCertificate) -> Result<i64, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        retire(&mut tx, app_id).await?;
        let id = insert(&mut tx, &self.0.sealer, app_id, new).await?;
        sqlx::query(
            "DELETE FROM certificates WHERE app_id = ?1 AND is_current = 0 AND id NOT IN \
             (SELECT id FROM certificates WHERE app_id = ?1 AND is_current = 0 ORDER BY id DESC LIMIT ?2)",
        )
        .bind(app_id)
        .bind(KEPT)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The app's certificate.
    pub async fn get(&self, app: &AppName) -> Result<Option<StoredCertificate>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let row = sqlx::query("SELECT * FROM certificates WHERE app_id = ? AND is_current = 1")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
        row.map(|row| self.open(&row)).transpose()
    }

    /// One by its id.
    pub async fn by_id(&self, id: i64) -> Result<Option<StoredCertificate>, StoreError> {
        let row = sqlx::query("SELECT * FROM certificates WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *self.0.read().await?)
            .await?;
        row.map(|row| self.open(&row)).transpose()
    }

    /// Whether the app has one.
    pub async fn exists(&self, app: &AppName) -> Result<bool, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let found: Option<i64> =
            sqlx::query_scalar("SELECT 1 FROM certificates WHERE app_id = ? AND is_current = 1")
                .bind(id)
                .fetch_optional(&mut *connection)
                .await?;
        Ok(found.is_some())
    }

    /// Every app that has one, and its id.
    pub async fn current(&self) -> Result<Vec<(AppName, i64)>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.name, c.id FROM certificates c JOIN apps a ON a.id = c.app_id \
             WHERE c.is_current = 1 ORDER BY a.name",
        )
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        rows.iter()
            .map(|row| Ok((parsed(row, "name")?, row.try_get("id")?)))
            .collect()
    }

    /// Removes the app's certificate and those kept beside it; whether there was one.
    pub async fn remove(&self, app: &AppName) -> Result<bool, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        let done = sqlx::query("DELETE FROM certificates WHERE app_id = ?")
            .bind(app_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Removes the ones that were replaced; how many there were.
    pub async fn forget_replaced(&self, app: &AppName) -> Result<u64, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        let done = sqlx::query("DELETE FROM certificates WHERE app_id = ? AND is_current = 0")
            .bind(app_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// Goes back to the certificate before the present one, which takes its place among the kept ones.
    pub async fn rollback(&self, app: &AppName) -> Result<Option<StoredCertificate>, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = app_id(&mut tx, app).await?;
        let row = sqlx::query(
            "SELECT * FROM certificates WHERE app_id = ? AND is_current = 0 ORDER BY id DESC LIMIT 1",
        )
        .bind(app_id)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let previous = self.open(&row)?;
        retire(&mut tx, app_id).await?;
        sqlx::query("UPDATE certificates SET is_current = 1 WHERE id = ?")
            .bind(previous.id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Some(previous))
    }

    fn open(&self, row: &SqliteRow) -> Result<StoredCertificate, StoreError> {
        let id = row.try_get("id")?;
        let key = self
            .0
            .sealer
            .open(&Place::Certificate { id }, row.try_get("key")?)?;
        Ok(StoredCertificate {
            id,
            source: parsed(row, "source")?,
            chain: row.try_get("chain")?,
            key: Secret::new(key),
            created_at: row.try_get("created_at")?,
        })
    }
}

/// Writes a certificate within the caller's transaction; no other one of the app may be in use.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
    app_id: i64,
    new: &NewCertificate,
) -> Result<i64, StoreError> {
    let id = sqlx::query(
        "INSERT INTO certificates (app_id, source, chain, key, is_current, created_at) \
         VALUES (?, ?, ?, x'', 1, ?)",
    )
    .bind(app_id)
    .bind(new.source.as_str())
    .bind(&new.chain)
    .bind(now())
    .execute(&mut *connection)
    .await?
    .last_insert_rowid();
    let sealed = sealer.seal(&Place::Certificate { id }, new.key.expose())?;
    sqlx::query("UPDATE certificates SET key = ? WHERE id = ?")
        .bind(sealed)
        .bind(id)
        .execute(connection)
        .await?;
    Ok(id)
}

async fn retire(connection: &mut SqliteConnection, app_id: i64) -> Result<(), StoreError> {
    sqlx::query("UPDATE certificates SET is_current = 0 WHERE app_id = ?")
        .bind(app_id)
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests;
