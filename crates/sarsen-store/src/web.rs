//! Who is signed in to the dashboard, and the tokens of programs. Only hashes of what opens a door are kept.

#[cfg(test)]
mod tests;
mod tokens;

use std::net::IpAddr;

use sarsen_domain::KeyName;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::rows::{limit, now, parsed_option};
use crate::{Store, StoreError};

pub use tokens::{ApiToken, ApiTokens, NewToken};

/// What opens a door, hashed.
pub type SecretHash = [u8; 32];

/// The links and sessions of a [`Store`].
pub struct WebSessions<'a>(pub(crate) &'a Store);

/// Whoever a session or a token stands for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Somebody on the host, by login name.
    Local {
        /// The login name.
        user: String,
    },
    /// The holder of a key.
    Key {
        /// The key's name.
        name: KeyName,
    },
}

/// Somebody who signs in.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    pub hash: SecretHash,
    pub csrf: &'a str,
    pub source: Option<IpAddr>,
    /// What the browser calls itself.
    pub agent: &'a str,
}

/// Somebody who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRecord {
    pub id: i64,
    pub holder: Holder,
    pub csrf: String,
    /// Unix seconds, as the others.
    pub created_at: i64,
    pub seen_at: i64,
    pub rotated_at: i64,
    /// The secret that was shown is the one before the last rotation.
    pub is_previous: bool,
    pub source: Option<IpAddr>,
    pub agent: String,
}

impl Holder {
    /// The name shown to people.
    pub fn name(&self) -> &str {
        match self {
            Self::Local { user } => user,
            Self::Key { name } => name.as_str(),
        }
    }

    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Local { .. } => None,
            Self::Key { name } => Some(name.as_str()),
        }
    }

    pub(crate) fn of(row: &SqliteRow) -> Result<Self, StoreError> {
        Ok(match parsed_option(row, "key")? {
            Some(name) => Self::Key { name },
            None => Self::Local {
                user: row.try_get("user")?,
            },
        })
    }
}

impl WebSessions<'_> {
    /// Writes a link down. Of those that wait, the newest `most` stay.
    pub async fn add_link(
        &self,
        hash: &SecretHash,
        holder: &Holder,
        expires_at: i64,
        most: usize,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        sqlx::query("INSERT INTO web_links (hash, key, user, expires_at) VALUES (?, ?, ?, ?)")
            .bind(hash.as_slice())
            .bind(holder.key())
            .bind(holder.name())
            .bind(expires_at)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "DELETE FROM web_links WHERE expires_at <= ?1 OR hash NOT IN \
             (SELECT hash FROM web_links ORDER BY expires_at DESC LIMIT ?2)",
        )
        .bind(now())
        .bind(limit(most))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether such a link waits.
    pub async fn has_link(&self, hash: &SecretHash) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM web_links WHERE hash = ?")
            .bind(hash.as_slice())
            .fetch_optional(&mut *self.0.read().await?)
            .await?;
        Ok(found.is_some())
    }

    /// Uses a link up and opens a session in its place, in one transaction.
    pub async fn redeem(
        &self,
        link: &SecretHash,
        new: &NewSession<'_>,
        at: i64,
    ) -> Result<Option<Holder>, StoreError> {
        let mut tx = self.0.write().await?;
        let row = sqlx::query(
            "DELETE FROM web_links WHERE hash = ? AND expires_at > ? RETURNING key, user",
        )
        .bind(link.as_slice())
        .bind(at)
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let holder = Holder::of(&row)?;
        sqlx::query(
            "INSERT INTO web_sessions (hash, rotated_at, csrf, key, user, created_at, seen_at, source_ip, agent) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?2, ?2, ?6, ?7)",
        )
        .bind(new.hash.as_slice())
        .bind(at)
        .bind(new.csrf)
        .bind(holder.key())
        .bind(holder.name())
        .bind(new.source.map(|ip| ip.to_string()))
        .bind(new.agent)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(holder))
    }

    /// Whose secret this is: a session's, or the one that it had before its last rotation.
    pub async fn find(&self, hash: &SecretHash) -> Result<Option<SessionRecord>, StoreError> {
        let row = sqlx::query(
            "SELECT *, previous_hash IS ?1 AS is_previous FROM web_sessions \
             WHERE hash = ?1 OR previous_hash = ?1",
        )
        .bind(hash.as_slice())
        .fetch_optional(&mut *self.0.read().await?)
        .await?;
        row.as_ref().map(from_row).transpose()
    }

    /// Notes that a session is in use.
    pub async fn seen(&self, id: i64, at: i64) -> Result<(), StoreError> {
        let statement = sqlx::query("UPDATE web_sessions SET seen_at = ? WHERE id = ?")
            .bind(at)
            .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Gives a session another secret; false when somebody else has just done so.
    pub async fn rotate(
        &self,
        old: &SecretHash,
        new: &SecretHash,
        at: i64,
    ) -> Result<bool, StoreError> {
        let statement = sqlx::query(
            "UPDATE web_sessions SET previous_hash = hash, hash = ?2, rotated_at = ?3, seen_at = ?3 WHERE hash = ?1",
        )
        .bind(old.as_slice())
        .bind(new.as_slice())
        .bind(at);
        let done = self.0.change(statement).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Whether a session is there.
    pub async fn exists(&self, id: i64) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar("SELECT 1 FROM web_sessions WHERE id = ?")
            .bind(id)
            .fetch_optional(&mut *self.0.read().await?)
            .await?;
        Ok(found.is_some())
    }

    /// Every session, newest first.
    pub async fn list(&self) -> Result<Vec<SessionRecord>, StoreError> {
        let rows = sqlx::query("SELECT *, 0 AS is_previous FROM web_sessions ORDER BY id DESC")
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter().map(from_row).collect()
    }

    /// Ends a session; false when there is none.
    pub async fn end(&self, id: i64) -> Result<bool, StoreError> {
        let statement = sqlx::query("DELETE FROM web_sessions WHERE id = ?").bind(id);
        let done = self.0.change(statement).await?;
        Ok(done.rows_affected() > 0)
    }

    /// Ends those that were opened, or used last, too long ago; of the others, all but the newest `most`.
    pub async fn prune(
        &self,
        created_before: i64,
        seen_before: i64,
        most: usize,
    ) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "DELETE FROM web_sessions WHERE created_at < ?1 OR seen_at < ?2 OR id NOT IN \
             (SELECT id FROM web_sessions ORDER BY id DESC LIMIT ?3)",
        )
        .bind(created_before)
        .bind(seen_before)
        .bind(limit(most));
        self.0.change(statement).await?;
        Ok(())
    }
}

fn from_row(row: &SqliteRow) -> Result<SessionRecord, StoreError> {
    Ok(SessionRecord {
        id: row.try_get("id")?,
        holder: Holder::of(row)?,
        csrf: row.try_get("csrf")?,
        created_at: row.try_get("created_at")?,
        seen_at: row.try_get("seen_at")?,
        rotated_at: row.try_get("rotated_at")?,
        is_previous: row.try_get("is_previous")?,
        source: parsed_option(row, "source_ip")?,
        agent: row.try_get("agent")?,
    })
}
