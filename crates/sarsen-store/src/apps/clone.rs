//! Copying an app: what is a setting comes along, what is history, identity or state does not.

use sarsen_domain::AppName;
use sqlx::{Row, SqliteConnection};

use super::{Apps, taken};
use crate::StoreError;
use crate::config::put;
use crate::properties::{close, is_sealed_property, open};
use crate::rows::{app_id, now, parsed};
use crate::seal::Place;

/// Rows that are copied as they are. What is sealed for its app is sealed anew below.
const COPIES: &[&str] = &[
    "INSERT INTO properties (app_id, plugin, key, value) \
     SELECT ?2, plugin, key, value FROM properties WHERE app_id = ?1",
    "INSERT INTO ports (app_id, position, mapping) \
     SELECT ?2, position, mapping FROM ports WHERE app_id = ?1",
    "INSERT INTO formation (app_id, process, quantity) \
     SELECT ?2, process, quantity FROM formation WHERE app_id = ?1",
    "INSERT INTO buildpacks (app_id, position, buildpack) \
     SELECT ?2, position, buildpack FROM buildpacks WHERE app_id = ?1",
    "INSERT INTO docker_options (app_id, phase, process, option) \
     SELECT ?2, phase, process, option FROM docker_options WHERE app_id = ?1",
    "INSERT INTO storage_mounts \
       (app_id, entry_id, target, phases, process, subpath, read_only, options, owner) \
     SELECT ?2, entry_id, target, phases, process, subpath, read_only, options, owner \
     FROM storage_mounts WHERE app_id = ?1",
    "INSERT INTO http_auth_addresses (app_id, address) \
     SELECT ?2, address FROM http_auth_addresses WHERE app_id = ?1",
    "INSERT INTO pages (app_id, name, html) SELECT ?2, name, html FROM pages WHERE app_id = ?1",
    // A redirect from a name stays where the name is.
    "INSERT INTO redirects (app_id, source, destination, code) \
     SELECT ?2, source, destination, code FROM redirects WHERE app_id = ?1 AND source LIKE '/%'",
];

