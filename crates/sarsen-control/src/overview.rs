//! What the dashboard shows: whole pages' worth of facts, read at once. Nothing here changes anything.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use sarsen_domain::{
    AppName, BuildId, BuildStatus, CommitId, Health, ProcessIndex, ProcessType, ReleaseNumber,
};
use sarsen_registry::Catalog;
use sarsen_router::AppRoute;
use sarsen_store::{AppSummary, Instance, InstanceState};

pub use sarsen_router::{AppStats, LATENCY_MS, RouterStats};
pub use sarsen_store::{BuildRecord, ReleaseSummary};

use crate::control::Control;
use crate::failure::Outcome;
use crate::routes::compute;

/// A page shows so many releases and builds.
const NEWEST: usize = 20;
/// A page shows so much of a log, from its end.
const LOG_MAX: u64 = 512 * 1024;

/// One app's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppOverview {
    pub name: AppName,
    pub condition: Condition,
    /// A deploy is under way.
    pub deploying: bool,
    /// The release that serves, and what it was built from.
    pub release: Option<ReleaseNumber>,
    pub commit: Option<CommitId>,
    /// Unix seconds.
    pub released_at: Option<i64>,
    /// Containers that are meant to run, and those that the formation asks for.
    pub live: u32,
    pub wanted: u32,
    pub last_build: Option<BuildStatus>,
    /// Where it answers, best first.
    pub url: Option<String>,
}

/// How an app is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    NeverDeployed,
    Stopped,
    /// Everything that should get requests does.
    Running,
    /// Some of its containers do not pass their checks.
    Degraded,
    /// None of its web containers does.
    Down,
}

/// One app's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppDetails {
    pub overview: AppOverview,
    pub urls: Vec<String>,
    pub instances: Vec<InstanceLine>,
    pub releases: Vec<ReleaseSummary>,
    pub builds: Vec<BuildRecord>,
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceLine {
    pub process: ProcessType,
    pub index: ProcessIndex,
    pub release: ReleaseNumber,
    /// `running`, `starting`, …
    pub state: &'static str,
    /// The first characters of its id.
    pub container: Option<String>,
    /// Unix seconds.
    pub created_at: i64,
}

/// One build's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildDetails {
    pub build: BuildRecord,
    /// The end of its log.
    pub log: String,
    /// Bytes of the log that are not in `log`.
    pub omitted: u64,
}

/// Whether the parts that everything depends on answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    pub store: bool,
    pub engine: bool,
}

