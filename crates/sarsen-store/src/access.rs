//! What each key may do. A key's grants go with the key, and those on an app with the app.

use sarsen_domain::{AppName, KeyName, Right, Rights};
use sqlx::SqliteConnection;

use crate::rows::{parsed, parsed_option, scope_id};
use crate::{Scope, Store, StoreError};

/// The grants of a [`Store`].
pub struct Access<'a>(pub(crate) &'a Store);

/// A right of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub key: KeyName,
    /// None is everywhere.
    pub app: Option<AppName>,
    pub right: Right,
}

impl Access<'_> {
    /// Every grant, sorted by key, the one for everywhere first.
    pub async fn list(&self) -> Result<Vec<Grant>, StoreError> {
        let rows = sqlx::query(
            "SELECT g.key, g.level, a.name AS app FROM access g LEFT JOIN apps a ON a.id = g.app_id \
             ORDER BY g.key, a.name",
        )
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Grant {
                    key: parsed(row, "key")?,
                    app: parsed_option(row, "app")?,
                    right: parsed(row, "level")?,
                })
            })
            .collect()
    }

    /// What a key may do; nothing when there is no such key.
    pub async fn of(&self, key: &KeyName) -> Result<Rights, StoreError> {
        let rows = sqlx::query(
            "SELECT g.level, a.name AS app FROM access g LEFT JOIN apps a ON a.id = g.app_id WHERE g.key = ?",
        )
        .bind(key.as_str())
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        let mut rights = Rights::default();
        for row in &rows {
            let right: Right = parsed(row, "level")?;
            match parsed_option::<AppName>(row, "app")? {
                Some(app) => drop(rights.apps.insert(app, right)),
                None => rights.everywhere = Some(right),
            }
        }
        Ok(rights)
    }

    /// Gives a right, in place of the one that the key has there.
    pub async fn grant(
        &self,
        key: &KeyName,
        scope: &Scope,
        right: Right,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM ssh_keys WHERE name = ?")
            .bind(key.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        if known.is_none() {
            return Err(StoreError::no_such(format!("SSH key {key}")));
        }
        let app_id = scope_id(&mut tx, scope).await?;
        put(&mut tx, key, app_id, right).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a right away; false when there was none.
    pub async fn revoke(&self, key: &KeyName, scope: &Scope) -> Result<bool, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = scope_id(&mut tx, scope).await?;
        let done = sqlx::query("DELETE FROM access WHERE key = ? AND app_id IS ?")
            .bind(key.as_str())
            .bind(app_id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

/// Writes a grant within the caller's transaction.
pub(crate) async fn put(
    connection: &mut SqliteConnection,
    key: &KeyName,
    app_id: Option<i64>,
    right: Right,
) -> Result<(), StoreError> {
    sqlx::query("INSERT OR REPLACE INTO access (key, app_id, level) VALUES (?, ?, ?)")
        .bind(key.as_str())
        .bind(app_id)
        .bind(right.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{TestStore, app};
    use sarsen_domain::SshKey;

    fn key(name: &str) -> SshKey {
        SshKey {
            name: KeyName::parse(name).unwrap(),
            fingerprint: format!("SHA256:{name}"),
            public_key: format!("ssh-ed25519 {name}"),
        }
    }

    #[tokio::test]
    async fn grants_come_and_go_with_keys_and_apps() {
        let store = TestStore::with_apps(&["shop", "blog"]).await;
        let (ada, bob) = (key("ada"), key("bob"));
        store.ssh_keys().add(&ada).await.unwrap();
        store.ssh_keys().add_limited(&bob).await.unwrap();
        assert_eq!(store.access().of(&ada.name).await.unwrap(), Rights::admin());
        assert!(!store.access().of(&bob.name).await.unwrap().any());

        let shop = Scope::App(app("shop"));
        for right in [Right::Read, Right::Deploy] {
            store.access().grant(&bob.name, &shop, right).await.unwrap();
        }
        let rights = store.access().of(&bob.name).await.unwrap();
        assert_eq!(rights.on(&app("shop")), Some(Right::Deploy));
        assert_eq!(rights.on(&app("blog")), None);
        assert_eq!(store.access().list().await.unwrap().len(), 2);
        assert!(
            store
                .access()
                .revoke(&ada.name, &Scope::Global)
                .await
                .unwrap()
        );
        assert!(
            !store
                .access()
                .revoke(&ada.name, &Scope::Global)
                .await
                .unwrap()
        );
        assert!(!store.access().of(&ada.name).await.unwrap().any());

        store.apps().destroy(&app("shop")).await.unwrap();
        assert!(!store.access().of(&bob.name).await.unwrap().any());
        let blog = Scope::App(app("blog"));
        store
            .access()
            .grant(&bob.name, &blog, Right::Read)
            .await
            .unwrap();
        store.ssh_keys().remove_by_name(&bob.name).await.unwrap();
        store.ssh_keys().add_limited(&bob).await.unwrap();
        assert!(!store.access().of(&bob.name).await.unwrap().any());
        let nobody = KeyName::parse("nobody").unwrap();
        assert!(
            store
                .access()
                .grant(&nobody, &blog, Right::Read)
                .await
                .is_err()
        );
    }
}
