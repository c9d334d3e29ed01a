//! The whole store as text, for tests that hold it before a command against after it.

use sqlx::{AssertSqlSafe, Row};

use crate::{Store, StoreError};

/// Grows with every command, also with those that fail.
const LEFT_OUT: &str = "events";

impl Store {
    /// Every row of every table but the audit trail.
    pub async fn dump(&self) -> Result<String, StoreError> {
        let mut connection = self.read().await?;
        let tables = sqlx::query(
            "SELECT m.name AS name, group_concat('quote(\"' || c.name || '\")', ' || '','' || ') AS row \
             FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' GROUP BY m.name ORDER BY m.name",
        )
        .fetch_all(&mut *connection)
        .await?;
        let mut text = String::new();
        for table in tables {
            let (name, row): (String, String) = (table.try_get("name")?, table.try_get("row")?);
            if name == LEFT_OUT {
                continue;
            }
            // Both come from the schema, not from anybody's input.
            let sql = format!("SELECT {row} FROM \"{name}\" ORDER BY 1");
            let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_all(&mut *connection)
                .await?;
            for row in rows {
                text.push_str(&format!("{name}: {row}\n"));
            }
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use crate::test_support::{TestStore, app};

    #[tokio::test]
    async fn every_change_shows() {
        let store = TestStore::with_apps(&["a"]).await;
        let before = store.dump().await.unwrap();
        assert!(before.contains("apps: 1,'a',"), "{before}");
        assert_eq!(before, store.dump().await.unwrap());
        let scope = app("a").into();
        store
            .properties()
            .set(&scope, "git", "deploy-branch", "x")
            .await
            .unwrap();
        assert_ne!(before, store.dump().await.unwrap());
    }
}
