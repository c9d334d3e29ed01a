//! From rows to domain types, and the few look-ups that every noun needs.

use std::fmt::Display;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use sarsen_domain::AppName;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::{Scope, StoreError};

/// An enum's words, as rows and people have them: each is written down once.
macro_rules! words {
    ($kind:ident, $what:literal: $($value:ident = $word:literal),+ $(,)?) => {
        impl $kind {
            /// The word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }
        }

        impl std::str::FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$value),)+
                    other => Err(format!(concat!("no ", $what, ": {}"), other)),
                }
            }
        }
    };
}
pub(crate) use words;

/// A text column as the type it was made from.
pub(crate) fn parsed<T>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: FromStr<Err: Display>,
{
    parse(column, row.try_get(column)?)
}

/// A text column that can be NULL.
pub(crate) fn parsed_option<T>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, StoreError>
where
    T: FromStr<Err: Display>,
{
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| parse(column, text)).transpose()
}

/// Text as the type it was made from.
pub(crate) fn parse<T>(column: &str, text: &str) -> Result<T, StoreError>
where
    T: FromStr<Err: Display>,
{
    text.parse()
        .map_err(|error| StoreError::corrupt(column, error))
}

/// An integer column as a narrower type.
pub(crate) fn narrowed<T: TryFrom<i64>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, StoreError> {
    narrow(column, row.try_get(column)?)
}

/// An integer column that can be NULL.
pub(crate) fn narrowed_option<T: TryFrom<i64>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    let value: Option<i64> = row.try_get(column)?;
    value.map(|value| narrow(column, value)).transpose()
}

fn narrow<T: TryFrom<i64>>(column: &str, value: i64) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::corrupt(column, format!("{value} is out of range")))
}

/// The id of an app, which lasts through a rename.
pub(crate) async fn app_id(
    connection: &mut SqliteConnection,
    app: &AppName,
) -> Result<i64, StoreError> {
    sqlx::query_scalar("SELECT id FROM apps WHERE name = ?")
        .bind(app.as_str())
        .fetch_optional(connection)
        .await?
        .ok_or_else(|| StoreError::NoSuchApp(app.clone()))
}

/// The `app_id` that rows of this scope have.
pub(crate) async fn scope_id(
    connection: &mut SqliteConnection,
    scope: &Scope,
) -> Result<Option<i64>, StoreError> {
    match scope {
        Scope::Global => Ok(None),
        Scope::App(app) => app_id(connection, app).await.map(Some),
    }
}

/// Fails with "App … does not exist" when an update by name found nothing.
pub(crate) fn must_touch(rows: u64, app: &AppName) -> Result<(), StoreError> {
    if rows == 0 {
        return Err(StoreError::NoSuchApp(app.clone()));
    }
    Ok(())
}

/// The rows of a query that gathers them with `json_group_array`. For those that grow with the number of apps or with
/// time: each row that comes over by itself wakes a thread, and a thousand of them would cost more than all the rest.
pub(crate) fn gathered<T: DeserializeOwned>(
    what: &'static str,
    text: &str,
) -> Result<Vec<T>, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::corrupt(what, error))
}

/// Ids as one bind value, to be unfolded by `json_each`.
pub(crate) fn json_list<T: Into<serde_json::Value>>(items: impl IntoIterator<Item = T>) -> String {
    serde_json::Value::Array(items.into_iter().map(Into::into).collect()).to_string()
}

/// A count as SQLite takes it; more than it can count means "all".
pub(crate) fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Unix seconds.
pub(crate) fn now() -> i64 {
    now_ms() / 1000
}

/// Whether the statement failed because the row is there already.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
