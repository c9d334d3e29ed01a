//! Apps that come from elsewhere, each written down whole or not at all.

use sarsen_domain::{AppName, BuildpackRef, Config, Domain, Formation, PortMapping};

use crate::apps::{Locked, Stopped};
use crate::domains::{self, Vhosts};
use crate::properties::close;
use crate::rows::{is_duplicate, now};
use crate::{
    DockerOption, NewCertificate, Scope, Store, StoreError, buildpacks, certificates, config,
    docker_options, formation, ports, properties,
};

/// Brings things into a [`Store`].
pub struct Imports<'a>(pub(crate) &'a Store);

/// An app and everything that is known of it.
#[derive(Debug, Clone)]
pub struct ImportedApp {
    pub name: AppName,
    pub created_at: Option<i64>,
    pub locked: Locked,
    pub stopped: Stopped,
    pub vhosts: Vhosts,
    pub config: Config,
    /// Empty when the app goes by its default ones.
    pub domains: Vec<Domain>,
    pub ports: Vec<PortMapping>,
    pub formation: Formation,
    pub buildpacks: Vec<BuildpackRef>,
    pub docker_options: Vec<DockerOption>,
    pub certificate: Option<NewCertificate>,
    /// Plugin, key, value.
    pub properties: Vec<(String, String, String)>,
}

impl ImportedApp {
    /// An app of which nothing is known but the name.
    pub fn new(name: AppName) -> Self {
        Self {
            name,
            created_at: None,
            locked: Locked::No,
            stopped: Stopped::No,
            vhosts: Vhosts::Enabled,
            config: Config::default(),
            domains: Vec::new(),
            ports: Vec::new(),
            formation: Formation::initial(),
            buildpacks: Vec::new(),
            docker_options: Vec::new(),
            certificate: None,
            properties: Vec::new(),
        }
    }
}

impl Imports<'_> {
    /// Writes an app down that is not there yet.
    pub async fn app(&self, app: &ImportedApp) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let id = sqlx::query(
            "INSERT INTO apps (name, created_at, locked, stopped, vhosts) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(app.name.as_str())
        .bind(app.created_at.unwrap_or_else(now))
        .bind(app.locked == Locked::Yes)
        .bind(app.stopped == Stopped::Yes)
        .bind(app.vhosts == Vhosts::Enabled)
        .execute(&mut *tx)
        .await
        .map_err(|error| {
            if is_duplicate(&error) {
                StoreError::AppExists
            } else {
                error.into()
            }
        })?
        .last_insert_rowid();
        for var in app.config.iter() {
            config::put(&mut tx, &self.0.sealer, Some(id), var).await?;
        }
        domains::append(&mut tx, Some(id), &app.domains).await?;
        formation::merge(&mut tx, id, &app.formation).await?;
        ports::insert(&mut tx, id, &app.ports).await?;
        buildpacks::insert(&mut tx, id, &app.buildpacks).await?;
        if let Some(new) = &app.certificate {
            certificates::insert(&mut tx, &self.0.sealer, id, new).await?;
        }
        docker_options::insert(&mut tx, id, &app.docker_options).await?;
        for (plugin, key, value) in &app.properties {
            let property = (plugin.as_str(), key.as_str(), value.as_str());
            properties::put(&mut tx, &self.0.sealer, Some(id), property).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Writes global settings down: domains, when there are any; config vars and properties that are not set yet.
    pub async fn global(
        &self,
        domains: &[Domain],
        vars: &Config,
        properties: &[(String, String, String)],
    ) -> Result<(), StoreError> {
        let known = self.0.config().get(&Scope::Global).await?;
        let mut tx = self.0.write().await?;
        if !domains.is_empty() {
            sqlx::query("DELETE FROM domains WHERE app_id IS NULL")
                .execute(&mut *tx)
                .await?;
            domains::append(&mut tx, None, domains).await?;
        }
        for (key, value) in vars
            .iter()
            .filter(|(key, _)| known.get(key.as_str()).is_none())
        {
            config::put(&mut tx, &self.0.sealer, None, (key, value)).await?;
        }
        for (plugin, key, value) in properties {
            sqlx::query("INSERT OR IGNORE INTO properties (app_id, plugin, key, value) VALUES (NULL, ?, ?, ?)")
                .bind(plugin)
                .bind(key)
                .bind(close(&self.0.sealer, None, (plugin, key), value)?)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}
