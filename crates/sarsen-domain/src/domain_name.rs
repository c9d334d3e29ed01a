//! Host names that an app answers to.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// A host name, lower case; `*.example.com` matches one or more labels in front, `_` is the catch-all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);
text_newtype!(Domain);

impl Domain {
    /// Parses a host name: dot-separated labels of letters, digits and hyphens; an optional leading `*.`; or `_`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let name = text.to_ascii_lowercase();
        let invalid = || Invalid::new(format!("{} is invalid. exiting...", text.escape_debug()));
        if name == "_" {
            return Ok(Self(name));
        }
        let plain = name.strip_prefix("*.").unwrap_or(&name);
        if plain.is_empty() || name.len() > 253 || !plain.split('.').all(is_label) {
            return Err(invalid());
        }
        Ok(Self(name))
    }

    /// The part after `*.`, when this is a wildcard.
    pub fn wildcard_suffix(&self) -> Option<&str> {
        self.0.strip_prefix("*.")
    }

    /// Whether this is the catch-all `_`.
    pub fn is_catch_all(&self) -> bool {
        self.0 == "_"
    }
}

// Underscores are not host name characters, but apps named by the older rule carry them into their default domain.
fn is_label(label: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.chars().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        for good in [
            "example.com",
            "*.example.com",
            "localhost",
            "_",
            "a.b-c.d",
            "1.2.3.4",
            "old_name.localhost",
        ] {
            assert!(Domain::parse(good).is_ok(), "{good}");
        }
        assert_eq!(
            Domain::parse("Example.COM").unwrap().as_str(),
            "example.com"
        );
        for bad in [
            "", ".", "a..b", "-a.com", "a-.com", "a b", "a;b", "*", "*.", "a.*.b", "http://x",
            "a/b", "x\n", "x:80",
        ] {
            assert!(Domain::parse(bad).is_err(), "{bad:?}");
        }
    }
}
