//! Names of apps and of process types.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// Docker caps a container name well above this, but a DNS label does not: `web.NAME.service.sarsen`.
const APP_NAME_MAX: usize = 63;

/// An app's name. New names follow Dokku's rule: `^[a-z0-9][a-z0-9.-]*$`; names of older apps may hold underscores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);
text_newtype!(AppName);

impl AppName {
    /// A name for an app that may exist already.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        Self::check(
            text,
            |c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_'),
        )
    }

    /// A name for an app that is about to be made: no underscores.
    pub fn parse_new(text: &str) -> Result<Self, Invalid> {
        Self::check(text, |c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-'))
    }

    fn check(text: &str, allowed: impl Fn(char) -> bool) -> Result<Self, Invalid> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        // `..` would climb out of the folder that holds the app's repository.
        if !starts_well || !text.chars().all(allowed) || text.contains("..") {
            return Err(Invalid::new(
                "App name must begin with lowercase alphanumeric character, and may only contain lowercase alphanumerics, dots, and hyphens",
            ));
        }
        if text.len() > APP_NAME_MAX {
            return Err(Invalid::new(format!(
                "App name must not be longer than {APP_NAME_MAX} characters"
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A process type of a Procfile: `web`, `worker`, …
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessType(String);
text_newtype!(ProcessType);

impl ProcessType {
    /// `[A-Za-z0-9_-]+`, at most 63 characters.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if text.is_empty() || text.len() > 63 || text.starts_with('-') || !text.chars().all(legal) {
            return Err(Invalid::new(format!(
                "Invalid process type '{}': letters, digits, underscores and hyphens, at most 63 of them",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// The type that gets HTTP requests.
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// Whether this is the type that gets HTTP requests.
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    /// Whether this is the release-phase command, which is never scaled.
    pub fn is_release(&self) -> bool {
        self.0 == "release"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_names_follow_the_rule() {
        for good in ["a", "my-app", "0x", "app.example.com", "a-", "x.y-z"] {
            assert!(AppName::parse_new(good).is_ok(), "{good}");
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            "A",
            "-a",
            ".a",
            "a_b",
            "a;b",
            "a b",
            "a\n",
            "a/b",
            "ä",
            "$(x)",
            "a..b",
            "a\0",
            long.as_str(),
        ] {
            assert!(AppName::parse_new(bad).is_err(), "{bad:?}");
        }
        assert!(AppName::parse("old_name").is_ok());
    }

    #[test]
    fn process_types_cannot_pass_for_flags() {
        assert!(ProcessType::parse("web_2-x").is_ok());
        for bad in ["", "--all", "a.b", "a b", "w\n"] {
            assert!(ProcessType::parse(bad).is_err(), "{bad:?}");
        }
    }
}
