//! Names of plugins and of triggers: each is a file's name below the plugins' folder, and nothing else.

use sarsen_domain::{Invalid, text_newtype};
use serde::{Deserialize, Serialize};

const LONGEST: usize = 64;

/// A plugin's name: `[0-9A-Za-z_][0-9A-Za-z_-]*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginName(String);
text_newtype!(PluginName);

impl PluginName {
    /// Dokku's rule, and no name that a command line could take for an option.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if plain(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::new(format!(
            "Invalid plugin name '{}': letters, digits, underscores and hyphens, at most {LONGEST}",
            text.escape_debug()
        )))
    }
}

fn plain(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !text.is_empty() && text.len() <= LONGEST && !text.starts_with('-') && text.chars().all(legal)
}

macro_rules! triggers {
    ($($(#[$doc:meta])* $name:ident = $file:literal,)*) => {
        /// A moment at which plugins are asked to act. The ones that we fire are known by name.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Trigger {
            $($(#[$doc])* $name,)*
            /// One that plugins fire among themselves.
            Custom(PluginName),
        }

        impl Trigger {
            /// The name of the file that answers it.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => $file,)*
                    Self::Custom(name) => name.as_str(),
                }
            }

            fn known(text: &str) -> Option<Self> {
                match text {
                    $($file => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

triggers! {
    /// APP
    PostCreate = "post-create",
    /// APP IMAGE_TAG
    PreDelete = "pre-delete",
    /// APP IMAGE_TAG
    PostDelete = "post-delete",
    /// OLD NEW
    PostAppRenameSetup = "post-app-rename-setup",
    /// OLD NEW
    PostAppRename = "post-app-rename",
    /// BUILDER_TYPE APP IMAGE
    PostReleaseBuilder = "post-release-builder",
    /// APP IMAGE_TAG
    PreDeploy = "pre-deploy",
    /// APP INTERNAL_PORT INTERNAL_IP IMAGE_TAG
    PostDeploy = "post-deploy",
    /// Nothing: a plugin was installed.
    Install = "install",
    /// PLUGIN
    Uninstall = "uninstall",
}

impl Trigger {
    /// The trigger of this name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(known) = Self::known(text) {
            return Ok(known);
        }
        match PluginName::parse(text) {
            Ok(name) => Ok(Self::Custom(name)),
            Err(_) => Err(Invalid::new(format!(
                "Invalid trigger name '{}': letters, digits, underscores and hyphens, at most {LONGEST}",
                text.escape_debug()
            ))),
        }
    }
}

impl std::fmt::Display for Trigger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_harmless_segment() {
        for good in ["hello", "20_events", "a-b", "A", "_x"] {
            assert!(PluginName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "", "-x", ".", "..", "a/b", "a.b", "a b", "a\n", "ä", "$(x)", &long,
        ] {
            assert!(PluginName::parse(bad).is_err(), "{bad:?}");
            assert!(Trigger::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn triggers_keep_their_name() {
        assert_eq!(Trigger::parse("pre-deploy").unwrap(), Trigger::PreDeploy);
        assert_eq!(
            Trigger::parse("service-list").unwrap().as_str(),
            "service-list"
        );
    }
}
