//! `plugin.toml`: what a plugin says about itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Deserialize;

/// Far more than anybody writes.
const SIZE_MAX: u64 = 64 * 1024;
pub(crate) const FILE: &str = "plugin.toml";

/// What a plugin says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// A line for lists.
    pub description: String,
    /// As the author counts.
    pub version: String,
    /// Exported to its scripts as `CONFIG_KEY`.
    pub config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct File {
    plugin: Table,
}

#[derive(Deserialize)]
struct Table {
    #[serde(default)]
    description: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    config: BTreeMap<String, toml::Value>,
}

impl Manifest {
    /// Reads a plugin's file; an error is the reason, in words.
    pub(crate) fn read(folder: &Path) -> Result<Self, String> {
        let path = folder.join(FILE);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() > SIZE_MAX => {
                return Err(format!("its {FILE} is too large"));
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(format!("it has no {FILE}"));
            }
            Err(error) => return Err(format!("its {FILE} cannot be read: {error}")),
        }
        let text = fs::read_to_string(&path)
            .map_err(|error| format!("its {FILE} cannot be read: {error}"))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text)
            .map_err(|error| format!("its {FILE} cannot be understood: {}", error.message()))?;
        let Table {
            description,
            version,
            config,
        } = file.plugin;
        // These end up on people's terminals.
        let clean = |text: String| text.replace(|c: char| c.is_control(), " ");
        Ok(Self {
            description: clean(description),
            version: clean(version),
            config: config
                .into_iter()
                .filter_map(|(key, value)| Some((key, scalar(value)?)))
                .collect(),
        })
    }
}

fn scalar(value: toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Datetime(time) => Some(time.to_string()),
        toml::Value::Array(_) | toml::Value::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_read_and_the_second_may_be_missing() {
        let text = "[plugin]\ndescription = \"a\\u001bb\"\nversion = \"1.0\"\nsponsors = [\"x\"]\n\
                    [plugin.config]\nport = 80\nlist = [1]\n";
        let manifest = Manifest::parse(text).unwrap();
        assert_eq!(manifest.description, "a b");
        assert_eq!(manifest.version, "1.0");
        assert_eq!(
            manifest.config,
            BTreeMap::from([("port".into(), "80".into())])
        );
        assert_eq!(Manifest::parse("[plugin]").unwrap(), Manifest::default());
    }

    #[test]
    fn nonsense_is_told() {
        for (text, reason) in [("", "plugin"), ("[plugin", ""), ("plugin = 1", "")] {
            let error = Manifest::parse(text).unwrap_err();
            assert!(
                error.contains("cannot be understood") && error.contains(reason),
                "{error}"
            );
        }
    }
}
