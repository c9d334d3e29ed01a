//! Which apps' lines go where: every container of an app that has a sink is read, and its lines are put in the queue of
//! that sink. Level-triggered: what is read follows from the store and the properties.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use sarsen_deploy::drain::{Drain, DrainLine, DrainState, Senders, Sink};
use sarsen_deploy::{LogFormat, LogSource, TextStyle};
use sarsen_domain::container::label;
use sarsen_domain::{AppName, ContainerId};
use sarsen_runtime::LogOptions;
use sarsen_store::{InstanceState, Scope};
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::failure::Outcome;
use crate::verbs::logs::CONCERN;

/// How often it is looked for new containers and settings.
const LOOK: Duration = Duration::from_secs(2);
/// So much of a container that has started again is looked through for what is new.
const TAIL: u32 = 10_000;
/// Says that nothing is sent.
pub(crate) const STOPPED: &str = "drains-stopped";

/// What the drains share with the commands that tell of them.
#[derive(Debug, Default)]
pub(crate) struct Drains(Mutex<BTreeMap<Key, Running>>);

/// One app's way to one sink.
type Key = (AppName, String);

#[derive(Debug)]
struct Running {
    drain: Drain,
    shown: String,
    stop: CancellationToken,
    readers: HashMap<ContainerId, CancellationToken>,
}

/// A container whose lines are wanted.
struct Source {
    app: AppName,
    dyno: String,
    container: ContainerId,
    /// The sink, as it was set.
    sink: String,
    /// When the container was made, in unix seconds.
    made_at: i64,
}

impl Drains {
    /// How each drain is doing: app, sink without its secrets, state.
    pub(crate) fn states(&self) -> Vec<(AppName, String, DrainState)> {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .iter()
            .map(|((app, _), one)| (app.clone(), one.shown.clone(), one.drain.state_now()))
            .collect()
    }
}

impl Control {
    /// Sends apps' lines where they are wanted until the daemon ends.
    pub async fn keep_draining(self, shutdown: CancellationToken) {
        let folder = self.settings.data_dir.join("logs/drains");
        let senders = match Senders::new(folder) {
            Ok(senders) => senders,
            Err(error) => {
                tracing::error!(%error, "no certificates are trusted: logs cannot be sent anywhere");
                return shutdown.cancelled().await;
            }
        };
        let begun = crate::time::now();
        loop {
            match self.wanted_sources().await {
                Ok(sources) => self.follow_sources(sources, &senders, begun).await,
                Err(failure) => {
                    tracing::debug!(error = %failure, "cannot look which logs are to be sent");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = shutdown.cancelled() => break,
            }
        }
        let mut running = self.drains.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.values().for_each(|one| one.stop.cancel());
        running.clear();
    }

    async fn wanted_sources(&self) -> Outcome<Vec<Source>> {
        let properties = self.store.properties();
        let global = properties.all(&Scope::Global, CONCERN.plugin).await?;
        let mut sources = Vec::new();
        if global.get(STOPPED).is_some_and(|value| value == "true") {
            return Ok(sources);
        }
        for (key, kind) in [
            ("vector-sink", Kind::Deployed),
            ("vector-cron-sink", Kind::Cron),
        ] {
            let own = properties.by_app(CONCERN.plugin, key).await?;
            let overall = global.get(key);
            if own.is_empty() && overall.is_none() {
                continue;
            }
            let sink_of = |app: &AppName| own.get(app).or(overall).cloned();
            match kind {
                Kind::Deployed => self.deployed_sources(&sink_of, &mut sources).await?,
                Kind::Cron => self.cron_sources(&sink_of, &mut sources).await?,
            }
        }
        Ok(sources)
    }

    async fn deployed_sources(
        &self,
        sink_of: &(dyn Fn(&AppName) -> Option<String> + Sync),
        sources: &mut Vec<Source>,
    ) -> Outcome {
        for one in self.store.instances().all().await? {
            let (Some(sink), Some(container)) = (sink_of(&one.app), one.container.clone()) else {
                continue;
            };
            // One that is being seen off still has something to say; one that may never serve has its deploy's log.
            if one.state != InstanceState::Candidate {
                sources.push(Source {
                    dyno: format!("{}.{}", one.process, one.index),
                    app: one.app,
                    container,
                    sink,
                    made_at: one.created_at,
                });
            }
        }
        Ok(())
    }

    async fn cron_sources(
        &self,
        sink_of: &(dyn Fn(&AppName) -> Option<String> + Sync),
        sources: &mut Vec<Source>,
    ) -> Outcome {
        for info in self.deployer.cron_runs().await? {
            let label = |key: &str| info.labels.get(key).map(String::as_str);
            let Some(app) = label(label::APP).and_then(|app| AppName::parse(app).ok()) else {
                continue;
            };
            if let Some(sink) = sink_of(&app) {
                sources.push(Source {
                    app,
                    dyno: label(label::DYNO).unwrap_or("run").to_owned(),
                    container: info.id.clone(),
                    sink,
                    made_at: i64::MAX,
                });
            }
        }
        Ok(())
    }

    /// Starts reading what is new, and stops what is wanted no longer.
    async fn follow_sources(&self, sources: Vec<Source>, senders: &Senders, begun: i64) {
        let wanted: Vec<Key> = sources
            .iter()
            .map(|one| (one.app.clone(), one.sink.clone()))
            .collect();
        self.drop_unwanted(&wanted);
        for source in sources {
            let Ok(sink) = Sink::parse(&source.sink) else {
                continue;
            };
            let app = &source.app;
            let key = CONCERN.effective(self, app, "app-label-alias").await;
            let senders = key.map_or_else(|_| senders.clone(), |key| senders.with_app_key(&key));
            self.follow_source(source, sink, senders, begun);
        }
    }

    fn drop_unwanted(&self, wanted: &[Key]) {
        let mut running = self.drains.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|key, one| {
            let stays = wanted.contains(key);
            if !stays {
                one.stop.cancel();
            }
            stays
        });
        drop(running);
    }

