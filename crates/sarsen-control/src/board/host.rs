//! The host: how busy it is, what runs on it, and who may come in.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use sarsen_domain::{AppName, Rights};
use sarsen_store::PluginRun;

use super::trends::ratio;
use super::{CatalogRow, CertificateWarning, HostStrip, KeyRow, PluginRow, SessionRow, TokenRow};
use crate::control::Control;
use crate::failure::Outcome;
use crate::session::Actor;

/// An engine that says nothing for so long is busy; one that is gone says so at once.
const ENGINE_PATIENCE: Duration = Duration::from_millis(250);
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How busy the processors were between the last two looks.
#[derive(Debug, Default)]
pub(crate) struct HostMeter(Mutex<Meter>);

#[derive(Debug, Default)]
struct Meter {
    last: Option<Ticks>,
    busy: Option<f64>,
}

/// What the kernel counted since it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl HostMeter {
    /// Looks once more.
    pub(crate) fn look(&self) {
        let Some(now) = std::fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|text| ticks(&text))
        else {
            return;
        };
        let mut meter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = meter.last {
            let all = now.all.saturating_sub(last.all);
            let idle = now.idle.saturating_sub(last.idle);
            if all > 0 {
                meter.busy = Some(ratio(all.saturating_sub(idle), all));
            }
        }
        meter.last = Some(now);
    }

    fn busy(&self) -> Option<f64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).busy
    }
}

fn ticks(stat: &str) -> Option<Ticks> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let counts: Vec<u64> = line
        .split_whitespace()
        .filter_map(|count| count.parse().ok())
        .collect();
    // Waiting for a disk is idle time as well.
    let idle = counts.get(3)? + counts.get(4).copied().unwrap_or(0);
    Some(Ticks {
        idle,
        all: counts.iter().take(8).sum(),
    })
}

/// Memory in use and in all, in bytes.
fn memory(meminfo: &str) -> Option<(u64, u64)> {
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line
            .trim_start_matches(':')
            .split_whitespace()
            .next()?
            .parse()
            .ok()?;
        Some(kib * 1024)
    };
    let total = field("MemTotal")?;
    Some((total.saturating_sub(field("MemAvailable")?), total))
}

fn load(text: &str) -> [f64; 3] {
    let mut load = [0.0; 3];
    for (slot, word) in load.iter_mut().zip(text.split_whitespace()) {
        *slot = word.parse().unwrap_or_default();
    }
    load
}

/// Used and all of the disk that a folder is on, in bytes.
fn disk(folder: &Path) -> Option<(u64, u64)> {
    let facts = statvfs(folder).ok()?;
    let block = facts.fragment_size();
    let total = facts.blocks() * block;
    Some((
        total.saturating_sub(facts.blocks_available() * block),
        total,
    ))
}

impl Control {
    /// Whether the engine answers. One that is busy takes seconds, which no page waits for.
    async fn engine_seems_well(&self) -> bool {
        let asked = tokio::time::timeout(ENGINE_PATIENCE, self.runtime.ping()).await;
        asked.map_or(true, |answer| answer.is_ok())
    }

