//! Tokens of programs: each stands for whoever made it, and for no more than it was made for.

use sarsen_domain::{AppName, Right, Rights};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use super::{Holder, SecretHash};
use crate::rows::{app_id, is_duplicate, now, parsed, parsed_option};
use crate::{Store, StoreError};

/// The tokens of a [`Store`].
pub struct ApiTokens<'a>(pub(crate) &'a Store);

/// A token to be.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    pub name: &'a str,
    pub hash: SecretHash,
    pub holder: &'a Holder,
    /// The most that it may do.
    pub limit: &'a Rights,
    pub expires_at: Option<i64>,
}

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    pub id: i64,
    pub name: String,
    pub holder: Holder,
    /// The most that it may do.
    pub limit: Rights,
    /// Unix seconds, as the others.
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub used_at: Option<i64>,
}

impl ApiTokens<'_> {
    /// Writes a token down under a name that none has.
    pub async fn create(&self, new: &NewToken<'_>) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = sqlx::query(
            "INSERT INTO api_tokens (name, hash, key, user, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(new.name)
        .bind(new.hash.as_slice())
        .bind(new.holder.key())
        .bind(new.holder.name())
        .bind(now())
        .bind(new.expires_at)
        .execute(&mut *tx)
        .await
        .map_err(|error| match is_duplicate(&error) {
            true => crate::Conflict::TokenName(new.name.to_owned()).into(),
            false => StoreError::from(error),
        })?
        .last_insert_rowid();
        if let Some(right) = new.limit.everywhere {
            allow(&mut tx, id, None, right).await?;
        }
        for (app, right) in &new.limit.apps {
            let app = app_id(&mut tx, app).await?;
            allow(&mut tx, id, Some(app), *right).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The token with this secret.
    pub async fn find(&self, hash: &SecretHash) -> Result<Option<ApiToken>, StoreError> {
        let mut connection = self.0.read().await?;
        let row = sqlx::query("SELECT * FROM api_tokens WHERE hash = ?")
            .bind(hash.as_slice())
            .fetch_optional(&mut *connection)
            .await?;
        match row {
            Some(row) => from_row(&mut connection, &row).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether a token is there and has not ended.
    pub async fn exists(&self, id: i64) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar(
            "SELECT 1 FROM api_tokens WHERE id = ? AND ifnull(expires_at, ?2) >= ?2",
        )
        .bind(id)
        .bind(now())
        .fetch_optional(&mut *self.0.read().await?)
        .await?;
        Ok(found.is_some())
    }

    /// Every token by name.
    pub async fn list(&self) -> Result<Vec<ApiToken>, StoreError> {
        let mut connection = self.0.read().await?;
        let rows = sqlx::query("SELECT * FROM api_tokens ORDER BY name")
            .fetch_all(&mut *connection)
            .await?;
        let mut tokens = Vec::with_capacity(rows.len());
        for row in &rows {
            tokens.push(from_row(&mut connection, row).await?);
        }
        Ok(tokens)
    }

    /// Notes that a token is in use.
    pub async fn used(&self, id: i64, at: i64) -> Result<(), StoreError> {
        let statement = sqlx::query("UPDATE api_tokens SET used_at = ? WHERE id = ?")
            .bind(at)
            .bind(id);
        self.0.change(statement).await?;
        Ok(())
    }

    /// Takes a token back; false when there is none.
    pub async fn revoke(&self, id: i64) -> Result<bool, StoreError> {
        let statement = sqlx::query("DELETE FROM api_tokens WHERE id = ?").bind(id);
        let done = self.0.change(statement).await?;
        Ok(done.rows_affected() > 0)
    }
}

async fn allow(
    connection: &mut SqliteConnection,
    token: i64,
    app: Option<i64>,
    right: Right,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO api_token_rights (token_id, app_id, level) VALUES (?, ?, ?)")
        .bind(token)
        .bind(app)
        .bind(right.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn from_row(
    connection: &mut SqliteConnection,
    row: &SqliteRow,
) -> Result<ApiToken, StoreError> {
    let id: i64 = row.try_get("id")?;
    let rows = sqlx::query(
        "SELECT t.level, a.name AS app FROM api_token_rights t LEFT JOIN apps a ON a.id = t.app_id \
         WHERE t.token_id = ?",
    )
    .bind(id)
    .fetch_all(connection)
    .await?;
    let mut limit = Rights::default();
    for row in &rows {
        let right: Right = parsed(row, "level")?;
        match parsed_option::<AppName>(row, "app")? {
            Some(app) => drop(limit.apps.insert(app, right)),
            None => limit.everywhere = Some(right),
        }
    }
    Ok(ApiToken {
        id,
        name: row.try_get("name")?,
        holder: Holder::of(row)?,
        limit,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        used_at: row.try_get("used_at")?,
    })
}
