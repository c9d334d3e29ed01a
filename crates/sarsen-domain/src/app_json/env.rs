//! app.json's `env`: config vars that an app wants to have when it is first deployed.

use serde::Deserialize;

use crate::{Config, EnvKey, Invalid};

/// One wanted config var.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvEntry {
    /// Its name.
    pub key: EnvKey,
    /// Where its value comes from when it has none yet.
    pub value: EnvValue,
    /// Without a value there is no deploy.
    pub required: bool,
    /// The file's value is laid over the app's own in each deploy, not only in the first.
    pub sync: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvValue {
    /// The file gives it.
    Given(String),
    /// 64 random hex digits.
    Secret,
    /// A person must set it.
    Absent,
}

/// What app.json's `env` asks of a deploy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EnvPlan {
    /// To be set, in the order of the file.
    pub set: Vec<(EnvKey, EnvValue)>,
    /// Required, and without any value.
    pub missing: Vec<EnvKey>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum RawEnv {
    Value(String),
    Entry(RawEntry),
}

#[derive(Deserialize)]
pub(super) struct RawEntry {
    value: Option<String>,
    generator: Option<String>,
    required: Option<bool>,
    #[serde(default)]
    sync: bool,
}

impl EnvEntry {
    pub(super) fn from_raw(key: &str, raw: RawEnv) -> Result<Self, Invalid> {
        let invalid = |what: String| Invalid::new(format!("Invalid env in app.json: {what}"));
        let key = EnvKey::parse(key).map_err(|error| invalid(error.0))?;
        let entry = match raw {
            RawEnv::Value(value) => RawEntry {
                value: Some(value),
                generator: None,
                required: None,
                sync: false,
            },
            RawEnv::Entry(entry) => entry,
        };
        let value = match (entry.generator.as_deref(), entry.value) {
            (Some("secret"), _) => EnvValue::Secret,
            (Some(other), _) => {
                return Err(invalid(format!(
                    "{key} has the generator '{}', and only 'secret' is known",
                    other.escape_debug()
                )));
            }
            // An empty default is as good as none.
            (None, Some(value)) if !value.is_empty() => EnvValue::Given(value),
            (None, _) => EnvValue::Absent,
        };
        Ok(Self {
            key,
            value,
            required: entry.required.unwrap_or(true),
            sync: entry.sync,
        })
    }
}

/// What is to be set for a deploy with this config; `first` when the app was never deployed.
pub fn plan(entries: &[EnvEntry], config: &Config, deploy: Deploy) -> EnvPlan {
    let mut plan = EnvPlan::default();
    for entry in entries {
        if deploy == Deploy::Later && !entry.sync {
            continue;
        }
        let has_value = config
            .get(entry.key.as_str())
            .is_some_and(|value| !value.is_empty());
        match &entry.value {
            EnvValue::Absent if entry.required && !has_value => {
                plan.missing.push(entry.key.clone());
            }
            EnvValue::Absent => {}
            EnvValue::Given(value) if config.get(entry.key.as_str()) == Some(value) => {}
            EnvValue::Given(_) | EnvValue::Secret if has_value && !entry.sync => {}
            value @ (EnvValue::Given(_) | EnvValue::Secret) => {
                plan.set.push((entry.key.clone(), value.clone()));
            }
        }
    }
    plan
}

/// Which deploy of an app it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deploy {
    /// It has never served.
    First,
    /// It has.
    Later,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AppJson;

    fn entries() -> Vec<EnvEntry> {
        AppJson::parse(
            r#"{"env": {
              "PLAIN": "x", "EMPTY": "",
              "TOKEN": {"generator": "secret", "description": "d"},
              "NEEDED": {"required": true}, "MAYBE": {"required": false},
              "LEVEL": {"value": "info", "sync": true}
            }}"#,
        )
        .unwrap()
        .env
    }

    fn config(pairs: &[(&str, &str)]) -> Config {
        let mut config = Config::default();
        for (key, value) in pairs {
            config.set(EnvKey::parse(key).unwrap(), *value).unwrap();
        }
        config
    }

    fn keys(list: &[(EnvKey, EnvValue)]) -> Vec<&str> {
        list.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[test]
    fn the_first_deploy_looks_at_all_and_keeps_what_is_there() {
        let plan_of = |pairs: &[(&str, &str)]| plan(&entries(), &config(pairs), Deploy::First);
        let fresh = plan_of(&[("PLAIN", "mine")]);
        assert_eq!(keys(&fresh.set), ["TOKEN", "LEVEL"]);
        let missing: Vec<_> = fresh.missing.iter().map(EnvKey::as_str).collect();
        assert_eq!(missing, ["EMPTY", "NEEDED"]);
        assert!(
            plan_of(&[("EMPTY", "1"), ("NEEDED", "1")])
                .missing
                .is_empty()
        );
    }

    #[test]
    fn later_ones_only_at_what_is_synced() {
        let later = plan(&entries(), &config(&[("LEVEL", "debug")]), Deploy::Later);
        assert_eq!(keys(&later.set), ["LEVEL"]);
        let same = plan(&entries(), &config(&[("LEVEL", "info")]), Deploy::Later);
        assert_eq!(same, EnvPlan::default());
    }

    #[test]
    fn unknown_generators_and_bad_names_are_refused() {
        for bad in [
            r#"{"env": {"A": {"generator": "uuid"}}}"#,
            r#"{"env": {"1A": "x"}}"#,
            r#"{"env": {"A": 1}}"#,
            r#"{"env": ["A"]}"#,
        ] {
            assert!(AppJson::parse(bad).is_err(), "{bad}");
        }
    }
}