    /// The strip on top of the list of apps. What is an app's counts where the caller may see the app.
    pub async fn host_strip(&self, actor: &Actor) -> Outcome<HostStrip> {
        let (store, usage, trends) =
            tokio::join!(self.store.ping(), self.usage_now(), self.trends());
        let (usage, trends) = (usage?, trends?);
        let own = || {
            usage
                .iter()
                .filter(|(app, _)| actor.sees(app))
                .flat_map(|(_, rows)| rows)
        };
        let lately = trends.iter().filter(|(app, _)| actor.sees(app));
        let lately: u64 = lately.map(|(_, trend)| trend.last_minute).sum();
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let (memory_used, memory_total) = memory(&read("/proc/meminfo")).unwrap_or_default();
        let (disk_used, disk_total) = disk(&self.settings.data_dir).unwrap_or_default();
        Ok(HostStrip {
            version: VERSION,
            engine: self.engine_seems_well().await,
            store: store.is_ok(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: self.meter.busy(),
            load: load(&read("/proc/loadavg")),
            memory_used,
            memory_total,
            disk_used,
            disk_total,
            requests_per_second: ratio(lately, 60),
            connections: self.router.stats().connections,
            apps_memory: own().map(|usage| usage.memory).sum(),
            apps_cpu_millis: own().map(|usage| usage.cpu_millis).sum(),
            certificate_warnings: self.certificate_warnings(actor).await?,
        })
    }

    async fn certificate_warnings(&self, actor: &Actor) -> Outcome<Vec<CertificateWarning>> {
        let certificates = self.certificates().await?;
        let own = certificates
            .into_iter()
            .filter(|view| actor.sees(&view.app));
        let warnings = own.filter_map(|view| {
            Some(CertificateWarning {
                warning: view.warning?,
                app: view.app.to_string(),
            })
        });
        Ok(warnings.collect())
    }

    /// The catalog: every service that was found on the host.
    pub fn catalog_rows(&self) -> Vec<CatalogRow> {
        let catalog = self.registry.catalog();
        let services = catalog.services().values();
        let row = |service: &sarsen_domain::Service| CatalogRow {
            name: service.name.clone(),
            address: service.address.to_string(),
            health: service.health.as_str(),
            app: service.owner.as_ref().map(|owner| owner.app.to_string()),
            container: service.container.as_str().chars().take(12).collect(),
            tags: service.tags.clone(),
        };
        services.map(row).collect()
    }

    /// The plugins, and how long their scripts took.
    pub async fn plugin_rows(&self) -> Outcome<Vec<PluginRow>> {
        let plugins = self
            .plugins
            .list()
            .map_err(|error| crate::Failure::new(error.to_string()))?;
        let mut rows = Vec::new();
        for plugin in plugins.into_iter().filter(|plugin| !plugin.core) {
            let runs = self
                .store
                .plugin_runs()
                .newest(plugin.name.as_str(), 100)
                .await?;
            let mut times: Vec<i64> = runs.iter().map(|run| run.millis).collect();
            times.sort_unstable();
            let (version, description) = match plugin.manifest {
                Ok(manifest) => (manifest.version, manifest.description),
                Err(why) => (String::new(), why),
            };
            rows.push(PluginRow {
                name: plugin.name.to_string(),
                version,
                description,
                enabled: plugin.enabled,
                runs: runs.len(),
                failures: runs
                    .iter()
                    .filter(|run: &&PluginRun| run.exit_code != 0)
                    .count(),
                median_ms: times.get(times.len() / 2).copied(),
                slowest_ms: times.last().copied(),
            });
        }
        Ok(rows)
    }

    /// The keys that may log in, and what each may do.
    pub async fn key_rows(&self) -> Outcome<Vec<KeyRow>> {
        let mut rights: BTreeMap<String, Rights> = BTreeMap::new();
        for grant in self.store.access().list().await? {
            let of = rights.entry(grant.key.to_string()).or_default();
            match grant.app {
                Some(app) => drop(of.apps.insert(app, grant.right)),
                None => of.everywhere = Some(grant.right),
            }
        }
        let keys = self.store.ssh_keys().list().await?;
        let row = |key: sarsen_domain::SshKey| KeyRow {
            rights: rights
                .get(key.name.as_str())
                .map(in_words)
                .unwrap_or_default(),
            name: key.name.to_string(),
            fingerprint: key.fingerprint,
        };
        Ok(keys.into_iter().map(row).collect())
    }

    /// The tokens that this one may see.
    pub async fn token_rows(&self, actor: &Actor) -> Outcome<Vec<TokenRow>> {
        let mut rows = Vec::new();
        for token in self.tokens_of(actor).await? {
            // As much as its limit, and no more than its holder may now.
            let may = self.rights_of(&token.holder, Some(&token.limit)).await?;
            rows.push(TokenRow {
                rights: in_words(&may),
                holder: token.holder.name().to_owned(),
                name: token.name,
                created_at: token.created_at,
                expires_at: token.expires_at,
                used_at: token.used_at,
            });
        }
        Ok(rows)
    }

    /// The sessions that this one may see; `current` is the one that asks.
    pub async fn session_rows(
        &self,
        actor: &Actor,
        current: Option<i64>,
    ) -> Outcome<Vec<SessionRow>> {
        let sessions = self.sessions_of(actor).await?;
        let row = |session: sarsen_store::SessionRecord| SessionRow {
            id: session.id,
            holder: session.holder.name().to_owned(),
            source: session.source.map(|ip| ip.to_string()),
            agent: session.agent,
            created_at: session.created_at,
            seen_at: session.seen_at,
            current: current == Some(session.id),
        };
        Ok(sessions.into_iter().map(row).collect())
    }
}

fn in_words(rights: &Rights) -> Vec<String> {
    let everywhere = rights.everywhere.map(|right| format!("{right} everywhere"));
    let on = |(app, right): (&AppName, &sarsen_domain::Right)| format!("{right} on {app}");
    everywhere
        .into_iter()
        .chain(rights.apps.iter().map(on))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let ticks = ticks("cpu  100 0 50 800 50 0 0 0 7 7\ncpu0 1\n").unwrap();
        assert_eq!(
            ticks,
            Ticks {
                idle: 850,
                all: 1000
            }
        );
        let text = "MemTotal:        2000 kB\nMemFree: 1 kB\nMemAvailable:     500 kB\n";
        assert_eq!(memory(text), Some((1500 * 1024, 2000 * 1024)));
        let [one, _, fifteen] = load("0.50 1.00 1.50 1/100 7");
        assert!((one - 0.5).abs() < 1e-9 && (fifteen - 1.5).abs() < 1e-9);
        let (used, total) = disk(Path::new("/")).unwrap();
        assert!(used <= total && total > 0);
        let meter = HostMeter::default();
        meter.look();
        assert_eq!(meter.busy(), None, "one look tells nothing");
    }
}
