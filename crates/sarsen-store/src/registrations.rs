//! What others registered in the service catalog: services, checks, nodes. Whoever keeps the catalog knows how to
//! read them.

use sqlx::Row;

use crate::seal::Place;
use crate::{Store, StoreError};

/// The registrations of a [`Store`].
pub struct Registrations<'a>(pub(crate) &'a Store);

/// What a registration is kept under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationKey {
    /// `service`, `check` or `node`.
    pub kind: &'static str,
    /// Empty for this host.
    pub node: String,
    /// Unique with the two others.
    pub id: String,
}

impl Registrations<'_> {
    /// All of them, opened.
    pub async fn all(&self) -> Result<Vec<String>, StoreError> {
        let query = "SELECT kind, node, id, sealed FROM registrations ORDER BY kind, node, id";
        let rows = sqlx::query(query)
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        let open = |row: &sqlx::sqlite::SqliteRow| {
            let place = Place::Registration {
                kind: row.try_get("kind")?,
                node: row.try_get("node")?,
                id: row.try_get("id")?,
            };
            self.0.sealer.open(&place, row.try_get("sealed")?)
        };
        rows.iter().map(open).collect()
    }

    /// Forgets some, then writes others down, in one transaction.
    pub async fn change(
        &self,
        kept: &[(RegistrationKey, String)],
        gone: &[RegistrationKey],
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        for key in gone {
            sqlx::query("DELETE FROM registrations WHERE kind = ? AND node = ? AND id = ?")
                .bind(key.kind)
                .bind(&key.node)
                .bind(&key.id)
                .execute(&mut *tx)
                .await?;
        }
        for (key, text) in kept {
            let place = Place::Registration {
                kind: key.kind,
                node: &key.node,
                id: &key.id,
            };
            sqlx::query(
                "INSERT OR REPLACE INTO registrations (kind, node, id, sealed) VALUES (?, ?, ?, ?)",
            )
            .bind(key.kind)
            .bind(&key.node)
            .bind(&key.id)
            .bind(self.0.sealer.seal(&place, text)?)
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::TestStore;

    fn key(node: &str, id: &str) -> RegistrationKey {
        RegistrationKey {
            kind: "check",
            node: node.to_owned(),
            id: id.to_owned(),
        }
    }

    #[tokio::test]
    async fn registrations_come_back_and_are_nowhere_in_the_open() {
        let store = TestStore::new().await;
        let one = |text: &str| vec![(key("", "db"), text.to_owned())];
        let registrations = store.registrations();
        registrations
            .change(&one("password hunter22"), &[])
            .await
            .unwrap();
        registrations.change(&one("hunter23"), &[]).await.unwrap();
        let elsewhere = [(key("far", "db"), "there".to_owned())];
        registrations.change(&elsewhere, &[]).await.unwrap();
        let store = store.reopened().await;
        assert_eq!(
            store.registrations().all().await.unwrap(),
            ["hunter23", "there"]
        );
        assert!(!store.dump().await.unwrap().contains("hunter2"));
        store
            .registrations()
            .change(&[], &[key("far", "db"), key("", "never")])
            .await
            .unwrap();
        // Sealed for its place: moved to another one it does not open.
        store.tamper("UPDATE registrations SET id = 'other'").await;
        assert!(store.registrations().all().await.is_err());
    }
}
