//! What a container says of its services: `SERVICE_X` and `SERVICE_<port>_X`, from its environment and its labels.

use std::collections::BTreeMap;

use sarsen_runtime::ContainerInfo;

const PREFIX: &str = "SERVICE_";

/// Which of a container's two sources wins when both set a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precedence {
    /// Registrator's way.
    Labels,
    /// For our own containers: their environment is what the deployer and the app's owner set, while labels can come
    /// from any base image.
    Environment,
}

/// The values of one container, keys in lower case without the prefix.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    generic: BTreeMap<String, String>,
    by_port: BTreeMap<u16, BTreeMap<String, String>>,
}

impl Metadata {
    pub(crate) fn of(info: &ContainerInfo, precedence: Precedence) -> Self {
        let environment = info.env.iter().filter_map(|line| line.split_once('='));
        let labels = info.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let mut metadata = Self::default();
        match precedence {
            Precedence::Labels => metadata.read(environment.chain(labels)),
            Precedence::Environment => metadata.read(labels.chain(environment)),
        }
        metadata
    }

    /// Later pairs replace earlier ones.
    fn read<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        for (key, value) in pairs {
            let Some(key) = key.strip_prefix(PREFIX).filter(|key| !key.is_empty()) else {
                continue;
            };
            let of_port = key
                .split_once('_')
                .and_then(|(port, rest)| Some((port.parse::<u16>().ok()?, rest)))
                .filter(|(_, rest)| !rest.is_empty());
            let (place, key) = match of_port {
                Some((port, rest)) => (self.by_port.entry(port).or_default(), rest),
                None => (&mut self.generic, key),
            };
            place.insert(key.to_ascii_lowercase(), value.to_owned());
        }
    }

    /// A value given for this port itself.
    pub(crate) fn for_port(&self, port: u16, key: &str) -> Option<&str> {
        self.by_port.get(&port)?.get(key).map(String::as_str)
    }

    /// A value given for all ports.
    pub(crate) fn generic(&self, key: &str) -> Option<&str> {
        self.generic.get(key).map(String::as_str)
    }

    /// A value for this port, else the one for all.
    pub(crate) fn get(&self, port: u16, key: &str) -> Option<&str> {
        self.for_port(port, key).or_else(|| self.generic(key))
    }

    /// Everything else that is said of this port.
    pub(crate) fn attributes(&self, port: u16) -> BTreeMap<String, String> {
        let mut attributes = self.generic.clone();
        attributes.extend(self.by_port.get(&port).cloned().unwrap_or_default());
        for key in ["id", "name", "tags"] {
            attributes.remove(key);
        }
        attributes
    }
}

/// A comma list; `\,` is a comma, empty parts are dropped.
pub(crate) fn comma_list(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, parts.last_mut()) {
            ('\\', Some(part)) if chars.peek() == Some(&',') => {
                part.push(',');
                chars.next();
            }
            (',', _) => parts.push(String::new()),
            (c, Some(part)) => part.push(c),
            (_, None) => {}
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comma_lists() {
        for (text, parts) in [
            ("", vec![]),
            ("a,b", vec!["a", "b"]),
            (r"a,b\,c,,d", vec!["a", "b,c", "d"]),
            (r"a\b,", vec![r"a\b"]),
            (",", vec![]),
        ] {
            assert_eq!(comma_list(text), parts, "{text}");
        }
    }
}
