//! What pages show of an app's insides: its config as it is, its properties, the last lines it wrote.

use std::collections::BTreeMap;

use futures_util::TryStreamExt;
use sarsen_deploy::{LogFormat, LogSource, TextStyle};
use sarsen_domain::{AppName, ProcessType};
use sarsen_runtime::LogOptions;
use sarsen_store::Scope;
use serde::Serialize;

use crate::control::Control;
use crate::failure::Outcome;
use crate::property::Concern;
use crate::verbs::{app_json, builder, checks, git, ps};

/// A line that a process wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// RFC 3339, as the engine gives it.
    pub at: String,
    /// `web.1`
    pub dyno: String,
    pub text: String,
}

/// A property of an app that pages offer to change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Property {
    /// `git` of `git:set`.
    pub verb: &'static str,
    pub key: &'static str,
    pub title: &'static str,
    /// The app's own value; empty when it has none.
    pub value: String,
    /// What holds without one.
    pub default: String,
}

/// Those that people change most.
const OFFERED: [(&Concern, &str, &str); 8] = [
    (&git::CONCERN, "deploy-branch", "Branch that is deployed"),
    (
        &builder::CONCERN,
        "selected",
        "Builder (dockerfile, herokuish; empty: detected)",
    ),
    (
        &builder::CONCERN,
        "build-dir",
        "Folder of the repository that is built",
    ),
    (&ps::CONCERN, "procfile-path", "Path of the Procfile"),
    (&app_json::CONCERN, "appjson-path", "Path of app.json"),
    (
        &ps::CONCERN,
        "restart-policy",
        "When containers start again",
    ),
    (
        &ps::CONCERN,
        "stop-timeout-seconds",
        "Seconds that processes have to end",
    ),
    (
        &checks::CONCERN,
        "wait-to-retire",
        "Seconds until replaced containers end",
    ),
];

impl Control {
    /// An app's own config vars with their values: for whoever may look inside.
    pub async fn config_values(&self, app: &AppName) -> Outcome<BTreeMap<String, String>> {
        let config = self.store.config().get(&Scope::App(app.clone())).await?;
        let pairs = config.iter();
        Ok(pairs
            .map(|(key, value)| (key.to_string(), value.to_owned()))
            .collect())
    }

    /// The properties that pages offer to change.
    pub async fn property_rows(&self, app: &AppName) -> Outcome<Vec<Property>> {
        let scope = Scope::App(app.clone());
        let mut rows = Vec::new();
        for (concern, key, title) in OFFERED {
            let own = self
                .store
                .properties()
                .get(&scope, concern.plugin, key)
                .await?;
            rows.push(Property {
                verb: concern.plugin,
                key,
                title,
                value: own.unwrap_or_default(),
                default: concern.global(self, key).await?,
            });
        }
        Ok(rows)
    }

    /// The last lines of an app's live containers, by time: so many of each.
    pub async fn log_lines(
        &self,
        app: &AppName,
        process: Option<&ProcessType>,
        count: u32,
    ) -> Outcome<Vec<LogLine>> {
        let options = LogOptions {
            follow: false,
            tail: Some(count),
            timestamps: true,
        };
        let live = self.live_instances(app).await?;
        let wanted = live
            .into_iter()
            .filter(|one| process.is_none_or(|process| *process == one.process));
        let sources = wanted.filter_map(|one| {
            Some(LogSource {
                dyno: format!("{}.{}", one.process, one.index),
                container: one.container?,
                index: one.index,
            })
        });
        let format = (LogFormat::Full, TextStyle::Plain);
        let stream = self
            .deployer
            .log_stream(sources.collect(), options, format)
            .await?;
        let lines: Vec<_> = stream.try_collect().await?;
        Ok(lines.iter().map(|line| log_line(line.as_ref())).collect())
    }
}

/// `2026-11-22T10:00:00.123456789Z app[web.1]: text`
fn log_line(bytes: &[u8]) -> LogLine {
    let line = String::from_utf8_lossy(bytes);
    let line = line.trim_end_matches(['\n', '\r']);
    let (at, rest) = line.split_once(' ').unwrap_or(("", line));
    let parts = rest
        .strip_prefix("app[")
        .and_then(|rest| rest.split_once("]:"));
    let (dyno, text) = parts.unwrap_or(("", rest));
    LogLine {
        at: at.to_owned(),
        dyno: dyno.to_owned(),
        text: text.strip_prefix(' ').unwrap_or(text).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_apart() {
        let line = log_line(b"2026-11-22T10:00:00.1Z app[web.1]: GET /  200\n");
        assert_eq!(
            (line.at.as_str(), line.dyno.as_str()),
            ("2026-11-22T10:00:00.1Z", "web.1")
        );
        assert_eq!(line.text, "GET /  200");
    }
}
