//! Names of addons (`redis`) and of the services made of them.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// `dokku-ADDON-NAME` has to fit into one label of a host name.
const ADDON_MAX: usize = 16;
const SERVICE_MAX: usize = 40;

/// An addon's name, the noun of its commands: `^[a-z][a-z0-9]*$`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddonName(String);
text_newtype!(AddonName);

impl AddonName {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase());
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !starts_well || text.len() > ADDON_MAX || !text.chars().all(legal) {
            return Err(Invalid::new(format!(
                "Invalid addon name '{}': lowercase letters and digits, beginning with a letter, at most {ADDON_MAX}",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A service's name: `^[A-Za-z0-9][A-Za-z0-9_-]*$`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);
text_newtype!(ServiceName);

impl ServiceName {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !starts_well || text.len() > SERVICE_MAX || !text.chars().all(legal) {
            return Err(Invalid::new(format!(
                "Invalid service name '{}': letters, digits, underscores and hyphens, at most {SERVICE_MAX}",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        for good in ["cache", "My_cache-2", "0"] {
            assert!(ServiceName::parse(good).is_ok(), "{good}");
        }
        let long = "a".repeat(41);
        for bad in ["", "-x", "_x", "a.b", "a b", "a/b", "a\n", "$(x)", &long] {
            assert!(ServiceName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(AddonName::parse("redis7").is_ok());
        for bad in [
            "",
            "Redis",
            "7redis",
            "my-redis",
            "a:b",
            "abcdefghijklmnopq",
        ] {
            assert!(AddonName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
