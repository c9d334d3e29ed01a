//! The plugins' folder: what lies in `available`, and what `enabled` points to.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::core::is_core;
use crate::error::PluginError;
use crate::manifest::Manifest;
use crate::name::PluginName;

/// A plugin on this host.
#[derive(Debug, Clone)]
pub struct Plugin {
    /// Its name, which is its folder's.
    pub name: PluginName,
    /// Where it lies.
    pub folder: PathBuf,
    /// Whether it belongs to the daemon.
    pub core: bool,
    /// Whether its scripts run.
    pub enabled: bool,
    /// What it says about itself, or why that cannot be read: such a plugin does not run.
    pub manifest: Result<Manifest, String>,
    /// Where it came from, as far as we installed it.
    pub record: Option<Record>,
}

/// Where a plugin came from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// As it was given, without passwords.
    pub source_url: String,
    /// The `--committish` asked for.
    pub committish: String,
    /// The branch that was checked out, when it was one.
    pub branch: String,
    /// The commit that was checked out.
    pub commit: String,
}

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    root: PathBuf,
}

/// A file of a plugin that could be run.
pub(crate) enum Script {
    Runs(PathBuf),
    /// It is there and will not run; why, as a sentence.
    Barred(String),
}

impl Shelf {
    /// Makes the folders that are not there.
    pub(crate) fn open(root: &Path) -> Result<Self, PluginError> {
        let shelf = Self {
            root: root.to_owned(),
        };
        for folder in [shelf.available(), shelf.enabled(), shelf.records()] {
            fs::create_dir_all(&folder).map_err(PluginError::io("make the folder", &folder))?;
        }
        Ok(shelf)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    fn available(&self) -> PathBuf {
        self.root.join("available")
    }

    fn enabled(&self) -> PathBuf {
        self.root.join("enabled")
    }

    fn records(&self) -> PathBuf {
        self.root.join(".sources")
    }

    fn record_file(&self, name: &PluginName) -> PathBuf {
        self.records().join(format!("{name}.json"))
    }

    pub(crate) fn folder(&self, name: &PluginName) -> PathBuf {
        self.available().join(name.as_str())
    }

    fn link(&self, name: &PluginName) -> PathBuf {
        self.enabled().join(name.as_str())
    }

    /// Names of the plugins that run, in the order they run: bytewise. Nothing but one look into a folder.
    pub(crate) fn enabled_names(&self) -> Result<Vec<PluginName>, PluginError> {
        let folder = self.enabled();
        let names = names_in(&folder).map_err(PluginError::io("read", &folder))?;
        // The libraries answer no trigger and know no command.
        Ok(names
            .into_iter()
            .filter(|name| !is_core(name.as_str()))
            .collect())
    }

    /// Every plugin, running or not.
    pub(crate) fn list(&self) -> Result<Vec<Plugin>, PluginError> {
        let folder = self.available();
        let mut names = names_in(&folder).map_err(PluginError::io("read", &folder))?;
        names.extend(self.enabled_names()?);
        Ok(names.into_iter().map(|name| self.look(name)).collect())
    }

    /// The plugin of this name.
    pub(crate) fn find(&self, name: &PluginName) -> Result<Plugin, PluginError> {
        if self.is_taken(name) {
            return Ok(self.look(name.clone()));
        }
        Err(PluginError::Missing(name.clone()))
    }

    pub(crate) fn is_taken(&self, name: &PluginName) -> bool {
        fs::symlink_metadata(self.folder(name)).is_ok() || self.is_enabled(name)
    }

    pub(crate) fn is_enabled(&self, name: &PluginName) -> bool {
        fs::symlink_metadata(self.link(name)).is_ok()
    }

    fn look(&self, name: PluginName) -> Plugin {
        let enabled = self.is_enabled(&name);
        // What runs is what `enabled` points to, wherever that lies.
        let folder = if enabled {
            self.link(&name)
        } else {
            self.folder(&name)
        };
        let manifest = if folder.is_dir() {
            Manifest::read(&folder)
        } else {
            Err("its folder is gone".to_owned())
        };
        let record = fs::read_to_string(self.record_file(&name)).ok();
        Plugin {
            core: is_core(name.as_str()),
            record: record.and_then(|text| serde_json::from_str(&text).ok()),
            name,
            folder,
            enabled,
            manifest,
        }
    }

    /// The file of an enabled plugin at this place, if it has one.
    pub(crate) fn script(&self, name: &PluginName, place: &Path) -> Option<Script> {
        let path = self.link(name).join(place);
        let metadata = fs::metadata(&path).ok()?;
        if !metadata.is_file() {
            return None;
        }
        if metadata.permissions().mode() & 0o111 == 0 {
            let place = place.display();
            return Some(Script::Barred(format!(
                "plugin {name}: {place} is not executable and was skipped"
            )));
        }
        Some(Script::Runs(path))
    }

    /// Links the plugin into `enabled`.
    pub(crate) fn enable(&self, name: &PluginName) -> Result<(), PluginError> {
        let plugin = self.find(name)?;
        if plugin.enabled {
            return Err(PluginError::Enabled(name.clone()));
        }
        if let Err(why) = plugin.manifest {
            let name = name.clone();
            return Err(PluginError::Broken { name, why });
        }
        let link = self.link(name);
        symlink(self.folder(name), &link).map_err(PluginError::io("make the link", &link))
    }

    /// Takes the link away.
    pub(crate) fn disable(&self, name: &PluginName) -> Result<(), PluginError> {
        refuse_core(name)?;
        if !self.find(name)?.enabled {
            return Err(PluginError::Disabled(name.clone()));
        }
        let link = self.link(name);
        fs::remove_file(&link).map_err(PluginError::io("remove the link", &link))
    }

    /// Writes down where a plugin comes from.
    pub(crate) fn note(&self, name: &PluginName, record: &Record) -> Result<(), PluginError> {
        let file = self.record_file(name);
        let text = serde_json::to_string(record).unwrap_or_default();
        fs::write(&file, text).map_err(PluginError::io("write", &file))
    }

    /// Puts a prepared folder on the shelf.
    pub(crate) fn place(
        &self,
        name: &PluginName,
        prepared: &Path,
        record: &Record,
    ) -> Result<(), PluginError> {
        let folder = self.folder(name);
        fs::rename(prepared, &folder).map_err(PluginError::io("make", &folder))?;
        self.note(name, record)
    }

    /// Removes the link and the folder.
    pub(crate) fn remove(&self, name: &PluginName) -> Result<(), PluginError> {
        refuse_core(name)?;
        let folder = self.folder(name);
        for file in [self.link(name), self.record_file(name)] {
            gone(fs::remove_file(&file)).map_err(PluginError::io("remove", &file))?;
        }
        let removed = if folder.is_symlink() {
            fs::remove_file(&folder)
        } else {
            fs::remove_dir_all(&folder)
        };
        gone(removed).map_err(PluginError::io("remove", &folder))
    }
}

fn refuse_core(name: &PluginName) -> Result<(), PluginError> {
    if is_core(name.as_str()) {
        return Err(PluginError::Core(name.clone()));
    }
    Ok(())
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Entries whose name is one; hidden files and editors' leavings are not.
fn names_in(folder: &Path) -> io::Result<BTreeSet<PluginName>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let text = std::str::from_utf8(OsStr::as_bytes(&name)).unwrap_or_default();
        names.extend(PluginName::parse(text).ok());
    }
    Ok(names)
}
