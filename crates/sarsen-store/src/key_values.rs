//! The key-value store behind the Consul API: keys, the sessions that may lock them, and the index of the last change.
//! It is read once, at the start; afterwards only changes come here.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::rows::narrowed;
use crate::{Store, StoreError};

/// The key-value side of a [`Store`].
pub struct KeyValues<'a>(pub(crate) &'a Store);

/// A key and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    pub key: String,
    pub value: Vec<u8>,
    /// The client's own.
    pub flags: u64,
    /// How often it was locked.
    pub lock_index: u64,
    /// Who holds the lock.
    pub session: Option<String>,
    pub create_index: u64,
    pub modify_index: u64,
}

/// What may hold locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvSession {
    pub id: String,
    pub name: String,
    pub node: String,
    /// Milliseconds; 0 when it does not expire.
    pub ttl: u64,
    /// Milliseconds for which nobody gets a lock whose holder vanished.
    pub lock_delay: u64,
    /// Whether its keys are deleted with it, instead of being unlocked.
    pub deletes: bool,
    pub node_checks: Vec<String>,
    pub service_checks: Vec<String>,
    pub create_index: u64,
    pub modify_index: u64,
}

/// Everything there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvState {
    pub entries: Vec<KvEntry>,
    pub sessions: Vec<KvSession>,
    pub index: u64,
}

/// What a change leaves behind: the rows that are new or other, and those that are gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KvChange {
    pub index: u64,
    pub entries: Vec<KvEntry>,
    pub removed_entries: Vec<String>,
    pub sessions: Vec<KvSession>,
    pub removed_sessions: Vec<String>,
}

impl KeyValues<'_> {
    /// Reads all of it.
    pub async fn load(&self) -> Result<KvState, StoreError> {
        let mut connection = self.0.read().await?;
        let entries = sqlx::query("SELECT * FROM kv_entries")
            .fetch_all(&mut *connection)
            .await?;
        let sessions = sqlx::query("SELECT * FROM kv_sessions")
            .fetch_all(&mut *connection)
            .await?;
        let index = sqlx::query("SELECT value FROM kv_index")
            .fetch_one(&mut *connection)
            .await?;
        Ok(KvState {
            entries: entries.iter().map(entry).collect::<Result<_, _>>()?,
            sessions: sessions.iter().map(session).collect::<Result<_, _>>()?,
            index: narrowed(&index, "value")?,
        })
    }

    /// Writes a change down, whole or not at all.
    pub async fn apply(&self, change: &KvChange) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        for key in &change.removed_entries {
            sqlx::query("DELETE FROM kv_entries WHERE key = ?")
                .bind(key)
                .execute(&mut *tx)
                .await?;
        }
        for id in &change.removed_sessions {
            sqlx::query("DELETE FROM kv_sessions WHERE id = ?")
                .bind(id)
                .execute(&mut *tx)
                .await?;
        }
        for entry in &change.entries {
            put_entry(&mut tx, entry).await?;
        }
        for session in &change.sessions {
            put_session(&mut tx, session).await?;
        }
        sqlx::query("UPDATE kv_index SET value = ?")
            .bind(stored(change.index))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn put_entry(connection: &mut SqliteConnection, entry: &KvEntry) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO kv_entries \
         (key, value, flags, lock_index, session, create_index, modify_index) VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&entry.key)
    .bind(&entry.value)
    .bind(stored(entry.flags))
    .bind(stored(entry.lock_index))
    .bind(&entry.session)
    .bind(stored(entry.create_index))
    .bind(stored(entry.modify_index))
    .execute(connection)
    .await?;
    Ok(())
}

async fn put_session(
    connection: &mut SqliteConnection,
    session: &KvSession,
) -> Result<(), StoreError> {
    let list = |checks: &[String]| serde_json::Value::from(checks).to_string();
    sqlx::query(
        "INSERT OR REPLACE INTO kv_sessions (id, name, node, ttl, lock_delay, deletes, node_checks, \
         service_checks, create_index, modify_index) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&session.id)
    .bind(&session.name)
    .bind(&session.node)
    .bind(stored(session.ttl))
    .bind(stored(session.lock_delay))
    .bind(session.deletes)
    .bind(list(&session.node_checks))
    .bind(list(&session.service_checks))
    .bind(stored(session.create_index))
    .bind(stored(session.modify_index))
    .execute(connection)
    .await?;
    Ok(())
}

/// All 64 bits, in SQLite's signed ones.
fn stored(number: u64) -> i64 {
    number.cast_signed()
}

fn number(row: &SqliteRow, column: &str) -> Result<u64, StoreError> {
    Ok(row.try_get::<i64, _>(column)?.cast_unsigned())
}

fn entry(row: &SqliteRow) -> Result<KvEntry, StoreError> {
    Ok(KvEntry {
        key: row.try_get("key")?,
        value: row.try_get("value")?,
        flags: number(row, "flags")?,
        lock_index: number(row, "lock_index")?,
        session: row.try_get("session")?,
        create_index: number(row, "create_index")?,
        modify_index: number(row, "modify_index")?,
    })
}

fn session(row: &SqliteRow) -> Result<KvSession, StoreError> {
    let list = |column: &str| -> Result<Vec<String>, StoreError> {
        let text: String = row.try_get(column)?;
        serde_json::from_str(&text).map_err(|error| StoreError::corrupt(column, error))
    };
    Ok(KvSession {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        node: row.try_get("node")?,
        ttl: number(row, "ttl")?,
        lock_delay: number(row, "lock_delay")?,
        deletes: row.try_get("deletes")?,
        node_checks: list("node_checks")?,
        service_checks: list("service_checks")?,
        create_index: number(row, "create_index")?,
        modify_index: number(row, "modify_index")?,
    })
}

#[cfg(test)]
mod tests;