impl Condition {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverDeployed => "not deployed",
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Control {
    /// Every app, by name.
    pub async fn overview(&self) -> Outcome<Vec<AppOverview>> {
        let summaries = self.store.apps().summaries().await?;
        let view = self.routing_view().await?;
        let mut live_web: HashMap<AppName, usize> = HashMap::new();
        for instance in &view.live {
            *live_web.entry(instance.app.clone()).or_default() += 1;
        }
        let routes = compute(&view, self.registry.catalog().services());
        let routes: HashMap<_, _> = routes.iter().map(|route| (&route.app, route)).collect();
        let overview = |summary: AppSummary| {
            let name = summary.app.name.clone();
            let route = routes.get(&name).copied();
            let serving = route.map_or(0, |route| route.upstreams.len());
            AppOverview {
                condition: condition(&summary, live_web.get(&name).copied().unwrap_or(0), serving),
                deploying: self.locks.holder(&name).is_some(),
                release: summary.app.live_release,
                commit: summary.commit,
                released_at: summary.released_at,
                live: summary.live_instances,
                wanted: summary.wanted_instances,
                last_build: summary.last_build,
                url: route.and_then(|route| url(route, self.settings.http_port)),
                name,
            }
        };
        Ok(summaries.into_iter().map(overview).collect())
    }

    /// One app; nothing when there is none of that name.
    pub async fn app_details(&self, app: &AppName) -> Outcome<Option<AppDetails>> {
        let Some(overview) = self
            .overview()
            .await?
            .into_iter()
            .find(|overview| overview.name == *app)
        else {
            return Ok(None);
        };
        let catalog = self.registry.catalog();
        let instances = self.store.instances().list(app).await?;
        let mut builds = self.store.builds().list(app).await?;
        builds.truncate(NEWEST);
        Ok(Some(AppDetails {
            overview,
            urls: self.urls(app).await?,
            instances: instances
                .iter()
                .map(|instance| instance_line(instance, &catalog))
                .collect(),
            releases: self.store.releases().list(app, NEWEST).await?,
            builds,
        }))
    }

    /// One build of an app with its log; nothing when there is none.
    pub async fn build_details(
        &self,
        app: &AppName,
        id: &BuildId,
    ) -> Outcome<Option<BuildDetails>> {
        use sarsen_store::StoreError::{NoSuch, NoSuchApp};
        let build = match self.store.builds().get(app, id).await {
            Ok(build) => build,
            Err(NoSuch { .. } | NoSuchApp(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (log, omitted) = match end_of(&self.logs.path(app, id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (String::new(), 0),
            read => read?,
        };
        Ok(Some(BuildDetails {
            build,
            log,
            omitted,
        }))
    }

    /// Reads the log of an app's build from some place on, while it grows.
    pub async fn follow_build(
        &self,
        app: &AppName,
        id: &BuildId,
        position: u64,
    ) -> Outcome<crate::build_log::BuildFollower> {
        // An id alone gives no right to look at another app's build.
        self.store.builds().get(app, id).await?;
        Ok(self.logs.follower(app, id, position))
    }

    /// Where an app's build has its log.
    pub async fn build_log_path(&self, app: &AppName, id: &BuildId) -> Outcome<std::path::PathBuf> {
        self.store.builds().get(app, id).await?;
        Ok(self.logs.path(app, id))
    }

    /// Asks store and engine for a sign of life.
    pub async fn pulse(&self) -> Pulse {
        let (store, engine) = tokio::join!(self.store.ping(), self.runtime.ping());
        Pulse {
            store: store.is_ok(),
            engine: engine.is_ok(),
        }
    }

    /// The router's counters.
    pub fn router_stats(&self) -> RouterStats {
        self.router.stats()
    }
}

fn condition(summary: &AppSummary, live_web: usize, serving: usize) -> Condition {
    if summary.app.stopped {
        return Condition::Stopped;
    }
    if summary.app.live_release.is_none() {
        return Condition::NeverDeployed;
    }
    match serving {
        0 if live_web > 0 => Condition::Down,
        some if some < live_web => Condition::Degraded,
        _ if summary.live_instances < summary.wanted_instances.min(1) => Condition::Down,
        _ => Condition::Running,
    }
}

fn url(route: &AppRoute, main: u16) -> Option<String> {
    let host = route
        .hosts
        .iter()
        .find(|host| !host.is_catch_all() && host.wildcard_suffix().is_none())?;
    let ports = || route.ports.iter().map(|port| port.host_port);
    let port = ports()
        .find(|port| *port == main)
        .or_else(|| ports().next())?;
    Some(if port == 80 {
        format!("http://{host}")
    } else {
        format!("http://{host}:{port}")
    })
}

fn instance_line(instance: &Instance, catalog: &Catalog) -> InstanceLine {
    let health = instance.container.as_ref().and_then(|id| {
        let mut services = catalog.by_container(id);
        services.next().map(|service| service.health)
    });
    let state = match (instance.state, health) {
        (InstanceState::Candidate, _) => "being checked",
        (InstanceState::Retiring, _) => "stopping",
        (InstanceState::Live, Some(Health::Passing)) => "serving",
        (InstanceState::Live, Some(Health::Starting)) => "starting",
        (InstanceState::Live, Some(Health::Critical)) => "failing its checks",
        (InstanceState::Live, None) if instance.process.is_web() => "down",
        (InstanceState::Live, None) => "live",
    };
    InstanceLine {
        process: instance.process.clone(),
        index: instance.index,
        release: instance.release,
        state,
        container: instance
            .container
            .as_ref()
            .map(|id| id.as_str().chars().take(12).collect()),
        created_at: instance.created_at,
    }
}

/// The end of a log as text, from the beginning of a line, and how much comes before.
fn end_of(path: &Path) -> io::Result<(String, u64)> {
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    let skipped = length.saturating_sub(LOG_MAX);
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(LOG_MAX).read_to_end(&mut bytes)?;
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    if skipped > 0 {
        let line = text.find('\n').map_or(0, |end| end + 1);
        text.drain(..line);
    }
    Ok((text, skipped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_router::{AppState, RoutePort};

    fn route(hosts: &[&str], ports: &[u16]) -> AppRoute {
        AppRoute {
            app: "a".parse().unwrap(),
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            ports: ports
                .iter()
                .map(|port| RoutePort::http(*port, 5000))
                .collect(),
            upstreams: Vec::new(),
            state: AppState::Serving,
            policy: std::sync::Arc::default(),
        }
    }

    #[test]
    fn the_url_is_one_that_can_be_opened() {
        let cases = [
            (
                route(&["_", "*.x.y", "a.b"], &[9000, 80]),
                80,
                Some("http://a.b"),
            ),
            (route(&["a.b"], &[9000]), 80, Some("http://a.b:9000")),
            (
                route(&["a.b"], &[9000, 8080]),
                8080,
                Some("http://a.b:8080"),
            ),
            (route(&["_"], &[80]), 80, None),
            (route(&["a.b"], &[]), 80, None),
        ];
        for (route, main, expected) in cases {
            assert_eq!(url(&route, main).as_deref(), expected, "{route:?}");
        }
    }

    #[test]
    fn the_end_of_a_log_begins_with_a_line() {
        let folder = std::env::temp_dir().join(format!("sarsen-overview-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("log");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!(end_of(&path).unwrap(), ("one\ntwo\n".to_owned(), 0));
        let line = "x".repeat(99) + "\n";
        std::fs::write(&path, line.repeat(6000)).unwrap();
        let (text, omitted) = end_of(&path).unwrap();
        assert!(text.starts_with('x') && text.len() % 100 == 0);
        assert_eq!(omitted, 600_000 - LOG_MAX);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
