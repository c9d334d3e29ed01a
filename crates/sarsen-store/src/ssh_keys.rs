//! Public keys that may log in: each key once, each name once.

use sarsen_domain::{KeyName, Right, SshKey};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::rows::{now, parsed};
use crate::{Conflict, Store, StoreError, access};

/// The login keys of a [`Store`].
pub struct SshKeys<'a>(pub(crate) &'a Store);

impl SshKeys<'_> {
    /// Adds a key whose name and key are both new. It may do everything.
    pub async fn add(&self, key: &SshKey) -> Result<(), StoreError> {
        self.add_with(key, Some(Right::Admin)).await
    }

    /// The same for a key that may do nothing until it is given rights.
    pub async fn add_limited(&self, key: &SshKey) -> Result<(), StoreError> {
        self.add_with(key, None).await
    }

    async fn add_with(&self, key: &SshKey, right: Option<Right>) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        refuse_duplicate(&mut tx, key).await?;
        sqlx::query(
            "INSERT INTO ssh_keys (name, fingerprint, public_key, created_at) VALUES (?, ?, ?, ?)",
        )
        .bind(key.name.as_str())
        .bind(&key.fingerprint)
        .bind(&key.public_key)
        .bind(now())
        .execute(&mut *tx)
        .await?;
        if let Some(right) = right {
            access::put(&mut tx, &key.name, None, right).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// All keys, oldest first.
    pub async fn list(&self) -> Result<Vec<SshKey>, StoreError> {
        let rows = sqlx::query("SELECT name, fingerprint, public_key FROM ssh_keys ORDER BY rowid")
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter().map(from_row).collect()
    }

    /// The key that a client offers: `ssh-ed25519 AAAA…`, without comment.
    pub async fn find_by_public_key(&self, public_key: &str) -> Result<Option<SshKey>, StoreError> {
        let row =
            sqlx::query("SELECT name, fingerprint, public_key FROM ssh_keys WHERE public_key = ?")
                .bind(public_key)
                .fetch_optional(&mut *self.0.read().await?)
                .await?;
        row.as_ref().map(from_row).transpose()
    }

    /// The key with this fingerprint: `SHA256:…`.
    pub async fn find_by_fingerprint(
        &self,
        fingerprint: &str,
    ) -> Result<Option<SshKey>, StoreError> {
        let row =
            sqlx::query("SELECT name, fingerprint, public_key FROM ssh_keys WHERE fingerprint = ?")
                .bind(fingerprint)
                .fetch_optional(&mut *self.0.read().await?)
                .await?;
        row.as_ref().map(from_row).transpose()
    }

    /// Removes the key with this name; it comes back.
    pub async fn remove_by_name(&self, name: &KeyName) -> Result<SshKey, StoreError> {
        let sql = "DELETE FROM ssh_keys WHERE name = ? RETURNING name, fingerprint, public_key";
        self.remove(sql, name.as_str()).await
    }

    /// Removes the key with this fingerprint; it comes back.
    pub async fn remove_by_fingerprint(&self, fingerprint: &str) -> Result<SshKey, StoreError> {
        let sql =
            "DELETE FROM ssh_keys WHERE fingerprint = ? RETURNING name, fingerprint, public_key";
        self.remove(sql, fingerprint).await
    }

    async fn remove(&self, sql: &'static str, which: &str) -> Result<SshKey, StoreError> {
        let mut tx = self.0.write().await?;
        let row = sqlx::query(sql)
            .bind(which)
            .fetch_optional(&mut *tx)
            .await?;
        let row = row.ok_or_else(|| StoreError::no_such(format!("SSH key {which}")))?;
        let key = from_row(&row)?;
        tx.commit().await?;
        Ok(key)
    }
}

async fn refuse_duplicate(
    connection: &mut SqliteConnection,
    key: &SshKey,
) -> Result<(), StoreError> {
    let row = sqlx::query(
        "SELECT name FROM ssh_keys WHERE name = ?1 OR fingerprint = ?2 OR public_key = ?3 \
         ORDER BY name = ?1 DESC LIMIT 1",
    )
    .bind(key.name.as_str())
    .bind(&key.fingerprint)
    .bind(&key.public_key)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let holder: KeyName = parsed(&row, "name")?;
    Err(if holder == key.name {
        Conflict::KeyName(holder).into()
    } else {
        Conflict::PublicKey(holder).into()
    })
}

fn from_row(row: &SqliteRow) -> Result<SshKey, StoreError> {
    Ok(SshKey {
        name: parsed(row, "name")?,
        fingerprint: row.try_get("fingerprint")?,
        public_key: row.try_get("public_key")?,
    })
}

#[cfg(test)]
mod tests;
