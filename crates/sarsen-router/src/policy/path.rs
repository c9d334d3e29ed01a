//! The path that an app answers below, where several share a host name.

use std::fmt;
use std::str::FromStr;

use sarsen_domain::Invalid;

/// Where certificate authorities look for the word of whoever owns a whole name, and not a path of it.
const AUTHORITIES: &str = "/.well-known/acme-challenge";

/// `/api`: that path, and everything below it. Never `/`, which is every path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPrefix {
    /// What the path begins with; without a slash at the end.
    prefix: String,
    /// Whether the app sees the path without it.
    pub fate: PrefixFate,
}

/// What becomes of the prefix on the way to the app.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PrefixFate {
    /// The app sees the whole path.
    #[default]
    Kept,
    /// The app sees what follows, and the prefix in `X-Forwarded-Prefix`.
    Stripped,
}

impl PathPrefix {
    /// The prefix as it was written.
    pub fn as_str(&self) -> &str {
        &self.prefix
    }

    /// The same path, with another fate.
    #[must_use]
    pub fn with(self, fate: PrefixFate) -> Self {
        Self { fate, ..self }
    }

    /// What follows the prefix, beginning with a slash, when it is one of this path.
    pub(crate) fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        rest_below(&self.prefix, path)
    }
}

/// `/api` and `/api/x` are below `/api`, `/apix` is not.
pub(crate) fn rest_below<'a>(prefix: &str, path: &'a str) -> Option<&'a str> {
    if prefix.is_empty() {
        return Some(path);
    }
    match path.strip_prefix(prefix)? {
        "" => Some("/"),
        rest if rest.starts_with('/') => Some(rest),
        _ => None,
    }
}

impl FromStr for PathPrefix {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let prefix = text.trim_end_matches('/');
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&b);
        let is_path = prefix.starts_with('/')
            && prefix.len() <= 200
            && prefix.bytes().all(legal)
            && prefix
                .split('/')
                .skip(1)
                .all(|part| !matches!(part, "" | "." | ".."));
        if !is_path {
            return Err(Invalid::new(format!(
                "Invalid path '{}': write it as /api, with letters, digits and hyphens between the slashes",
                text.escape_debug()
            )));
        }
        if rest_below(prefix, AUTHORITIES).is_some() || rest_below(AUTHORITIES, prefix).is_some() {
            return Err(Invalid::new(format!(
                "Invalid path '{prefix}': certificate authorities look at {AUTHORITIES}, and who answers there can have certificates for the whole name"
            )));
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            fate: PrefixFate::Kept,
        })
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_authorities_belongs_to_the_whole_name() {
        for refused in [
            "/.well-known",
            "/.well-known/",
            "/.well-known/acme-challenge",
            "/.well-known/acme-challenge/x",
        ] {
            assert!(refused.parse::<PathPrefix>().is_err(), "{refused}");
        }
        for fine in ["/.well-known/webfinger", "/.well-knowns", "/well-known"] {
            assert!(fine.parse::<PathPrefix>().is_ok(), "{fine}");
        }
    }
}
