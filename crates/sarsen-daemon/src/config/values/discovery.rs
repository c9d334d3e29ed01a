//! The kinds of values that the catalog's settings have.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sarsen_registry::{Deregister, ExtraTags};

use super::{Raw, Setting, Word, list, quoted};

/// The id of a node: a UUID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeId(pub String);

/// What is to be known of a node: `rack=r1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeMeta(pub BTreeMap<String, String>);

impl Word for IpAddr {
    const ALLOWED: &'static str = "an address of this host, such as \"10.0.0.5\"";

    fn parse(text: &str) -> Option<Self> {
        let address: Self = text.parse().ok()?;
        (!address.is_unspecified() && !address.is_multicast()).then_some(address)
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Word for Deregister {
    const ALLOWED: &'static str = "\"always\" or \"on-success\"";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "always" => Some(Self::Always),
            "on-success" => Some(Self::OnSuccess),
            _ => None,
        }
    }

    fn show(&self) -> String {
        quoted(match self {
            Self::Always => "always",
            Self::OnSuccess => "on-success",
        })
    }
}

impl Word for NodeId {
    const ALLOWED: &'static str = "a UUID such as \"8d2a1b8e-6a1b-4c1d-9f5e-0d6f6a2b7c11\"";

    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let is_right = parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]);
        let is_hex = text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        (is_right && is_hex).then(|| Self(text.to_ascii_lowercase()))
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

impl Setting for NodeMeta {
    fn read(raw: &Raw) -> Result<Self, String> {
        let is_key = |key: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !key.is_empty() && key.len() <= 128 && key.chars().all(legal)
        };
        let mut found = BTreeMap::new();
        for item in raw.items() {
            let pair = item.split_once('=');
            let pair = pair.filter(|(key, value)| is_key(key) && value.len() <= 512);
            let Some((key, value)) = pair else {
                return Err(
                    "a list of KEY=VALUE, keys of letters, digits, - and _, values up to 512 bytes"
                        .to_owned(),
                );
            };
            if key.starts_with("consul-") {
                return Err(format!("{key} is not ours to set: consul- is Consul's"));
            }
            found.insert(key.to_owned(), value.to_owned());
        }
        if found.len() > 64 {
            return Err("a list of at most 64 pairs".to_owned());
        }
        Ok(Self(found))
    }

    fn show(&self) -> String {
        let pairs = self.0.iter();
        list(pairs.map(|(key, value)| quoted(&format!("{key}={value}"))))
    }
}

impl Setting for ExtraTags {
    fn read(raw: &Raw) -> Result<Self, String> {
        // A template can hold commas and spaces.
        let template = match raw {
            Raw::One(text) => text.clone(),
            Raw::Many(items) => items.join(","),
        };
        Self::parse(&template).map_err(|error| error.to_string())
    }

    fn show(&self) -> String {
        quoted(self.template())
    }
}
