//! A deploy: its phases with their times, what they take usually, and why it failed.

use std::collections::BTreeMap;

use sarsen_domain::{AppName, BuildId, BuildStatus, ReleaseNumber};
use sarsen_store::{BuildRecord, StageRecord};

use super::apps::build_row;
use super::{Cause, Comparison, DeployBoard, Difference, Phase};
use crate::control::Control;
use crate::failure::Outcome;

/// Medians are of so many deploys.
const USUAL: usize = 20;

/// The phases that people see, and the stages of the line that each begins with.
const PHASES: [(&str, &[&str]); 7] = [
    ("receive", &["receive"]),
    ("build", &["build"]),
    ("release", &["release"]),
    ("start", &["deploy"]),
    ("health", &["health"]),
    ("switch", &["register", "route"]),
    ("drain", &["retire"]),
];

/// When the phases of one build began, and when it ended, in milliseconds.
#[derive(Debug, Default)]
struct Times {
    starts: [Option<i64>; PHASES.len()],
    end: Option<i64>,
}

impl Times {
    fn of<'a>(stages: impl IntoIterator<Item = &'a StageRecord>) -> Self {
        let mut times = Self::default();
        for record in stages {
            let place = PHASES
                .iter()
                .position(|(_, stages)| stages.contains(&record.stage.as_str()));
            let slot = match place.and_then(|place| times.starts.get_mut(place)) {
                Some(slot) => slot,
                None if record.stage == "end" => &mut times.end,
                None => continue,
            };
            *slot = Some(slot.map_or(record.started_ms, |known| known.min(record.started_ms)));
        }
        times
    }

    /// How long a phase took: until the next one that there was, or the end.
    fn took(&self, place: usize) -> Option<i64> {
        let start = *self.starts.get(place)?;
        let next = self.starts.iter().skip(place + 1).flatten().min().copied();
        Some(next.or(self.end)? - start?)
    }

    fn whole(&self) -> Option<i64> {
        Some(self.end? - self.starts.iter().flatten().min()?)
    }

    fn last(&self) -> Option<usize> {
        self.starts.iter().rposition(Option::is_some)
    }
}

