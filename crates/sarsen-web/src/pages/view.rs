//! Facts turned into what the templates print.

use sarsen_control::overview::{AppOverview, BuildRecord, Condition, InstanceLine, ReleaseSummary};
use sarsen_domain::{BuildStatus, ReleaseState};

use crate::words::{ago, exact, length, short};

/// A point in time: short to see, exact on hovering.
pub(super) struct When {
    pub(super) ago: String,
    pub(super) exact: String,
}

pub(super) struct AppRow {
    pub(super) name: String,
    pub(super) state: &'static str,
    /// The colour's name in the style sheet.
    pub(super) tone: &'static str,
    pub(super) deploying: bool,
    pub(super) release: String,
    pub(super) commit: String,
    pub(super) when: Option<When>,
    pub(super) processes: String,
    pub(super) last_build: &'static str,
    pub(super) last_build_tone: &'static str,
    pub(super) url: Option<String>,
}

pub(super) struct InstanceRow {
    pub(super) name: String,
    pub(super) release: String,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) container: String,
    pub(super) when: When,
}

pub(super) struct ReleaseRow {
    pub(super) number: String,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) commit: String,
    pub(super) description: String,
    pub(super) author: String,
    pub(super) build: String,
    pub(super) when: When,
}

pub(super) struct BuildRow {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) tone: &'static str,
    pub(super) source: &'static str,
    pub(super) commit: String,
    pub(super) release: String,
    pub(super) author: String,
    pub(super) took: String,
    pub(super) stage: String,
    pub(super) error: String,
    pub(super) when: When,
}

impl When {
    fn new(seconds: i64, now: i64) -> Self {
        Self {
            ago: ago(seconds, now),
            exact: exact(seconds),
        }
    }
}

impl AppRow {
    pub(super) fn new(app: &AppOverview, now: i64) -> Self {
        Self {
            name: app.name.to_string(),
            state: app.condition.as_str(),
            tone: match app.condition {
                Condition::Running => "good",
                Condition::Degraded => "odd",
                Condition::Down => "bad",
                Condition::NeverDeployed | Condition::Stopped => "idle",
            },
            deploying: app.deploying,
            release: app
                .release
                .map(|number| number.to_string())
                .unwrap_or_default(),
            commit: app
                .commit
                .as_ref()
                .map(|commit| short(commit.as_str()))
                .unwrap_or_default(),
            when: app.released_at.map(|seconds| When::new(seconds, now)),
            processes: format!("{}/{}", app.live, app.wanted),
            last_build: app.last_build.map_or("", BuildStatus::as_str),
            last_build_tone: app.last_build.map_or("idle", build_tone),
            // Nothing answers there before the first deploy.
            url: app
                .url
                .clone()
                .filter(|_| app.condition != Condition::NeverDeployed),
        }
    }
}

impl InstanceRow {
    pub(super) fn new(line: &InstanceLine, now: i64) -> Self {
        Self {
            name: format!("{}.{}", line.process, line.index),
            release: line.release.to_string(),
            state: line.state,
            tone: match line.state {
                "serving" | "live" => "good",
                "down" | "failing its checks" => "bad",
                _ => "odd",
            },
            container: line.container.clone().unwrap_or_default(),
            when: When::new(line.created_at, now),
        }
    }
}

impl ReleaseRow {
    pub(super) fn new(release: &ReleaseSummary, now: i64) -> Self {
        Self {
            number: release.number.to_string(),
            state: release.state.as_str(),
            tone: match release.state {
                ReleaseState::Live => "good",
                ReleaseState::Pending => "odd",
                ReleaseState::Retired => "idle",
                ReleaseState::Failed => "bad",
            },
            commit: release
                .commit
                .as_ref()
                .map(|commit| short(commit.as_str()))
                .unwrap_or_default(),
            description: release.description.clone(),
            author: release.author.clone(),
            build: release.build.to_string(),
            when: When::new(release.created_at, now),
        }
    }
}

impl BuildRow {
    pub(super) fn new(build: &BuildRecord, now: i64) -> Self {
        let end = build.finished_at.unwrap_or(now);
        Self {
            id: build.id.to_string(),
            status: build.status.as_str(),
            tone: build_tone(build.status),
            source: build.source.as_str(),
            commit: build
                .commit
                .as_ref()
                .map(|commit| short(commit.as_str()))
                .unwrap_or_default(),
            release: build
                .release
                .map(|number| number.to_string())
                .unwrap_or_default(),
            author: build.author.clone(),
            took: length(end - build.started_at),
            stage: build
                .stage
                .clone()
                .filter(|_| build.finished_at.is_none())
                .unwrap_or_default(),
            error: build.error.clone().unwrap_or_default(),
            when: When::new(build.started_at, now),
        }
    }
}

fn build_tone(status: BuildStatus) -> &'static str {
    match status {
        BuildStatus::Succeeded => "good",
        BuildStatus::Running => "odd",
        BuildStatus::Failed => "bad",
        BuildStatus::Canceled | BuildStatus::Abandoned => "idle",
    }
}
