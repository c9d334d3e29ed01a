//! Names of git objects and branches.

use serde::{Deserialize, Serialize};

use crate::{Domain, Invalid, Secret, text_newtype};

/// Who we are to another git server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The server.
    pub host: Domain,
    /// The name there.
    pub username: String,
    /// The password, or a token in its place.
    pub password: Secret<String>,
}

/// A commit's full SHA-1, lower-case hex.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(String);
text_newtype!(CommitId);

impl CommitId {
    /// 40 hex digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.len() != 40 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Invalid::new(format!(
                "Invalid commit '{}': 40 hex digits are needed",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// All zeros: git's way of writing "no such ref" in an update.
    pub fn is_zero(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }

    /// The first 8 digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

/// A branch or tag name without `refs/heads/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Branch(String);
text_newtype!(Branch);

impl Branch {
    /// git's rules for ref names, and nothing that a command line could take for an option.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let illegal = |c: char| c.is_control() || " ~^:?*[\\\u{7f}".contains(c);
        let bad = text.is_empty()
            || text.len() > 200
            || text.starts_with(['-', '/', '.'])
            || text.ends_with(['/', '.'])
            || text.ends_with(".lock")
            || text.contains("..")
            || text.contains("//")
            || text.contains("/.")
            || text.contains("@{")
            || text == "@"
            || text.chars().any(illegal);
        if bad {
            return Err(Invalid::new(format!(
                "Invalid branch name '{}'",
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
    fn commits_are_whole() {
        let commit = CommitId::parse(&"aB".repeat(20)).unwrap();
        assert_eq!(commit.short(), "abababab");
        assert!(CommitId::parse(&"0".repeat(40)).unwrap().is_zero());
        assert!(CommitId::parse("abc").is_err());
        assert!(CommitId::parse(&"g".repeat(40)).is_err());
    }

    #[test]
    fn branches_cannot_be_options_or_climb() {
        assert!(Branch::parse("feature/x-1.2").is_ok());
        for bad in [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "/a",
            "a/",
            "a b",
            "a\n",
            "a:b",
            "x.lock",
            "@",
            "a@{1}",
            "a/.b",
        ] {
            assert!(Branch::parse(bad).is_err(), "{bad:?}");
        }
    }
}
