//! What a setting belongs to: the whole installation or one app.

use std::fmt;

use sarsen_domain::AppName;

/// The owner of a setting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Every app that does not say otherwise.
    Global,
    /// One app.
    App(AppName),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.pad("--global"),
            Self::App(app) => f.pad(app.as_str()),
        }
    }
}

impl From<AppName> for Scope {
    fn from(app: AppName) -> Self {
        Self::App(app)
    }
}

impl From<&AppName> for Scope {
    fn from(app: &AppName) -> Self {
        Self::App(app.clone())
    }
}
