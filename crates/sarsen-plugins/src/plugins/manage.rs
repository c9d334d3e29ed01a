//! Plugins come onto this host, are switched on and off, and go.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use super::{Inner, Installation, Plugins};
use crate::environment;
use crate::error::PluginError;
use crate::install::{Fetch, Updated};
use crate::manifest::Manifest;
use crate::name::PluginName;
use crate::shelf::Plugin;
use crate::source::{Source, committish};

/// Beginning of the folders in which plugins are put together.
const WORKSHOP: &str = ".incoming-";

impl Plugins {
    /// Brings a plugin onto this host and enables it. Its `install` script is not run.
    pub async fn install(&self, wanted: &Installation) -> Result<Plugin, PluginError> {
        let Inner {
            shelf,
            tasks,
            changes,
            ..
        } = &*self.0;
        let branch = wanted.committish.as_deref().map(committish).transpose()?;
        let _guard = changes.lock().await;
        let name = &wanted.name;
        if shelf.is_taken(name) {
            return Err(PluginError::Taken(name.clone()));
        }
        let workshop = tempfile::Builder::new()
            .prefix(WORKSHOP)
            .tempdir_in(shelf.root())
            .map_err(PluginError::io("make a folder in", shelf.root()))?;
        let fetch = Fetch {
            name,
            source: &wanted.source,
            committish: branch.as_ref(),
            workshop: workshop.path(),
            home: self.home(),
            env: &self.0.extra,
            tasks,
        };
        let (folder, record) = fetch.fetch().await?;
        if let Err(why) = Manifest::read(&folder) {
            return Err(PluginError::Broken {
                name: name.clone(),
                why,
            });
        }
        environment::host_folders();
        shelf.place(name, &folder, &record)?;
        shelf.enable(name)?;
        shelf.find(name)
    }

    fn home(&self) -> OsString {
        let home = self.0.variables.iter().find(|(key, _)| key == "HOME");
        home.map(|(_, home)| home.clone()).unwrap_or_default()
    }

    /// Brings a plugin up to date, or to a branch, tag or commit. Its `update` script is not run.
    pub async fn update(
        &self,
        name: &PluginName,
        wanted: Option<&str>,
    ) -> Result<Updated, PluginError> {
        let branch = wanted.map(committish).transpose()?;
        let _guard = self.0.changes.lock().await;
        let plugin = self.0.shelf.find(name)?;
        if plugin.core {
            return Err(PluginError::Core(name.clone()));
        }
        let folder = self.0.shelf.folder(name);
        let fetch = Fetch {
            name,
            source: &Source::Local(folder.clone()),
            committish: branch.as_ref(),
            workshop: &folder,
            home: self.home(),
            env: &self.0.extra,
            tasks: &self.0.tasks,
        };
        let updated = fetch
            .update(&folder, plugin.record.unwrap_or_default())
            .await?;
        if let Updated::At(record) = &updated {
            self.0.shelf.note(name, record)?;
        }
        Ok(updated)
    }

    /// Has a plugin's scripts run from now on.
    pub async fn enable(&self, name: &PluginName) -> Result<(), PluginError> {
        let _guard = self.0.changes.lock().await;
        self.0.shelf.enable(name)
    }

    /// Has a plugin's scripts run no longer.
    pub async fn disable(&self, name: &PluginName) -> Result<(), PluginError> {
        let _guard = self.0.changes.lock().await;
        self.0.shelf.disable(name)
    }

    /// Removes a plugin's files. Its `uninstall` script is not run.
    pub async fn remove(&self, name: &PluginName) -> Result<(), PluginError> {
        let _guard = self.0.changes.lock().await;
        self.0.shelf.find(name)?;
        let (shelf, name) = (self.0.shelf.clone(), name.clone());
        let folder = shelf.folder(&name);
        let removed = tokio::task::spawn_blocking(move || shelf.remove(&name)).await;
        removed.unwrap_or_else(|panic| {
            Err(PluginError::io("remove", &folder)(io::Error::other(panic)))
        })
    }
}

/// An installation that a dying daemon left half-way.
pub(super) fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(WORKSHOP)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove half an installation");
        }
    }
}
