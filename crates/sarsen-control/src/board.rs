//! What the pages of the dashboard and the API show, as plain data: both doors give the same numbers.

mod activity;
mod apps;
mod charts;
mod deploys;
mod disk;
mod host;
mod looks;
mod settings;
mod trends;
mod values;

use serde::Serialize;

pub use charts::Range;
pub(crate) use disk::DiskUse;
pub(crate) use host::HostMeter;
pub(crate) use looks::DomainLooks;
pub use looks::DomainState;
pub(crate) use trends::Trends;
pub use values::{LogLine, Property};

/// One app's line in the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppCard {
    pub name: String,
    /// `running`, `degraded`, `down`, `stopped`, `not deployed`.
    pub state: &'static str,
    /// Visitors get the maintenance page.
    pub maintenance: bool,
    /// The build under way.
    pub deploying: Option<String>,
    pub release: Option<u32>,
    pub commit: Option<String>,
    /// Unix seconds, as every `…_at`.
    pub released_at: Option<i64>,
    pub live: u32,
    pub wanted: u32,
    pub last_build: Option<&'static str>,
    pub url: Option<String>,
    /// Requests in each of the last sixty minutes, oldest first.
    pub rpm: Vec<u32>,
    /// Of the last ten minutes, weighed by requests; none without any.
    pub p95_ms: Option<f64>,
    /// The part of the last ten minutes' requests that were answered with 5xx.
    pub share_5xx: f64,
    /// Bytes, of all its processes.
    pub memory: u64,
    /// Thousandths of a core.
    pub cpu_millis: u64,
}

/// A deploy under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunningDeploy {
    pub app: String,
    pub build: String,
    pub stage: Option<String>,
    pub started_at: i64,
    pub source: &'static str,
    pub author: String,
    /// What deploys of this app take usually, in milliseconds.
    pub usual_ms: Option<i64>,
}

/// The strip on top of the list.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HostStrip {
    pub version: &'static str,
    /// Whether the engine and the database answer.
    pub engine: bool,
    pub store: bool,
    pub cores: usize,
    /// The part of all cores that was busy lately, 0 to 1; none until it was measured twice.
    pub cpu: Option<f64>,
    pub load: [f64; 3],
    pub memory_used: u64,
    pub memory_total: u64,
    /// Of the disk with the data folder.
    pub disk_used: u64,
    pub disk_total: u64,
    /// Of the last minute.
    pub requests_per_second: f64,
    pub connections: usize,
    /// Of all apps' processes.
    pub apps_memory: u64,
    pub apps_cpu_millis: u64,
    pub certificate_warnings: Vec<CertificateWarning>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateWarning {
    pub app: String,
    pub warning: String,
}

/// One app's page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AppBoard {
    pub card: AppCard,
    pub urls: Vec<String>,
    /// What `git remote add` needs.
    pub remote: String,
    pub locked: bool,
    pub maintenance: bool,
    pub processes: Vec<ProcessRow>,
    pub releases: Vec<ReleaseRow>,
    pub builds: Vec<BuildRow>,
    pub services: Vec<ServiceRow>,
    pub activity: Vec<Activity>,
}

/// A process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProcessRow {
    pub process: String,
    pub command: Option<String>,
    pub wanted: u32,
    pub instances: Vec<InstanceRow>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceRow {
    /// `web.1`
    pub name: String,
    pub release: u32,
    pub state: &'static str,
    pub container: Option<String>,
    pub created_at: i64,
    pub cpu_millis: Option<u64>,
    pub memory: Option<u64>,
    pub memory_limit: Option<u64>,
    pub restarts: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReleaseRow {
    pub number: u32,
    /// `pending`, `live`, `retired`, `failed`.
    pub state: &'static str,
    pub commit: Option<String>,
    pub author: String,
    pub description: String,
    pub created_at: i64,
    pub build: String,
    pub image: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildRow {
    pub id: String,
    pub app: String,
    pub status: &'static str,
    pub source: &'static str,
    pub commit: Option<String>,
    pub release: Option<u32>,
    pub author: String,
    pub stage: Option<String>,
    pub error: Option<String>,
    pub started_at: i64,
    pub finished_at: Option<i64>,
}

/// Something that happened to an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Activity {
    pub at: i64,
    /// `release`, `deploy`, `config`, `scale`, `crash`, `certificate`, `domain`, `addon`, `process`, `other`.
    pub kind: &'static str,
    /// `config:set`, `git-receive-pack`, …
    pub action: String,
    pub text: String,
    pub actor: String,
    /// `ssh`, `host`, `dashboard`, `api`; empty for what happened by itself.
    pub door: String,
    pub ok: bool,
    pub release: Option<u32>,
    pub build: Option<String>,
}

/// One build's page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeployBoard {
    pub build: BuildRow,
    pub phases: Vec<Phase>,
    /// What deploys of this app take usually, in milliseconds.
    pub usual_ms: Option<i64>,
    pub cause: Option<Cause>,
    /// The release that this one would bring back or replaces, for comparing.
    pub previous: Option<u32>,
}

/// A part of a deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// `receive`, `build`, `release`, `start`, `health`, `switch`, `drain`.
    pub name: &'static str,
    /// `done`, `running`, `failed`, `waiting`, `skipped`.
    pub state: &'static str,
    /// Unix milliseconds.
    pub started_ms: Option<i64>,
    pub took_ms: Option<i64>,
    /// Of the app's last deploys that went well.
    pub median_ms: Option<i64>,
}