impl Apps<'_> {
    /// Makes a new app with the settings of another one. Its domains are the default ones, it is not locked, and it
    /// has never been deployed.
    pub async fn clone_as(&self, old: &AppName, new: &AppName) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let from = app_id(&mut tx, old).await?;
        let to = sqlx::query("INSERT INTO apps (name, created_at) VALUES (?, ?)")
            .bind(new.as_str())
            .bind(now())
            .execute(&mut *tx)
            .await
            .map_err(taken)?
            .last_insert_rowid();
        for copy in COPIES {
            sqlx::query(*copy)
                .bind(from)
                .bind(to)
                .execute(&mut *tx)
                .await?;
        }
        self.copy_config(&mut tx, from, to).await?;
        self.copy_passwords(&mut tx, from, to).await?;
        self.copy_logins(&mut tx, from, to).await?;
        self.reseal_properties(&mut tx, from, to).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A clone of an app that asks for passwords asks for the same ones.
    async fn copy_passwords(
        &self,
        connection: &mut SqliteConnection,
        from: i64,
        to: i64,
    ) -> Result<(), StoreError> {
        let rows = sqlx::query("SELECT name, hash FROM http_auth_users WHERE app_id = ?")
            .bind(from)
            .fetch_all(&mut *connection)
            .await?;
        let sealer = &self.0.sealer;
        for row in rows {
            let name: String = row.try_get("name")?;
            let place = |app_id| Place::HttpAuth {
                app_id,
                name: &name,
            };
            let hash = sealer.open(&place(from), row.try_get("hash")?)?;
            sqlx::query("INSERT INTO http_auth_users (app_id, name, hash) VALUES (?, ?, ?)")
                .bind(to)
                .bind(&name)
                .bind(sealer.seal(&place(to), &hash)?)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    /// The images of a clone come from where the app's come from.
    async fn copy_logins(
        &self,
        connection: &mut SqliteConnection,
        from: i64,
        to: i64,
    ) -> Result<(), StoreError> {
        let rows =
            sqlx::query("SELECT server, username, password FROM registry_logins WHERE app_id = ?")
                .bind(from)
                .fetch_all(&mut *connection)
                .await?;
        let sealer = &self.0.sealer;
        for row in rows {
            let server: String = row.try_get("server")?;
            let place = |app_id| Place::Registry {
                app_id: Some(app_id),
                server: &server,
            };
            let password = sealer.open(&place(from), row.try_get("password")?)?;
            sqlx::query(
                "INSERT INTO registry_logins (app_id, server, username, password) VALUES (?, ?, ?, ?)",
            )
            .bind(to)
            .bind(&server)
            .bind(row.try_get::<String, _>("username")?)
            .bind(sealer.seal(&place(to), &password)?)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    async fn reseal_properties(
        &self,
        connection: &mut SqliteConnection,
        from: i64,
        to: i64,
    ) -> Result<(), StoreError> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT plugin, key, value FROM properties WHERE app_id = ?")
                .bind(from)
                .fetch_all(&mut *connection)
                .await?;
        let sealer = &self.0.sealer;
        for (plugin, key, stored) in rows {
            if !is_sealed_property(&plugin, &key) {
                continue;
            }
            let name = (plugin.as_str(), key.as_str());
            let value = open(sealer, Some(from), name, stored)?;
            sqlx::query(
                "UPDATE properties SET value = ? WHERE app_id = ? AND plugin = ? AND key = ?",
            )
            .bind(close(sealer, Some(to), name, &value)?)
            .bind(to)
            .bind(&plugin)
            .bind(&key)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    async fn copy_config(
        &self,
        connection: &mut SqliteConnection,
        from: i64,
        to: i64,
    ) -> Result<(), StoreError> {
        let rows = sqlx::query("SELECT key, sealed FROM config WHERE app_id = ?")
            .bind(from)
            .fetch_all(&mut *connection)
            .await?;
        let sealer = &self.0.sealer;
        for row in rows {
            let key: sarsen_domain::EnvKey = parsed(&row, "key")?;
            let place = Place::Config {
                app_id: Some(from),
                key: key.as_str(),
            };
            let value = sealer.open(&place, row.try_get("sealed")?)?;
            put(connection, sealer, Some(to), (&key, &value)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sarsen_domain::Secret;

    use super::*;
    use crate::test_support::{TestStore, app, config};
    use crate::{Locked, Scope, StoredLogin, StoredRedirect, Vhosts};

    /// Tables that a clone leaves behind: history, state, and what only one app can have.
    const LEFT: &[&str] = &[
        "access",
        "acme_apps",
        "api_token_rights",
        "builds",
        "certificates",
        "cron_cursors",
        "cron_runs",
        "domains",
        "instances",
        "releases",
        "service_links",
        "traffic",
        "usage",
    ];

    #[tokio::test]
    async fn settings_come_along_and_history_does_not() {
        let store = TestStore::with_apps(&["old"]).await;
        let old: Scope = app("old").into();
        let vars = config(&[("A", "s3cret")]);
        store.config().replace(&old, &vars).await.unwrap();
        store
            .properties()
            .set(&old, "git", "deploy-branch", "x")
            .await
            .unwrap();
        store
            .ports()
            .set(&app("old"), &["http:80:7000".parse().unwrap()])
            .await
            .unwrap();
        store
            .domains()
            .set(&old, &["www.example.com".parse().unwrap()])
            .await
            .unwrap();
        store
            .domains()
            .set_vhosts(&app("old"), Vhosts::Disabled)
            .await
            .unwrap();
        store
            .apps()
            .set_locked(&app("old"), Locked::Yes)
            .await
            .unwrap();
        store.live_release("old").await;
        store
            .apps()
            .clone_as(&app("old"), &app("new"))
            .await
            .unwrap();
        let new: Scope = app("new").into();
        assert_eq!(store.config().get(&new).await.unwrap(), vars);
        let branch = store
            .properties()
            .get(&new, "git", "deploy-branch")
            .await
            .unwrap();
        assert_eq!(branch.as_deref(), Some("x"));
        assert_eq!(store.ports().list(&app("new")).await.unwrap().len(), 1);
        assert!(store.domains().list(&new).await.unwrap().is_empty());
        assert!(store.domains().vhosts_enabled(&app("new")).await.unwrap());
        let record = store.apps().get(&app("new")).await.unwrap();
        assert!(!record.locked && !record.deployed && record.live_release.is_none());
        let again = store.apps().clone_as(&app("old"), &app("new")).await;
        assert!(matches!(again, Err(StoreError::AppExists)));
    }

    #[tokio::test]
    async fn logins_and_redirects_of_paths_come_along() {
        let store = TestStore::with_apps(&["old"]).await;
        let old: Scope = app("old").into();
        let login = StoredLogin {
            server: "x:5000".to_owned(),
            username: "ada".to_owned(),
            password: Secret::new("s3cret".to_owned()),
        };
        store.registry_logins().set(&old, &login).await.unwrap();
        for source in ["/old", "www.example.com"] {
            let redirect = StoredRedirect {
                source: source.to_owned(),
                destination: "/new".to_owned(),
                code: 301,
            };
            let routing = store.routing();
            routing.set_redirect(&app("old"), &redirect).await.unwrap();
        }
        store
            .apps()
            .clone_as(&app("old"), &app("new"))
            .await
            .unwrap();
        let logins = store.registry_logins();
        assert_eq!(logins.of_app(&app("new")).await.unwrap(), [login]);
        let redirects = store.routing().redirects(&app("new")).await.unwrap();
        let sources: Vec<_> = redirects.iter().map(|one| one.source.as_str()).collect();
        assert_eq!(sources, ["/old"]);
    }

    #[tokio::test]
    async fn every_table_of_an_app_is_thought_of() {
        let store = TestStore::new().await;
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND c.name = 'app_id' AND m.name NOT IN ('config', 'http_auth_users', 'registry_logins') ORDER BY m.name",
        )
        .fetch_all(&mut store.raw().await)
        .await
        .unwrap();
        for table in tables {
            let copied = COPIES
                .iter()
                .any(|copy| copy.contains(&format!(" FROM {table} ")));
            assert!(
                copied != LEFT.contains(&table.as_str()),
                "{table}: does a clone of an app take it along? Say so in COPIES or LEFT"
            );
        }
    }
}
