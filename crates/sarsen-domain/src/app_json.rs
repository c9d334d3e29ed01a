//! app.json: what a repository says of the app it holds. Comments are accepted, unknown keys are ignored.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{BuildpackRef, Check, Formation, Invalid, ProcessType};

/// The parts of app.json that take part in a deploy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppJson {
    /// Buildpacks, when the app has none set.
    pub buildpacks: Vec<BuildpackRef>,
    /// Quantities that the file fixes.
    pub formation: Formation,
    /// Startup checks by process type.
    pub healthchecks: BTreeMap<ProcessType, Vec<Check>>,
    /// Runs in the new image before the release command, in each deploy.
    pub predeploy: Option<String>,
    /// Runs after the switch, in each deploy.
    pub postdeploy: Option<String>,
    /// Runs once, before the first deploy.
    pub first_deploy: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Raw {
    buildpacks: Vec<RawBuildpack>,
    formation: BTreeMap<String, RawFormation>,
    healthchecks: BTreeMap<String, Vec<serde_json::Value>>,
    scripts: RawScripts,
}

#[derive(Deserialize)]
struct RawBuildpack {
    url: String,
}

#[derive(Deserialize)]
struct RawFormation {
    quantity: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawScripts {
    postdeploy: Option<String>,
    dokku: RawDokkuScripts,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawDokkuScripts {
    predeploy: Option<String>,
    postdeploy: Option<String>,
}

impl AppJson {
    /// Parses the text of an app.json.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |what: String| Invalid::new(format!("Invalid app.json: {what}"));
        let value =
            jsonc_parser::parse_to_serde_value(text, &jsonc_parser::ParseOptions::default())
                .map_err(|error| invalid(error.to_string()))?
                .ok_or_else(|| invalid("it is empty".to_owned()))?;
        if !value.is_object() {
            return Err(invalid("it must be an object".to_owned()));
        }
        let raw: Raw = serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
        let mut formation = Formation::default();
        for (process, entry) in raw.formation {
            if let Some(quantity) = entry.quantity {
                let (process, quantity) =
                    crate::formation::parse_scale(&format!("{process}={quantity}"))?;
                formation.set(process, quantity);
            }
        }
        let mut healthchecks = BTreeMap::new();
        for (process, checks) in raw.healthchecks {
            let parsed: Result<Vec<_>, _> = checks.into_iter().map(Check::from_json).collect();
            healthchecks.insert(
                ProcessType::parse(&process)?,
                parsed?.into_iter().flatten().collect(),
            );
        }
        let buildpacks: Result<_, _> = raw
            .buildpacks
            .iter()
            .map(|entry| BuildpackRef::parse(&entry.url))
            .collect();
        Ok(Self {
            buildpacks: buildpacks?,
            formation,
            healthchecks,
            predeploy: raw.scripts.dokku.predeploy,
            postdeploy: raw.scripts.dokku.postdeploy,
            first_deploy: raw.scripts.postdeploy,
        })
    }

    /// The startup checks of one process type.
    pub fn checks(&self, process: &ProcessType) -> &[Check] {
        self.healthchecks.get(process).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_takes_part_in_a_deploy() {
        let app = AppJson::parse(
            r#"{
              // comments are fine
              "name": "x", "keywords": ["ignored"],
              "buildpacks": [{"url": "heroku/python"}],
              "formation": {"web": {"quantity": 2}, "worker": {}},
              "healthchecks": {"web": [{"path": "/up"}, {"type": "liveness", "path": "/"}]},
              "scripts": {"postdeploy": "first", "dokku": {"predeploy": "pre", "postdeploy": "post"}}
            }"#,
        )
        .unwrap();
        assert_eq!(app.formation.quantity(&ProcessType::web()), 2);
        assert_eq!(app.formation.iter().count(), 1);
        assert_eq!(app.checks(&ProcessType::web()).len(), 1);
        assert_eq!(app.predeploy.as_deref(), Some("pre"));
        assert_eq!(app.first_deploy.as_deref(), Some("first"));
        assert_eq!(app.buildpacks.len(), 1);
    }

    #[test]
    fn errors_name_the_file() {
        for bad in [
            "",
            "{",
            "[]",
            r#"{"formation": {"web": {"quantity": -1}}}"#,
            r#"{"healthchecks": {"web": [{}]}}"#,
        ] {
            assert!(
                AppJson::parse(bad)
                    .unwrap_err()
                    .to_string()
                    .contains("app.json"),
                "{bad}"
            );
        }
    }
}
