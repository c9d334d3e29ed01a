//! Public keys that may log in.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// The name under which a key was added; it is the user's name in logs and releases.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);
text_newtype!(KeyName);

impl KeyName {
    /// Letters, digits and `._@-`, at most 100.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
        if text.is_empty() || text.len() > 100 || text.starts_with('-') || !text.chars().all(legal)
        {
            return Err(Invalid::new(format!(
                "Invalid key name '{}': letters, digits and . _ @ -, at most 100 of them",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A stored key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshKey {
    /// Its name.
    pub name: KeyName,
    /// `SHA256:…`
    pub fingerprint: String,
    /// `ssh-ed25519 AAAA…`, without comment.
    pub public_key: String,
}
