//! Config vars: keys, values and the forms in which they are shown.

mod difference;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Invalid, Secret, padded, text_newtype};

pub use difference::Difference;

/// The name of a config var: `^[A-Za-z_][A-Za-z0-9_]*$`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvKey(String);
text_newtype!(EnvKey);

impl EnvKey {
    /// Parses a key.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        if !starts_well || !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(Invalid::new(format!(
                "Invalid key name: '{}' (letters, digits and underscores, not beginning with a digit)",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

/// An environment, sorted by key. Values stay wrapped until they are handed to a container or to their owner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config(BTreeMap<EnvKey, Secret<String>>);

impl Config {
    /// Adds or replaces one var. A NUL cannot be part of an environment.
    pub fn set(&mut self, key: EnvKey, value: impl Into<String>) -> Result<(), Invalid> {
        let value = value.into();
        if value.contains('\0') {
            return Err(Invalid::new(format!(
                "The value of {key} holds a NUL byte, which no environment can carry"
            )));
        }
        self.0.insert(key, Secret::new(value));
        Ok(())
    }

    /// Removes one var; true when it was there.
    pub fn unset(&mut self, key: &EnvKey) -> bool {
        self.0.remove(key).is_some()
    }

    /// The value of one var, in the open.
    pub fn get(&self, key: &str) -> Option<&str> {
        let key = EnvKey::parse(key).ok()?;
        self.0.get(&key).map(|value| value.expose().as_str())
    }

    /// All vars in key order, values in the open.
    pub fn iter(&self) -> impl Iterator<Item = (&EnvKey, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key, value.expose().as_str()))
    }

    /// The number of vars.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no var at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// This environment with another laid over it (the other one wins).
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let mut merged = self.0.clone();
        merged.extend(over.0.iter().map(|(k, v)| (k.clone(), v.clone())));
        Self(merged)
    }

    /// `KEY=value` strings, as the container engine takes them.
    pub fn to_env(&self) -> Vec<String> {
        self.iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect()
    }
}

impl FromIterator<(EnvKey, String)> for Config {
    fn from_iter<I: IntoIterator<Item = (EnvKey, String)>>(vars: I) -> Self {
        Self(
            vars.into_iter()
                .map(|(key, value)| (key, Secret::new(value)))
                .collect(),
        )
    }
}

/// The forms that `config:export` offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExportFormat {
    /// `export KEY='value'`
    Exports,
    /// `KEY="value"`
    Envfile,
    /// `--env=KEY='value'`, one line
    DockerArgs,
    /// `--env=KEY`, one line
    DockerArgsKeys,
    /// `KEY='value' KEY='value'`
    Shell,
    /// Aligned table
    Pretty,
    /// An object
    Json,
    /// A list of `{name, value}`
    JsonList,
    /// `--env KEY`, one line
    PackKeys,
}

impl std::str::FromStr for ExportFormat {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Ok(match text {
            "exports" => Self::Exports,
            "envfile" => Self::Envfile,
            "docker-args" => Self::DockerArgs,
            "docker-args-keys" => Self::DockerArgsKeys,
            "shell" => Self::Shell,
            "pretty" => Self::Pretty,
            "json" => Self::Json,
            "json-list" => Self::JsonList,
            "pack-keys" => Self::PackKeys,
            other => {
                return Err(Invalid::new(format!(
                    "Unknown export format '{other}': use exports, envfile, docker-args, docker-args-keys, shell, pretty, json, json-list or pack-keys"
                )));
            }
        })
    }
}

impl Config {
    /// The whole environment in one of the export forms, without a final newline.
    pub fn export(&self, format: ExportFormat) -> String {
        let each = |line: &dyn Fn(&EnvKey, &str) -> String| {
            self.iter().map(|(k, v)| line(k, v)).collect::<Vec<_>>()
        };
        match format {
            ExportFormat::Exports => {
                each(&|k, v| format!("export {k}={}", single_quoted(v))).join("\n")
            }
            ExportFormat::Envfile => each(&|k, v| format!("{k}={}", double_quoted(v))).join("\n"),
            ExportFormat::DockerArgs => {
                each(&|k, v| format!("--env={k}={}", single_quoted(v))).join(" ")
            }
            ExportFormat::DockerArgsKeys => each(&|k, _| format!("--env={k}")).join(" "),
            ExportFormat::Shell => each(&|k, v| format!("{k}={}", single_quoted(v))).join(" "),
            ExportFormat::PackKeys => each(&|k, _| format!("--env {k}")).join(" "),
            ExportFormat::Pretty => self.pretty(),
            ExportFormat::Json => {
                let map: serde_json::Map<_, _> = self
                    .iter()
                    .map(|(k, v)| (k.to_string(), v.into()))
                    .collect();
                serde_json::Value::Object(map).to_string()
            }
            ExportFormat::JsonList => {
                let list = self
                    .iter()
                    .map(|(k, v)| serde_json::json!({"name": k.as_str(), "value": v}));
                serde_json::Value::Array(list.collect()).to_string()
            }
        }
    }

    /// `KEY:  value` rows, values aligned.
    pub fn pretty(&self) -> String {
        let width = self
            .0
            .keys()
            .map(|key| key.as_str().len())
            .max()
            .unwrap_or(0);
        let rows = self.iter().map(|(key, value)| {
            let mut row = String::new();
            padded(&mut row, &format!("{key}:"), width + 3);
            row + value
        });
        rows.collect::<Vec<_>>().join("\n")
    }
}

/// The text as one word of a POSIX shell, in single quotes.
pub fn single_quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '"' | '\\' | '$' | '`' => {
                quoted.push('\\');
                quoted.push(c);
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Config {
        vars.iter()
            .map(|(k, v)| (EnvKey::parse(k).unwrap(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn keys_follow_the_rule() {
        assert!(EnvKey::parse("_A1").is_ok());
        for bad in ["", "1A", "A-B", "A B", "A=B", "A\n", "Ä"] {
            assert!(EnvKey::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_export_form() {
        let vars = config(&[("A", "it's"), ("LONG", "x\ny")]);
        let export = |format: &str| vars.export(format.parse().unwrap());
        assert_eq!(export("exports"), "export A='it'\\''s'\nexport LONG='x\ny'");
        assert_eq!(export("envfile"), "A=\"it's\"\nLONG=\"x\\ny\"");
        assert_eq!(export("docker-args-keys"), "--env=A --env=LONG");
        assert_eq!(export("json"), r#"{"A":"it's","LONG":"x\ny"}"#);
        assert_eq!(
            export("json-list"),
            r#"[{"name":"A","value":"it's"},{"name":"LONG","value":"x\ny"}]"#
        );
        assert_eq!(export("pretty"), "A:     it's\nLONG:  x\ny");
        assert!("toml".parse::<ExportFormat>().is_err());
    }

    #[test]
    fn the_upper_layer_wins() {
        let merged = config(&[("A", "1"), ("B", "1")]).overlaid(&config(&[("B", "2")]));
        assert_eq!(merged.to_env(), ["A=1", "B=2"]);
    }

    #[test]
    fn nul_is_refused() {
        assert!(
            Config::default()
                .set(EnvKey::parse("A").unwrap(), "a\0b")
                .is_err()
        );
    }
}
