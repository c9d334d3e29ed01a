//! The plugin host: finds, installs and enables plugins of Dokku's layout, and runs their scripts.
//!
//! A plugin's scripts run as the daemon's own user, so whoever installs one must be trusted like root. Everything that is
//! started is started by one function (`process.rs`), as a file with arguments and an explicit environment.

mod core;
mod dokkurc;
mod environment;
mod error;
mod install;
mod manifest;
mod name;
mod output;
mod plugins;
mod process;
mod report;
mod shelf;
mod source;
mod stdin;
mod unpack;

pub use core::{ANSWERED, is_answered, plugin_config, plugin_variables, set_plugin_config};
pub use environment::WITHIN;
pub use error::PluginError;
pub use install::Updated;
pub use manifest::Manifest;
pub use name::{PluginName, Trigger};
pub use output::{Output, Streams};
pub use plugins::{Call, Detail, Dispatch, Installation, PluginSettings, Plugins};
pub use report::{Exit, Run, TriggerReport};
pub use shelf::{Plugin, Record};
pub use source::Source;
pub use stdin::Stdin;
