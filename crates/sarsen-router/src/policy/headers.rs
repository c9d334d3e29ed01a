//! Rules that set, add or remove headers.

use std::fmt;
use std::str::FromStr;

use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use sarsen_domain::Invalid;

/// One header, and what becomes of it: `X-Frame-Options: DENY`, `+Link: <…>` to add beside what is there, `-Server`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRule {
    name: HeaderName,
    change: Change,
}

/// What a rule does, for those who show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderChange {
    /// Replaces what is there.
    Set,
    /// Adds to it.
    Add,
    /// Takes it away.
    Remove,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    Set(HeaderValue),
    Add(HeaderValue),
    Remove,
}

impl HeaderRule {
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        match &self.change {
            Change::Set(value) => {
                headers.insert(self.name.clone(), value.clone());
            }
            Change::Add(value) => {
                headers.append(self.name.clone(), value.clone());
            }
            Change::Remove => {
                headers.remove(&self.name);
            }
        }
    }

    /// What it does.
    pub fn change(&self) -> HeaderChange {
        match self.change {
            Change::Set(_) => HeaderChange::Set,
            Change::Add(_) => HeaderChange::Add,
            Change::Remove => HeaderChange::Remove,
        }
    }
}

impl FromStr for HeaderRule {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let shown = text.escape_debug();
        let invalid = || {
            Invalid::new(format!(
                "Invalid header rule '{shown}': write 'Name: value' to set one, '+Name: value' to add one, '-Name' to remove one"
            ))
        };
        let (name, change) = match text.strip_prefix('-') {
            Some(name) => (name, Change::Remove),
            None => {
                let (name, value) = text.split_once(':').ok_or_else(invalid)?;
                let value = HeaderValue::from_str(value.trim()).map_err(|_| invalid())?;
                match name.strip_prefix('+') {
                    Some(name) => (name, Change::Add(value)),
                    None => (name, Change::Set(value)),
                }
            }
        };
        let name: HeaderName = name.trim().parse().map_err(|_| invalid())?;
        if frames_the_message(&name) {
            return Err(Invalid::new(format!(
                "The header {name} belongs to the connection: the router sets it itself"
            )));
        }
        Ok(Self { name, change })
    }
}

// With these, a rule could take a message apart or lead it to another app.
fn frames_the_message(name: &HeaderName) -> bool {
    [
        CONNECTION,
        CONTENT_ENCODING,
        CONTENT_LENGTH,
        HOST,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ]
    .contains(name)
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

impl fmt::Display for HeaderRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        match &self.change {
            Change::Set(value) => write!(f, "{}: {}", self.name, text(value)),
            Change::Add(value) => write!(f, "+{}: {}", self.name, text(value)),
            Change::Remove => write!(f, "-{}", self.name),
        }
    }
}
