//! Properties that hold passwords: their values are sealed like config vars, and kept as text with a mark before it.

use std::fmt::Write;

use sqlx::{Row, SqliteConnection};

use crate::StoreError;
use crate::seal::{Place, Sealer};

/// Plugin and key. Addresses of log sinks carry user names, passwords and tokens.
const SEALED: [(&str, &str); 2] = [("logs", "vector-sink"), ("logs", "vector-cron-sink")];

/// No value begins with a control character: concerns refuse them.
const MARK: &str = "\u{1}sealed:";

/// Whether this property's value is a secret, which belongs in no file and no output.
pub fn is_sealed_property(plugin: &str, key: &str) -> bool {
    SEALED.contains(&(plugin, key))
}

/// The value as it is stored.
pub(crate) fn close(
    sealer: &Sealer,
    app_id: Option<i64>,
    (plugin, key): (&str, &str),
    value: &str,
) -> Result<String, StoreError> {
    if !is_sealed_property(plugin, key) {
        return Ok(value.to_owned());
    }
    let place = Place::Property {
        app_id,
        plugin,
        key,
    };
    let mut text = MARK.to_owned();
    for byte in sealer.seal(&place, value)? {
        // Writing to a string does not fail.
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    Ok(text)
}

/// The value that was stored.
pub(crate) fn open(
    sealer: &Sealer,
    app_id: Option<i64>,
    (plugin, key): (&str, &str),
    stored: String,
) -> Result<String, StoreError> {
    let Some(digits) = stored.strip_prefix(MARK) else {
        return Ok(stored);
    };
    let place = Place::Property {
        app_id,
        plugin,
        key,
    };
    sealer.open(&place, &bytes(digits))
}

/// What is no pair of digits becomes a byte that does not open.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    };
    pairs.map(|pair| byte(pair).unwrap_or_default()).collect()
}

/// Seals what earlier versions wrote in the clear.
pub(crate) async fn seal_plain(
    connection: &mut SqliteConnection,
    sealer: &Sealer,
) -> Result<(), StoreError> {
    for (plugin, key) in SEALED {
        let rows =
            sqlx::query("SELECT rowid, app_id, value FROM properties WHERE plugin = ? AND key = ?")
                .bind(plugin)
                .bind(key)
                .fetch_all(&mut *connection)
                .await?;
        for row in rows {
            let value: String = row.try_get("value")?;
            if value.starts_with(MARK) {
                continue;
            }
            let row_id: i64 = row.try_get("rowid")?;
            sqlx::query("UPDATE properties SET value = ? WHERE rowid = ?")
                .bind(close(
                    sealer,
                    row.try_get("app_id")?,
                    (plugin, key),
                    &value,
                )?)
                .bind(row_id)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}
