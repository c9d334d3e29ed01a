//! What owners of apps want of the router: redirects, passwords, pages, and the properties of its concerns.

use std::collections::BTreeMap;

use sarsen_domain::AppName;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::rows::{app_id, narrowed, parsed};
use crate::seal::{Place, Sealer};
use crate::{Store, StoreError};

/// What the router is told of apps in a [`Store`].
pub struct Routing<'a>(pub(crate) &'a Store);

/// One app's wishes, as they were written down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoutingWishes {
    /// Values of the concerns asked for: plugin and key → value.
    pub properties: BTreeMap<(String, String), String>,
    /// In the order of their sources.
    pub redirects: Vec<StoredRedirect>,
    /// Names and the hashes of their passwords.
    pub users: BTreeMap<String, String>,
    /// Addresses that need no password.
    pub addresses: Vec<String>,
    /// `maintenance` or a status → HTML.
    pub pages: BTreeMap<String, Vec<u8>>,
}

/// One redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRedirect {
    /// A host name or a path.
    pub source: String,
    /// Where to.
    pub destination: String,
    /// With which status.
    pub code: u16,
}

impl Routing<'_> {
    /// The wishes of every app that has any, and the global values of these concerns.
    pub async fn all(
        &self,
        plugins: &[&str],
    ) -> Result<(BTreeMap<AppName, RoutingWishes>, RoutingWishes), StoreError> {
        let mut all: BTreeMap<AppName, RoutingWishes> = BTreeMap::new();
        let mut global = RoutingWishes::default();
        let mut connection = self.0.read().await?;
        let plugins = crate::rows::json_list(plugins.iter().copied());
        let rows = sqlx::query(
            "SELECT a.name, p.plugin, p.key, p.value FROM properties p \
             LEFT JOIN apps a ON a.id = p.app_id \
             WHERE p.plugin IN (SELECT value FROM json_each(?))",
        )
        .bind(plugins)
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let wishes = match crate::rows::parsed_option(row, "name")? {
                Some(app) => all.entry(app).or_default(),
                None => &mut global,
            };
            let key = (row.try_get("plugin")?, row.try_get("key")?);
            wishes.properties.insert(key, row.try_get("value")?);
        }
        self.add_rows(&mut connection, &mut all).await?;
        Ok((all, global))
    }

    async fn add_rows(
        &self,
        connection: &mut SqliteConnection,
        all: &mut BTreeMap<AppName, RoutingWishes>,
    ) -> Result<(), StoreError> {
        let rows = sqlx::query(
            "SELECT a.name, r.* FROM redirects r JOIN apps a ON a.id = r.app_id ORDER BY r.source",
        )
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let wishes = all.entry(parsed(row, "name")?).or_default();
            wishes.redirects.push(redirect(row)?);
        }
        let rows = sqlx::query(
            "SELECT a.name AS app, u.* FROM http_auth_users u JOIN apps a ON a.id = u.app_id",
        )
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let (name, hash) = user(&self.0.sealer, row)?;
            let wishes = all.entry(parsed(row, "app")?).or_default();
            wishes.users.insert(name, hash);
        }
        let rows = sqlx::query(
            "SELECT a.name, h.address FROM http_auth_addresses h JOIN apps a ON a.id = h.app_id",
        )
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let wishes = all.entry(parsed(row, "name")?).or_default();
            wishes.addresses.push(row.try_get("address")?);
        }
        let rows = sqlx::query(
            "SELECT a.name AS app, p.name, p.html FROM pages p JOIN apps a ON a.id = p.app_id",
        )
        .fetch_all(&mut *connection)
        .await?;
        for row in &rows {
            let wishes = all.entry(parsed(row, "app")?).or_default();
            wishes
                .pages
                .insert(row.try_get("name")?, row.try_get("html")?);
        }
        Ok(())
    }

    /// The redirects of an app, in the order of their sources.
    pub async fn redirects(&self, app: &AppName) -> Result<Vec<StoredRedirect>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let rows = sqlx::query("SELECT * FROM redirects WHERE app_id = ? ORDER BY source")
            .bind(id)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(redirect).collect()
    }

    /// Adds a redirect, or replaces the one with the same source.
    pub async fn set_redirect(
        &self,
        app: &AppName,
        redirect: &StoredRedirect,
    ) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        sqlx::query(
            "INSERT OR REPLACE INTO redirects (app_id, source, destination, code) VALUES (?, ?, ?, ?)",
        )
        .bind(id)
        .bind(&redirect.source)
        .bind(&redirect.destination)
        .bind(redirect.code)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes a redirect; false when there is none from there.
    pub async fn unset_redirect(&self, app: &AppName, source: &str) -> Result<bool, StoreError> {
        self.remove(
            "DELETE FROM redirects WHERE app_id = ? AND source = ?",
            app,
            source,
        )
        .await
    }

    /// The names that have a password.
    pub async fn users(&self, app: &AppName) -> Result<Vec<String>, StoreError> {
        self.names(
            "SELECT name FROM http_auth_users WHERE app_id = ? ORDER BY name",
            app,
        )
        .await
    }

    /// Gives a name a password, by its hash.
    pub async fn set_user(&self, app: &AppName, name: &str, hash: &str) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        let place = Place::HttpAuth { app_id: id, name };
        sqlx::query("INSERT OR REPLACE INTO http_auth_users (app_id, name, hash) VALUES (?, ?, ?)")
            .bind(id)
            .bind(name)
            .bind(self.0.sealer.seal(&place, hash)?)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a name's password away; false when it has none.
    pub async fn remove_user(&self, app: &AppName, name: &str) -> Result<bool, StoreError> {
        self.remove(
            "DELETE FROM http_auth_users WHERE app_id = ? AND name = ?",
            app,
            name,
        )
        .await
    }

    /// The addresses that need no password.
    pub async fn addresses(&self, app: &AppName) -> Result<Vec<String>, StoreError> {
        let sql = "SELECT address FROM http_auth_addresses WHERE app_id = ? ORDER BY address";
        self.names(sql, app).await
    }

    /// Lets an address in without a password.
    pub async fn add_address(&self, app: &AppName, address: &str) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        sqlx::query("INSERT OR IGNORE INTO http_auth_addresses (app_id, address) VALUES (?, ?)")
            .bind(id)
            .bind(address)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Asks an address for a password again; false when it was asked anyway.
    pub async fn remove_address(&self, app: &AppName, address: &str) -> Result<bool, StoreError> {
        let sql = "DELETE FROM http_auth_addresses WHERE app_id = ? AND address = ?";
        self.remove(sql, app, address).await
    }

    /// The names of an app's pages.
    pub async fn pages(&self, app: &AppName) -> Result<Vec<String>, StoreError> {
        self.names("SELECT name FROM pages WHERE app_id = ? ORDER BY name", app)
            .await
    }

    /// Adds or replaces a page.
    pub async fn set_page(&self, app: &AppName, name: &str, html: &[u8]) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        sqlx::query("INSERT OR REPLACE INTO pages (app_id, name, html) VALUES (?, ?, ?)")
            .bind(id)
            .bind(name)
            .bind(html)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes a page; false when there is none of this name.
    pub async fn remove_page(&self, app: &AppName, name: &str) -> Result<bool, StoreError> {
        self.remove("DELETE FROM pages WHERE app_id = ? AND name = ?", app, name)
            .await
    }

    async fn names(&self, sql: &'static str, app: &AppName) -> Result<Vec<String>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let names = sqlx::query_scalar(sql).bind(id);
        Ok(names.fetch_all(&mut *connection).await?)
    }

    async fn remove(
        &self,
        sql: &'static str,
        app: &AppName,
        name: &str,
    ) -> Result<bool, StoreError> {
        let mut tx = self.0.write().await?;
        let id = app_id(&mut tx, app).await?;
        let done = sqlx::query(sql)
            .bind(id)
            .bind(name)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

fn redirect(row: &SqliteRow) -> Result<StoredRedirect, StoreError> {
    Ok(StoredRedirect {
        source: row.try_get("source")?,
        destination: row.try_get("destination")?,
        code: narrowed(row, "code")?,
    })
}

fn user(sealer: &Sealer, row: &SqliteRow) -> Result<(String, String), StoreError> {
    let name: String = row.try_get("name")?;
    let place = Place::HttpAuth {
        app_id: row.try_get("app_id")?,
        name: &name,
    };
    let hash = sealer.open(&place, row.try_get("hash")?)?;
    Ok((name, hash))
}

#[cfg(test)]
mod tests;
