//! User names and passwords for other git servers.

use sarsen_domain::git::Credential;
use sarsen_domain::{Domain, Secret};
use sqlx::Row;

use crate::rows::parsed;
use crate::seal::Place;
use crate::{Store, StoreError};

/// The credentials of a [`Store`].
pub struct GitCredentials<'a>(pub(crate) &'a Store);

impl GitCredentials<'_> {
    /// All of them, by host.
    pub async fn list(&self) -> Result<Vec<Credential>, StoreError> {
        let rows = sqlx::query("SELECT host, username, sealed FROM git_credentials ORDER BY host")
            .fetch_all(&mut *self.0.read().await?)
            .await?;
        rows.iter()
            .map(|row| {
                let host: Domain = parsed(row, "host")?;
                let place = Place::GitCredential {
                    host: host.as_str(),
                };
                let password = self.0.sealer.open(&place, row.try_get("sealed")?)?;
                Ok(Credential {
                    username: row.try_get("username")?,
                    password: Secret::new(password),
                    host,
                })
            })
            .collect()
    }

    /// Adds or replaces the credentials of a host.
    pub async fn set(&self, credential: &Credential) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let host = credential.host.as_str();
        let place = Place::GitCredential { host };
        let sealed = self.0.sealer.seal(&place, credential.password.expose())?;
        sqlx::query(
            "INSERT OR REPLACE INTO git_credentials (host, username, sealed) VALUES (?, ?, ?)",
        )
        .bind(host)
        .bind(&credential.username)
        .bind(sealed)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets the credentials of a host; false when there were none.
    pub async fn remove(&self, host: &Domain) -> Result<bool, StoreError> {
        let statement =
            sqlx::query("DELETE FROM git_credentials WHERE host = ?").bind(host.as_str());
        let done = self.0.change(statement).await?;
        Ok(done.rows_affected() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::TestStore;

    #[tokio::test]
    async fn passwords_come_back_and_are_nowhere_in_the_open() {
        let store = TestStore::new().await;
        let mine = Credential {
            host: Domain::parse("git.example.com").unwrap(),
            username: "ada".to_owned(),
            password: Secret::new("hunter22".to_owned()),
        };
        store.git_credentials().set(&mine).await.unwrap();
        let store = store.reopened().await;
        assert_eq!(
            store.git_credentials().list().await.unwrap(),
            std::slice::from_ref(&mine)
        );
        assert!(!store.dump().await.unwrap().contains("hunter22"));
        // Sealed for its host: moved to another one it does not open.
        store
            .tamper("UPDATE git_credentials SET host = 'evil.example.com'")
            .await;
        assert!(store.git_credentials().list().await.is_err());
        assert!(!store.git_credentials().remove(&mine.host).await.unwrap());
    }
}