/// Why a deploy failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    pub title: String,
    pub detail: String,
    /// What to do or where to look.
    pub hint: String,
}

/// Charts of one app.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Charts {
    /// Seconds that a point stands for.
    pub step: i64,
    pub since: i64,
    pub until: i64,
    pub traffic: Vec<TrafficPoint>,
    pub usage: Vec<UsagePoint>,
    pub marks: Vec<Mark>,
}

/// Requests in a step; steps without any are left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TrafficPoint {
    pub at: i64,
    /// Requests by the first digit of their status.
    pub by_class: [u64; 5],
    pub errors: u64,
    pub bytes: u64,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub in_flight: u64,
}

/// What all processes used in a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UsagePoint {
    pub at: i64,
    pub cpu_millis: u64,
    pub memory: u64,
    /// The sum of the limits, when each process has one.
    pub memory_limit: Option<u64>,
}

/// A deploy that shows in the charts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mark {
    pub at: i64,
    pub release: Option<u32>,
    pub build: String,
    pub status: &'static str,
}

/// Domains and TLS of an app.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DomainBoard {
    pub enabled: bool,
    /// Set by people; when empty, the app's name under the global domains counts.
    pub own: Vec<String>,
    pub effective: Vec<String>,
    pub global: Vec<String>,
    pub https: bool,
    pub certificate: Option<CertificateRow>,
    pub acme: AcmeRow,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateRow {
    pub app: String,
    /// `imported`, `generated` or `acme`.
    pub source: &'static str,
    pub hosts: Vec<String>,
    pub issuer: String,
    pub starts_at: i64,
    pub expires_at: i64,
    pub uncovered: Vec<String>,
    pub warning: Option<String>,
}

/// How an app stands with its certificate authority.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AcmeRow {
    pub enabled: bool,
    pub failures: u32,
    pub retry_at: Option<i64>,
    pub renew_at: Option<i64>,
    pub error: Option<String>,
}

/// What a look into DNS, and a request from here, said of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainCheck {
    pub domain: String,
    pub addresses: Vec<String>,
    /// Whether a request for the name came here.
    pub arrives: bool,
    pub problem: Option<String>,
}

/// A config var, without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigRow {
    pub key: String,
    /// Comes from the global config.
    pub global: bool,
}

/// Quantities and limits of a process type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScaleRow {
    pub process: String,
    pub wanted: u32,
    pub live: u32,
    pub cpu_limit: Option<String>,
    pub memory_limit: Option<String>,
    pub cpu_reservation: Option<String>,
    pub memory_reservation: Option<String>,
}

/// A service of an addon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceRow {
    pub addon: String,
    pub title: String,
    pub name: String,
    pub image: String,
    /// `running`, `stopped`, `destroying`.
    pub state: &'static str,
    pub created_at: i64,
    /// Apps that are linked to it and that the viewer may see.
    pub apps: Vec<String>,
    /// Bytes of its volume, when that is known.
    pub size: Option<u64>,
    pub last_backup_at: Option<i64>,
    pub last_verify_at: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CronRow {
    pub id: String,
    pub command: String,
    pub schedule: String,
    pub zone: String,
    pub policy: &'static str,
    /// The app is stopped or in maintenance, or the task is.
    pub suspended: bool,
    pub next_at: Option<i64>,
    pub last: Option<CronRunRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CronRunRow {
    pub id: i64,
    pub state: &'static str,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub exit_code: Option<i64>,
    pub message: Option<String>,
    /// What it wrote, as far as it is kept.
    pub output: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StorageRow {
    pub name: String,
    pub source: String,
    pub target: String,
    pub phases: String,
    pub process: String,
    pub read_only: bool,
}

/// An entry of the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogRow {
    pub name: String,
    pub address: String,
    pub health: &'static str,
    pub app: Option<String>,
    pub container: String,
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PluginRow {
    pub name: String,
    pub version: String,
    pub description: String,
    pub enabled: bool,
    /// Of its last hundred scripts.
    pub runs: usize,
    pub failures: usize,
    pub median_ms: Option<i64>,
    pub slowest_ms: Option<i64>,
}

/// Bytes that an app holds on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskRow {
    pub app: String,
    pub repository: u64,
    pub build_logs: u64,
    /// Distinct images of its releases.
    pub images: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyRow {
    pub name: String,
    pub fingerprint: String,
    /// `admin everywhere`, `deploy on shop`.
    pub rights: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenRow {
    pub name: String,
    pub holder: String,
    pub rights: Vec<String>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub used_at: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionRow {
    pub id: i64,
    pub holder: String,
    pub source: Option<String>,
    pub agent: String,
    pub created_at: i64,
    pub seen_at: i64,
    /// The one that asks.
    pub current: bool,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditRow {
    pub id: i64,
    pub at_ms: i64,
    pub actor: String,
    pub door: String,
    pub source: Option<String>,
    pub action: String,
    pub object: String,
    pub ok: bool,
    pub detail: serde_json::Value,
}

/// Two releases side by side; what is the same in both is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Comparison {
    pub from: u32,
    pub to: u32,
    pub rows: Vec<Difference>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `image`, `commit`, `process web`, `config KEY`, `formation web`.
    pub what: String,
    /// Config values are never told: `set`, `changed`.
    pub from: String,
    pub to: String,
}
