//! app.json: what a repository says of the app it holds. Comments are accepted, unknown keys are ignored.

use std::collections::{BTreeMap, BTreeSet};

use indexmap::IndexMap;
use serde::Deserialize;

use crate::{BuildpackRef, Check, ConcurrencyPolicy, CronTask, Formation, Invalid, ProcessType};

pub mod env;
mod form;
#[cfg(test)]
mod fuzz;

pub use env::{Deploy, EnvEntry, EnvPlan, EnvValue};

/// More scheduled tasks than this are a mistake.
const CRON_MAX: usize = 200;

/// The parts of app.json that take part in a deploy.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppJson {
    /// Buildpacks, when the app has none set.
    pub buildpacks: Vec<BuildpackRef>,
    /// Quantities that the file fixes.
    pub formation: Formation,
    /// How many containers of a type may start at the same time, where the file says so.
    pub max_parallel: BTreeMap<ProcessType, usize>,
    /// Config vars that the app wants.
    pub env: Vec<EnvEntry>,
    /// Tasks that run at their times.
    pub cron: Vec<CronTask>,
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
    env: IndexMap<String, env::RawEnv>,
    cron: Vec<RawCron>,
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
    max_parallel: Option<i64>,
}

#[derive(Deserialize)]
struct RawCron {
    command: String,
    schedule: String,
    concurrency_policy: Option<String>,
    #[serde(default)]
    maintenance: bool,
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
        form::check(&value).map_err(|error| invalid(error.0))?;
        let raw: Raw = serde_json::from_value(value).map_err(|error| invalid(error.to_string()))?;
        Self::from_raw(raw).map_err(|error| match error {
            named if named.0.contains("app.json") => named,
            other => invalid(other.0),
        })
    }

    fn from_raw(raw: Raw) -> Result<Self, Invalid> {
        let mut parsed = Self {
            predeploy: script(raw.scripts.dokku.predeploy),
            postdeploy: script(raw.scripts.dokku.postdeploy),
            first_deploy: script(raw.scripts.postdeploy),
            cron: cron(raw.cron)?,
            ..Self::default()
        };
        for (process, entry) in raw.formation {
            parsed.add_formation(&process, &entry)?;
        }
        for (process, checks) in raw.healthchecks {
            let checks: Result<Vec<_>, _> = checks.into_iter().map(Check::from_json).collect();
            parsed.healthchecks.insert(
                ProcessType::parse(&process)?,
                checks?.into_iter().flatten().collect(),
            );
        }
        for entry in &raw.buildpacks {
            parsed.buildpacks.push(BuildpackRef::parse(&entry.url)?);
        }
        for (key, entry) in raw.env {
            parsed.env.push(EnvEntry::from_raw(&key, entry)?);
        }
        Ok(parsed)
    }

    fn add_formation(&mut self, process: &str, entry: &RawFormation) -> Result<(), Invalid> {
        if let Some(quantity) = entry.quantity {
            let pair = format!("{process}={quantity}");
            let (process, quantity) = crate::formation::parse_scale(&pair)?;
            self.formation.set(process, quantity);
        }
        if let Some(most) = entry.max_parallel {
            let process = ProcessType::parse(process)?;
            // Dokku's -1: all at once.
            let most = match most {
                -1 => usize::MAX,
                most => usize::try_from(most)
                    .ok()
                    .filter(|most| *most > 0)
                    .ok_or_else(|| {
                        Invalid::new(format!(
                            "the max_parallel of {process} must be 1 or more, or -1 for all"
                        ))
                    })?,
            };
            self.max_parallel.insert(process, most);
        }
        Ok(())
    }

    /// The startup checks of one process type.
    pub fn checks(&self, process: &ProcessType) -> &[Check] {
        self.healthchecks.get(process).map_or(&[], Vec::as_slice)
    }
}

/// A script of blanks is none.
fn script(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

fn cron(entries: Vec<RawCron>) -> Result<Vec<CronTask>, Invalid> {
    if entries.len() > CRON_MAX {
        return Err(Invalid::new(format!(
            "it has more than {CRON_MAX} cron entries"
        )));
    }
    let mut seen = BTreeSet::new();
    let mut tasks = Vec::new();
    for entry in entries {
        let mut task = CronTask::new(&entry.command, &entry.schedule)?;
        task.policy = match entry.concurrency_policy.as_deref() {
            None | Some("") => ConcurrencyPolicy::default(),
            Some(text) => text.parse()?,
        };
        task.maintenance = entry.maintenance;
        if !seen.insert((task.command.clone(), task.schedule.clone())) {
            return Err(Invalid::new(format!(
                "the cron entry '{}' with the schedule '{}' is there twice",
                task.command, task.schedule
            )));
        }
        tasks.push(task);
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_scheduled_tasks_and_parallelism() {
        let app = AppJson::parse(
            r#"{"cron": [
                 {"command": "node a.js", "schedule": "@hourly"},
                 {"command": "node b.js", "schedule": "0 3 * * 1", "concurrency_policy": "forbid", "maintenance": true}],
               "formation": {"web": {"max_parallel": 2}, "worker": {"max_parallel": -1, "quantity": 0}}}"#,
        )
        .unwrap();
        assert_eq!(app.cron.len(), 2);
        assert_eq!(app.cron[1].policy, ConcurrencyPolicy::Forbid);
        assert!(app.cron[1].maintenance && !app.cron[0].maintenance);
        assert_eq!(app.max_parallel[&ProcessType::web()], 2);
        assert_eq!(app.max_parallel.len(), 2);
    }

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
            "null",
            "[]",
            r#"{"formation": {"web": {"quantity": -1}}}"#,
            r#"{"healthchecks": {"web": [{}]}}"#,
            r#"{"formation": {"web": {"quantity": 501}}}"#,
            r#"{"formation": {"web": {"max_parallel": 0}}}"#,
            r#"{"cron": [{"command": "x"}]}"#,
            r#"{"cron": [{"command": "x", "schedule": "soon"}]}"#,
            r#"{"cron": [{"command": "x", "schedule": "@daily", "concurrency_policy": "maybe"}]}"#,
            r#"{"cron": [{"command": "x", "schedule": "@daily"}, {"command": "x", "schedule": "@daily"}]}"#,
            r#"{"cron": {"command": "x"}}"#,
            r#"{"scripts": {"postdeploy": 1}}"#,
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
