//! `/tmp/build.json`, in which the stack's `/build` says what it did.

use sarsen_domain::{ProcessType, Procfile};
use serde::Deserialize;

use crate::BuildError;

/// What a build in a container came to.
pub(super) struct BuildResult {
    /// With the buildpacks' defaults.
    pub(super) procfile: Procfile,
    /// The Procfile's text when it does not lie where the stack's `/start` looks for it.
    pub(super) moved_procfile: Option<String>,
    pub(super) buildpacks: Vec<String>,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    buildpacks: Vec<String>,
    #[serde(default)]
    process_types: serde_json::Map<String, serde_json::Value>,
}

/// The report, parsed. The app's own code ran before it was written, so it is not to be trusted.
pub(super) struct Report {
    pub(super) buildpacks: Vec<String>,
    /// All types: a Procfile's own and the defaults.
    pub(super) process_types: Vec<(ProcessType, String)>,
}

impl Report {
    pub(super) fn parse(text: &str) -> Result<Self, BuildError> {
        let raw: Raw = serde_json::from_str(text).map_err(|error| {
            BuildError::Failed(format!(
                "The build left a report that is no report: {error}"
            ))
        })?;
        let mut process_types = Vec::new();
        for (process, command) in raw.process_types {
            let Some(command) = command.as_str().map(str::trim) else {
                continue;
            };
            if !command.is_empty() && !command.contains('\0') {
                process_types.push((ProcessType::parse(&process)?, command.to_owned()));
            }
        }
        let printable = |name: &String| !name.chars().any(char::is_control) && name.len() < 200;
        Ok(Self {
            buildpacks: raw.buildpacks.into_iter().filter(printable).collect(),
            process_types,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fill_gaps_in_their_order() {
        let report = Report::parse(
            r#"{"buildpacks": ["nodejs", "a\nb"],
                "process_types": {"web": "npm start", "worker": " w ", "odd": 3, "none": ""}}"#,
        )
        .unwrap();
        assert_eq!(report.buildpacks, ["nodejs"]);
        let mut procfile = Procfile::parse("web: ./mine").unwrap();
        procfile.add_defaults(report.process_types);
        let entries: Vec<_> = procfile.iter().map(|(p, c)| (p.as_str(), c)).collect();
        assert_eq!(entries, [("web", "./mine"), ("worker", "w")]);
    }

    #[test]
    fn reports_by_strangers_are_refused() {
        assert!(Report::parse("").is_err());
        assert!(Report::parse(r#"{"process_types": {"--all": "x"}}"#).is_err());
        assert!(Report::parse("{}").unwrap().process_types.is_empty());
    }
}