impl Control {
    /// One deploy's page; nothing when there is none.
    pub async fn deploy_board(&self, app: &AppName, id: &BuildId) -> Outcome<Option<DeployBoard>> {
        use sarsen_store::StoreError::{NoSuch, NoSuchApp};
        let build = match self.store.builds().get(app, id).await {
            Ok(build) => build,
            Err(NoSuch { .. } | NoSuchApp(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stages = self.store.builds().stages(id).await?;
        let usual = self.usual_times(app).await?;
        let previous = self.replaced_by(app, build.release).await?;
        Ok(Some(DeployBoard {
            phases: phases(&build, &Times::of(&stages), &usual),
            usual_ms: median(usual.iter().filter_map(Times::whole)),
            cause: cause(&build),
            build: build_row(&build),
            previous,
        }))
    }

    pub(super) async fn usual_ms(&self, app: &AppName) -> Outcome<Option<i64>> {
        let usual = self.usual_times(app).await?;
        Ok(median(usual.iter().filter_map(Times::whole)))
    }

    async fn usual_times(&self, app: &AppName) -> Outcome<Vec<Times>> {
        let mut by_build: BTreeMap<BuildId, Vec<StageRecord>> = BTreeMap::new();
        for record in self.store.builds().usual_stages(app, USUAL).await? {
            by_build
                .entry(record.build.clone())
                .or_default()
                .push(record);
        }
        Ok(by_build.values().map(Times::of).collect())
    }

    /// The release that served before this one.
    async fn replaced_by(
        &self,
        app: &AppName,
        release: Option<ReleaseNumber>,
    ) -> Outcome<Option<u32>> {
        let Some(release) = release else {
            return Ok(None);
        };
        let all = self.store.releases().list(app, 50).await?;
        let mut older = all.iter().filter(|other| other.number < release);
        let served = older.find(|other| other.state != sarsen_domain::ReleaseState::Failed);
        Ok(served.map(|release| release.number.0))
    }

    /// Two releases of an app side by side.
    pub async fn compare_releases(&self, app: &AppName, from: u32, to: u32) -> Outcome<Comparison> {
        let releases = self.store.releases();
        let (a, b) = (
            releases.get(app, ReleaseNumber(from)).await?,
            releases.get(app, ReleaseNumber(to)).await?,
        );
        let commit = |release: &sarsen_domain::Release| {
            release
                .commit
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default()
        };
        let mut rows = Rows::default();
        rows.one("commit", &commit(&a), &commit(&b));
        rows.one("image", a.image.as_str(), b.image.as_str());
        rows.one("builder", &a.builder.to_string(), &b.builder.to_string());
        let (pa, pb) = (a.procfile.iter(), b.procfile.iter());
        let text = |(process, command): (&sarsen_domain::ProcessType, &str)| {
            (format!("process {process}"), command.to_owned())
        };
        rows.many(pa.map(text), pb.map(text));
        let count = |(process, count): (&sarsen_domain::ProcessType, u32)| {
            (format!("scale {process}"), count.to_string())
        };
        rows.many(a.formation.iter().map(count), b.formation.iter().map(count));
        rows.config(&a.config, &b.config);
        rows.one(
            "app.json",
            a.app_json.as_deref().unwrap_or_default(),
            b.app_json.as_deref().unwrap_or_default(),
        );
        Ok(Comparison {
            from,
            to,
            rows: rows.0,
        })
    }
}

#[derive(Default)]
struct Rows(Vec<Difference>);

impl Rows {
    fn one(&mut self, what: &str, from: &str, to: &str) {
        if from != to {
            self.0.push(Difference {
                what: what.to_owned(),
                from: from.to_owned(),
                to: to.to_owned(),
            });
        }
    }

    fn many(
        &mut self,
        from: impl Iterator<Item = (String, String)>,
        to: impl Iterator<Item = (String, String)>,
    ) {
        let mut both: BTreeMap<String, (String, String)> = BTreeMap::new();
        for (what, value) in from {
            both.entry(what).or_default().0 = value;
        }
        for (what, value) in to {
            both.entry(what).or_default().1 = value;
        }
        for (what, (from, to)) in both {
            self.one(&what, &from, &to);
        }
    }

    /// Which vars differ, and never how.
    fn config(&mut self, from: &sarsen_domain::Config, to: &sarsen_domain::Config) {
        let keys: std::collections::BTreeSet<&str> = from
            .iter()
            .chain(to.iter())
            .map(|(key, _)| key.as_str())
            .collect();
        for key in keys {
            let words = match (from.get(key), to.get(key)) {
                (Some(from), Some(to)) if from != to => ("set", "set to something else"),
                (Some(_), None) => ("set", ""),
                (None, Some(_)) => ("", "set"),
                _ => continue,
            };
            self.one(&format!("config {key}"), words.0, words.1);
        }
    }
}

fn phases(build: &BuildRecord, times: &Times, usual: &[Times]) -> Vec<Phase> {
    let last = times.last();
    let phase = |(place, (name, _)): (usize, &(&'static str, &[&str]))| {
        let started_ms = times.starts.get(place).copied().flatten();
        let state = match (started_ms, build.status) {
            (Some(_), BuildStatus::Running) if last == Some(place) => "running",
            (Some(_), BuildStatus::Failed | BuildStatus::Canceled | BuildStatus::Abandoned)
                if last == Some(place) =>
            {
                "failed"
            }
            (Some(_), _) => "done",
            (None, _) if last.is_some_and(|last| place < last) => "skipped",
            (None, BuildStatus::Running) => "waiting",
            (None, _) => "skipped",
        };
        Phase {
            name,
            state,
            started_ms,
            took_ms: times.took(place),
            median_ms: median(usual.iter().filter_map(|times| times.took(place))),
        }
    };
    PHASES.iter().enumerate().map(phase).collect()
}

fn median(values: impl Iterator<Item = i64>) -> Option<i64> {
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

fn cause(build: &BuildRecord) -> Option<Cause> {
    let title = match build.status {
        BuildStatus::Failed => match build.stage.as_deref() {
            Some("build") => "The build failed",
            Some("release") => "The release task failed",
            Some("deploy") => "A container could not be started",
            Some("health") => "The new containers did not become healthy",
            Some("register" | "route") => "The switch to the new release failed",
            _ => "The deploy failed",
        },
        BuildStatus::Canceled => "Somebody cancelled the deploy",
        BuildStatus::Abandoned => "The daemon ended during the deploy",
        BuildStatus::Running | BuildStatus::Succeeded => return None,
    };
    let app = &build.app;
    let hint = match (build.status, build.stage.as_deref()) {
        (BuildStatus::Failed, Some("build")) => {
            "The end of the log below is what the builder said last.".to_owned()
        }
        (BuildStatus::Failed, Some("deploy" | "health")) => {
            format!(
                "'logs:failed {app}' shows what these containers wrote; 'checks:report {app}' what was asked of them."
            )
        }
        (BuildStatus::Canceled | BuildStatus::Abandoned, _) => {
            format!("'ps:rebuild {app}' tries again.")
        }
        _ => "The release before this one goes on serving, if there was one.".to_owned(),
    };
    Some(Cause {
        title: title.to_owned(),
        detail: build.error.clone().unwrap_or_default(),
        hint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(stage: &str, started_ms: i64) -> StageRecord {
        StageRecord {
            build: BuildId::from_parts(1, 2),
            stage: stage.to_owned(),
            started_ms,
        }
    }

    #[test]
    fn a_phase_lasts_until_the_next_one_that_there_was() {
        let stages = [
            record("receive", 1000),
            record("build", 1100),
            record("deploy", 5000),
            record("route", 7000),
            record("register", 6900),
            record("end", 7500),
        ];
        let times = Times::of(&stages);
        let took: Vec<_> = (0..PHASES.len()).map(|place| times.took(place)).collect();
        let expected = [
            Some(100),
            Some(3900),
            None,
            Some(1900),
            None,
            Some(600),
            None,
        ];
        assert_eq!(
            (took.as_slice(), times.whole()),
            (expected.as_slice(), Some(6500))
        );
        assert_eq!(median([3, 1, 2].into_iter()), Some(2));
        assert_eq!(median([].into_iter()), None);
    }
}
