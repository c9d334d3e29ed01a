//! Who we are at registries; passwords are sealed.

use sarsen_domain::{AppName, Secret};
use sqlx::Row;

use crate::rows::scope_id;
use crate::seal::Place;
use crate::{Scope, Store, StoreError};

/// The registry logins of a [`Store`].
pub struct RegistryLogins<'a>(pub(crate) &'a Store);

/// One login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLogin {
    pub server: String,
    pub username: String,
    pub password: Secret<String>,
}

impl RegistryLogins<'_> {
    /// Adds a login, or replaces the one for this server.
    pub async fn set(&self, scope: &Scope, login: &StoredLogin) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = scope_id(&mut tx, scope).await?;
        let place = Place::Registry {
            app_id,
            server: &login.server,
        };
        let sealed = self.0.sealer.seal(&place, login.password.expose())?;
        sqlx::query("DELETE FROM registry_logins WHERE app_id IS ? AND server = ?")
            .bind(app_id)
            .bind(&login.server)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "INSERT INTO registry_logins (app_id, server, username, password) VALUES (?, ?, ?, ?)",
        )
        .bind(app_id)
        .bind(&login.server)
        .bind(&login.username)
        .bind(sealed)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets a login; true when there was one.
    pub async fn remove(&self, scope: &Scope, server: &str) -> Result<bool, StoreError> {
        let mut tx = self.0.write().await?;
        let app_id = scope_id(&mut tx, scope).await?;
        let gone = sqlx::query("DELETE FROM registry_logins WHERE app_id IS ? AND server = ?")
            .bind(app_id)
            .bind(server)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(gone.rows_affected() > 0)
    }

    /// What holds for an app: its own logins, and the global ones for other servers.
    pub async fn of_app(&self, app: &AppName) -> Result<Vec<StoredLogin>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = scope_id(&mut connection, &Scope::App(app.clone())).await?;
        let rows = sqlx::query(
            "SELECT app_id, server, username, password FROM registry_logins \
             WHERE app_id IS NULL OR app_id = ? ORDER BY server, app_id IS NULL",
        )
        .bind(id)
        .fetch_all(&mut *connection)
        .await?;
        let mut logins: Vec<StoredLogin> = Vec::new();
        for row in &rows {
            let server: String = row.try_get("server")?;
            if logins.last().is_some_and(|last| last.server == server) {
                continue;
            }
            let place = Place::Registry {
                app_id: row.try_get("app_id")?,
                server: &server,
            };
            let password = self.0.sealer.open(&place, row.try_get("password")?)?;
            logins.push(StoredLogin {
                username: row.try_get("username")?,
                password: Secret::new(password),
                server,
            });
        }
        Ok(logins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::{TestStore, app};

    fn login(server: &str, password: &str) -> StoredLogin {
        StoredLogin {
            server: server.to_owned(),
            username: "ada".to_owned(),
            password: Secret::new(password.to_owned()),
        }
    }

    #[tokio::test]
    async fn an_apps_own_login_counts_before_the_global_one() {
        let store = TestStore::with_apps(&["a", "b"]).await;
        let logins = store.registry_logins();
        let own = Scope::App(app("a"));
        logins
            .set(&Scope::Global, &login("x:5000", "old"))
            .await
            .unwrap();
        logins
            .set(&Scope::Global, &login("x:5000", "global"))
            .await
            .unwrap();
        logins.set(&own, &login("x:5000", "own")).await.unwrap();
        let of = async |name| logins.of_app(&app(name)).await.unwrap();
        assert_eq!(of("a").await, [login("x:5000", "own")]);
        assert_eq!(of("b").await, [login("x:5000", "global")]);
        assert!(logins.remove(&own, "x:5000").await.unwrap());
        assert!(!logins.remove(&own, "x:5000").await.unwrap());
        assert_eq!(of("a").await, [login("x:5000", "global")]);
    }
}
