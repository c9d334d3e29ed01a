//! What can go wrong with plugins as such. How a script ended is no error here: see [`crate::Exit`].

use std::io;
use std::path::Path;

use sarsen_domain::Invalid;

use crate::name::PluginName;

/// Displays as a sentence for whoever gave the command.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// A name or a source that does not have the form it needs.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// There is none of this name.
    #[error("Plugin {0} is not installed: see 'plugin:list'")]
    Missing(PluginName),
    /// There is one of this name.
    #[error(
        "Plugin {0} is installed already: 'plugin:uninstall {0}' first, or choose another name with --name"
    )]
    Taken(PluginName),
    /// It belongs to the daemon.
    #[error("Plugin {0} is part of the daemon: it can neither be removed nor disabled nor updated")]
    Core(PluginName),
    /// It is enabled already.
    #[error("Plugin {0} is enabled already")]
    Enabled(PluginName),
    /// It is disabled already.
    #[error("Plugin {0} is disabled already")]
    Disabled(PluginName),
    /// Its folder or its plugin.toml is not as it must be.
    #[error("Plugin {name} is broken: {why}")]
    Broken {
        /// Which.
        name: PluginName,
        /// Why.
        why: String,
    },
    /// What was to be installed could not be had.
    #[error("Cannot fetch the plugin: {0}")]
    Fetch(String),
    /// A file of ours.
    #[error("{what}: {error}")]
    Io {
        /// What was to be done.
        what: String,
        /// Why it was not.
        error: io::Error,
    },
}

impl PluginError {
    pub(crate) fn io(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("Cannot {what} {}", path.display());
        move |error| Self::Io { what, error }
    }
}