    fn follow_source(&self, source: Source, sink: Sink, senders: Senders, begun: i64) {
        let mut running = self.drains.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = running.entry((source.app.clone(), source.sink.clone()));
        let one = entry.or_insert_with(|| {
            let (drain, stop) = (Drain::default(), self.shutdown.child_token());
            let shown = sink.to_string();
            self.tasks
                .spawn(drain.clone().run(sink, senders, stop.clone()));
            Running {
                drain,
                shown,
                stop,
                readers: HashMap::new(),
            }
        });
        // A reader that has ended has seen its container's end; when that runs again, so does the reader.
        one.readers.retain(|_, ended| !ended.is_cancelled());
        if one.readers.contains_key(&source.container) {
            return;
        }
        let ended = CancellationToken::new();
        one.readers.insert(source.container.clone(), ended.clone());
        let (drain, stop) = (one.drain.clone(), one.stop.clone());
        drop(running);
        let control = self.clone();
        self.tasks.spawn(async move {
            let reading = control.read_source(source, &drain, begun);
            tokio::select! {
                () = reading => {}
                () = stop.cancelled() => {}
            }
            ended.cancel();
        });
    }

    /// Reads a container for as long as it is there, also when it starts again. What it wrote before this daemon
    /// began is not sent again.
    async fn read_source(&self, source: Source, drain: &Drain, begun: i64) {
        let mut seen: Option<String> = None;
        loop {
            let is_new = source.made_at >= begun;
            let options = LogOptions {
                follow: true,
                tail: Some(if is_new || seen.is_some() { TAIL } else { 0 }),
                timestamps: true,
            };
            let from = LogSource {
                dyno: source.dyno.clone(),
                container: source.container.clone(),
                index: 1,
            };
            let style = (LogFormat::Full, TextStyle::Plain);
            let Ok(mut lines) = self.deployer.log_stream(vec![from], options, style).await else {
                return;
            };
            while let Some(Ok(line)) = lines.next().await {
                let Some(line) = parse(&line, &source) else {
                    continue;
                };
                if seen.as_ref().is_none_or(|seen| line.time > *seen) {
                    seen = Some(line.time.clone());
                    drain.push(line);
                }
            }
            // Gone, or about to start again.
            seen.get_or_insert_default();
            tokio::time::sleep(LOOK).await;
            match self.runtime.inspect(&source.container).await {
                Ok(info) if info.is_running() => {}
                Ok(_) => tokio::time::sleep(LOOK * 5).await,
                Err(_) => return,
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Deployed,
    Cron,
}

/// `TIME app[web.1]: text`
fn parse(line: &[u8], source: &Source) -> Option<DrainLine> {
    let line = String::from_utf8_lossy(line);
    let (time, rest) = line.split_once(' ')?;
    let (_, text) = rest.split_once("]: ")?;
    Some(DrainLine {
        time: time.to_owned(),
        app: source.app.to_string(),
        dyno: source.dyno.clone(),
        text: text.trim_end_matches(['\n', '\r']).to_owned(),
    })
}
