//! What a container says of its services: `SERVICE_X` and `SERVICE_<port>_X`, from its environment and its labels.

use std::collections::BTreeMap;

use sarsen_runtime::{ContainerInfo, ImageInfo};

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
    by_port: BTreeMap<String, BTreeMap<String, String>>,
}

type Pair<'a> = (&'a str, &'a str);

impl Metadata {
    /// `image` tells what came with the image and what was said of this container: what was said wins.
    pub(crate) fn of(
        info: &ContainerInfo,
        image: Option<&ImageInfo>,
        precedence: Precedence,
    ) -> Self {
        let came = |pair: &Pair<'_>, all: &[Pair<'_>]| all.contains(pair);
        let image_env: Vec<_> = image.map(|i| lines(&i.env).collect()).unwrap_or_default();
        let image_labels: Vec<_> = image
            .map(|i| pairs(&i.labels).collect())
            .unwrap_or_default();
        let (env_of_image, env): (Vec<_>, Vec<_>) =
            lines(&info.env).partition(|pair| came(pair, &image_env));
        let (labels_of_image, labels): (Vec<_>, Vec<_>) =
            pairs(&info.labels).partition(|pair| came(pair, &image_labels));
        let mut metadata = Self::default();
        let in_order = match precedence {
            Precedence::Labels => [env_of_image, labels_of_image, env, labels],
            Precedence::Environment => [labels_of_image, labels, env_of_image, env],
        };
        metadata.read(in_order.into_iter().flatten());
        metadata
    }

    /// These values, without the prefix.
    #[cfg(test)]
    pub(crate) fn given(values: &[(&str, &str)]) -> Self {
        let mut metadata = Self::default();
        metadata.read(values.iter().copied());
        metadata
    }

    /// Whether a container says the like both in its environment and in labels, so that it matters what its image
    /// says.
    pub(crate) fn is_divided(info: &ContainerInfo) -> bool {
        lines(&info.env).next().is_some() && pairs(&info.labels).next().is_some()
    }

    /// Later pairs replace earlier ones.
    fn read<'a>(&mut self, pairs: impl Iterator<Item = Pair<'a>>) {
        for (key, value) in pairs {
            let of_port = key
                .split_once('_')
                .filter(|(port, _)| port.parse::<i64>().is_ok());
            let (place, key) = match of_port {
                Some((port, rest)) => (self.by_port.entry(port.to_owned()).or_default(), rest),
                None => (&mut self.generic, key),
            };
            place.insert(key.to_lowercase(), value.to_owned());
        }
    }

    fn of_port(&self, port: u16, key: &str) -> Option<&str> {
        self.by_port
            .get(&port.to_string())?
            .get(key)
            .map(String::as_str)
    }

    /// Whether a value is given for this port itself.
    pub(crate) fn is_for_port(&self, port: u16, key: &str) -> bool {
        self.of_port(port, key).is_some()
    }

    /// A value for this port, else the one for all. An empty one counts as none, and hides the one for all.
    pub(crate) fn get(&self, port: u16, key: &str) -> Option<&str> {
        let generic = || self.generic.get(key).map(String::as_str);
        let value = self.of_port(port, key).or_else(generic);
        value.filter(|value| !value.is_empty())
    }

    /// Everything else that is said of this port. Keys are made legal for Consul: an illegal one would make it refuse
    /// the whole service.
    pub(crate) fn attributes(&self, port: u16) -> BTreeMap<String, String> {
        let own = self.by_port.get(&port.to_string());
        let all = self.generic.iter().chain(own.into_iter().flatten());
        let mut attributes = BTreeMap::new();
        for (key, value) in all {
            if !["id", "name", "tags", "ignore"].contains(&key.as_str()) {
                attributes.insert(legal(key), value.clone());
            }
        }
        attributes
    }
}

/// A key of letters, digits, `-` and `_`, not longer than Consul takes it.
fn legal(key: &str) -> String {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let legal = key.chars().map(|c| if is_legal(c) { c } else { '_' });
    legal.take(128).collect()
}

fn lines(env: &[String]) -> impl Iterator<Item = Pair<'_>> {
    env.iter()
        .filter_map(|line| line.split_once('='))
        .filter_map(named)
}

fn pairs(labels: &BTreeMap<String, String>) -> impl Iterator<Item = Pair<'_>> {
    labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .filter_map(named)
}

fn named<'a>((key, value): Pair<'a>) -> Option<Pair<'a>> {
    let key = key.strip_prefix(PREFIX).filter(|key| !key.is_empty())?;
    Some((key, value))
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
mod tests;
