//! The audit trail: who did what to which object, each entry chained to the one before it by a hash, so that an entry
//! that is altered or taken out of the middle shows.

use std::net::IpAddr;

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::rows::{limit, now_ms, parsed_option};
use crate::{Store, StoreError};

/// How many entries a check of the chain holds in memory at once.
const PAGE: i64 = 1000;

/// The audit trail of a [`Store`].
pub struct Events<'a>(pub(crate) &'a Store);

/// What is about to be recorded.
#[derive(Debug, Clone, Copy)]
pub struct NewEvent<'a> {
    /// A key's name, a login name.
    pub actor: &'a str,
    /// Where the actor's connection came from.
    pub source_ip: Option<IpAddr>,
    /// `config:set`
    pub action: &'a str,
    /// The app's name, usually.
    pub object: &'a str,
    /// Whatever else matters. Never a secret: this is kept in the clear.
    pub detail: &'a Value,
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub id: i64,
    /// Unix milliseconds.
    pub at_ms: i64,
    pub actor: String,
    pub source_ip: Option<IpAddr>,
    pub action: String,
    pub object: String,
    pub detail: Value,
}

impl Events<'_> {
    /// Adds an entry at the end of the chain.
    pub async fn append(&self, event: NewEvent<'_>) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let before: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT hash FROM events ORDER BY id DESC LIMIT 1")
                .fetch_optional(&mut *tx)
                .await?;
        let at_ms = now_ms();
        let source_ip = event.source_ip.map(|ip| ip.to_string());
        let detail = event.detail.to_string();
        let hash = Link {
            at_ms,
            actor: event.actor,
            source_ip: source_ip.as_deref(),
            action: event.action,
            object: event.object,
            detail: &detail,
        }
        .hash(&before.unwrap_or_default());
        sqlx::query(
            "INSERT INTO events (at_ms, actor, source_ip, action, object, detail, hash) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(at_ms)
        .bind(event.actor)
        .bind(source_ip)
        .bind(event.action)
        .bind(event.object)
        .bind(detail)
        .bind(hash)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The newest entries, newest first.
    pub async fn list(&self, count: usize) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query("SELECT * FROM events ORDER BY id DESC LIMIT ?")
            .bind(limit(count))
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter().map(from_row).collect()
    }

    /// The newest entries about one object, newest first.
    pub async fn of(&self, object: &str, count: usize) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query("SELECT * FROM events WHERE object = ? ORDER BY id DESC LIMIT ?")
            .bind(object)
            .bind(limit(count))
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter().map(from_row).collect()
    }

    /// Entries older than one of them, newest first.
    pub async fn before(&self, id: i64, count: usize) -> Result<Vec<Event>, StoreError> {
        let rows = sqlx::query("SELECT * FROM events WHERE id < ? ORDER BY id DESC LIMIT ?")
            .bind(id)
            .bind(limit(count))
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter().map(from_row).collect()
    }

    /// The id of the first entry that does not fit the chain, if there is one.
    pub async fn first_broken(&self) -> Result<Option<i64>, StoreError> {
        let mut connection = self.0.read().await?;
        let (mut last_id, mut before) = (0_i64, Vec::new());
        loop {
            let rows = sqlx::query("SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?")
                .bind(last_id)
                .bind(PAGE)
                .fetch_all(&mut *connection)
                .await?;
            if rows.is_empty() {
                return Ok(None);
            }
            for row in &rows {
                last_id = row.try_get("id")?;
                let hash: &[u8] = row.try_get("hash")?;
                if Link::of(row)?.hash(&before) != hash {
                    return Ok(Some(last_id));
                }
                before = hash.to_vec();
            }
        }
    }
}

/// The part of an entry that its hash covers.
struct Link<'a> {
    at_ms: i64,
    actor: &'a str,
    source_ip: Option<&'a str>,
    action: &'a str,
    object: &'a str,
    detail: &'a str,
}

impl<'a> Link<'a> {
    fn of(row: &'a SqliteRow) -> Result<Self, StoreError> {
        Ok(Self {
            at_ms: row.try_get("at_ms")?,
            actor: row.try_get("actor")?,
            source_ip: row.try_get("source_ip")?,
            action: row.try_get("action")?,
            object: row.try_get("object")?,
            detail: row.try_get("detail")?,
        })
    }

    fn hash(&self, before: &[u8]) -> Vec<u8> {
        let mut hasher = Sha256::new();
        hasher.update(before);
        hasher.update(self.at_ms.to_be_bytes());
        let source_ip = self.source_ip.unwrap_or_default();
        for field in [self.actor, source_ip, self.action, self.object, self.detail] {
            // With its length in front, text cannot be moved from one field to the next unseen.
            hasher.update((field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        hasher.finalize().to_vec()
    }
}

fn from_row(row: &SqliteRow) -> Result<Event, StoreError> {
    let detail: &str = row.try_get("detail")?;
    Ok(Event {
        id: row.try_get("id")?,
        at_ms: row.try_get("at_ms")?,
        actor: row.try_get("actor")?,
        source_ip: parsed_option(row, "source_ip")?,
        action: row.try_get("action")?,
        object: row.try_get("object")?,
        detail: serde_json::from_str(detail)
            .map_err(|error| StoreError::corrupt("detail", error))?,
    })
}

#[cfg(test)]
mod tests;
