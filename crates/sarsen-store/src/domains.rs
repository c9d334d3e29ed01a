//! Host names, in the order they were added.

use sarsen_domain::{AppName, Domain};
use sqlx::SqliteConnection;

use crate::rows::{gathered, parse, parsed, scope_id};
use crate::{Scope, Store, StoreError};

/// The domains of a [`Store`].
pub struct Domains<'a>(pub(crate) &'a Store);

/// The domains of one app, as the router wants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppDomains {
    pub app: AppName,
    /// False after `domains:disable`.
    pub vhosts_enabled: bool,
    pub domains: Vec<Domain>,
}

/// Whether an app is reached by host name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vhosts {
    Enabled,
    /// After `domains:disable`.
    Disabled,
}

impl Domains<'_> {
    /// The domains of one scope.
    pub async fn list(&self, scope: &Scope) -> Result<Vec<Domain>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = scope_id(&mut connection, scope).await?;
        let rows = sqlx::query("SELECT domain FROM domains WHERE app_id IS ? ORDER BY position")
            .bind(id)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(|row| parsed(row, "domain")).collect()
    }

    /// Adds domains at the end; those that are there already keep their place.
    pub async fn add(&self, scope: &Scope, domains: &[Domain]) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = scope_id(&mut tx, scope).await?;
        append(&mut tx, id, domains).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes domains; those that are not there are passed over.
    pub async fn remove(&self, scope: &Scope, domains: &[Domain]) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = scope_id(&mut tx, scope).await?;
        for domain in domains {
            sqlx::query("DELETE FROM domains WHERE app_id IS ? AND domain = ?")
                .bind(id)
                .bind(domain.as_str())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Makes the scope hold these domains and no others.
    pub async fn set(&self, scope: &Scope, domains: &[Domain]) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = scope_id(&mut tx, scope).await?;
        sqlx::query("DELETE FROM domains WHERE app_id IS ?")
            .bind(id)
            .execute(&mut *tx)
            .await?;
        append(&mut tx, id, domains).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Removes every domain of the scope.
    pub async fn clear(&self, scope: &Scope) -> Result<(), StoreError> {
        self.set(scope, &[]).await
    }

    /// The domains of every app, apps without any included, sorted by app.
    pub async fn all(&self) -> Result<Vec<AppDomains>, StoreError> {
        let text: String = sqlx::query_scalar(
            "SELECT json_group_array(json_array(a.name, a.vhosts, d.domain) ORDER BY a.name, d.position) \
             FROM apps a LEFT JOIN domains d ON d.app_id = a.id",
        )
        .fetch_one(&mut *self.0.read().await?)
        .await?;
        grouped(&text)
    }

    /// Which apps have this domain.
    pub async fn apps_with(&self, domain: &Domain) -> Result<Vec<AppName>, StoreError> {
        let rows = sqlx::query(
            "SELECT a.name FROM domains d JOIN apps a ON a.id = d.app_id \
             WHERE d.domain = ? ORDER BY a.name",
        )
        .bind(domain.as_str())
        .fetch_all(&mut *self.0.read().await?)
        .await?;
        rows.iter().map(|row| parsed(row, "name")).collect()
    }

    /// Whether the app is reached by host name.
    pub async fn vhosts(&self, app: &AppName) -> Result<Vhosts, StoreError> {
        let enabled = self.vhosts_enabled(app).await?;
        Ok(if enabled {
            Vhosts::Enabled
        } else {
            Vhosts::Disabled
        })
    }

    /// The same as a truth value.
    pub async fn vhosts_enabled(&self, app: &AppName) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT vhosts FROM apps WHERE name = ?")
            .bind(app.as_str())
            .fetch_optional(&mut *self.0.read().await?)
            .await?
            .ok_or_else(|| StoreError::NoSuchApp(app.clone()))
    }

    /// `domains:enable`, `domains:disable`
    pub async fn set_vhosts(&self, app: &AppName, vhosts: Vhosts) -> Result<(), StoreError> {
        let sql = match vhosts {
            Vhosts::Enabled => "UPDATE apps SET vhosts = 1 WHERE name = ?",
            Vhosts::Disabled => "UPDATE apps SET vhosts = 0 WHERE name = ?",
        };
        self.0.apps().update(sql, app).await
    }
}

pub(crate) async fn append(
    connection: &mut SqliteConnection,
    app_id: Option<i64>,
    domains: &[Domain],
) -> Result<(), StoreError> {
    for domain in domains {
        sqlx::query(
            "INSERT OR IGNORE INTO domains (app_id, domain, position) \
             VALUES (?1, ?2, (SELECT ifnull(max(position), 0) + 1 FROM domains WHERE app_id IS ?1))",
        )
        .bind(app_id)
        .bind(domain.as_str())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Name, `vhosts`, domain, sorted by app: one for each domain or one without, as one value per app.
fn grouped(text: &str) -> Result<Vec<AppDomains>, StoreError> {
    let rows: Vec<(String, i64, Option<String>)> = gathered("domains", text)?;
    let mut apps: Vec<AppDomains> = Vec::new();
    for (name, vhosts, domain) in rows {
        let domain = domain.map(|domain| parse("domain", &domain)).transpose()?;
        match apps.last_mut().filter(|last| last.app.as_str() == name) {
            Some(last) => last.domains.extend(domain),
            None => apps.push(AppDomains {
                app: parse("name", &name)?,
                vhosts_enabled: vhosts != 0,
                domains: domain.into_iter().collect(),
            }),
        }
    }
    Ok(apps)
}

#[cfg(test)]
mod tests;
