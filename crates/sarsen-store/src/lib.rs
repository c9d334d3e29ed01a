//! The store: one SQLite file with everything that must survive the daemon. One module per noun; what comes out is
//! made of `sarsen-domain` types, parsed once on the way.
//!
//! There is one connection that writes and a few that only read, so a write never finds the database busy with
//! another write of ours. Every public function that changes something is one transaction.

mod access;
mod acme;
mod apps;
mod buildpacks;
mod builds;
mod certificates;
mod config;
mod cron;
mod docker_options;
mod domains;
#[cfg(any(test, feature = "dump"))]
mod dump;
mod error;
mod events;
mod formation;
mod git_credentials;
mod imports;
mod instances;
mod key_file;
mod key_values;
mod metrics;
mod plugin_runs;
mod ports;
mod properties;
mod registrations;
mod registry_logins;
mod releases;
mod routing;
mod rows;
mod scope;
mod seal;
mod services;
mod ssh_keys;
mod storage;
mod store;
#[cfg(test)]
mod test_support;
mod web;

pub use access::{Access, Grant};
pub use acme::{Acme, AcmeState, OrderOutcome, OrdersLately, Wanted};
pub use apps::{AppRecord, AppSummary, Apps, Locked, Stopped};
pub use buildpacks::Buildpacks;
pub use builds::{BuildRecord, Builds, StageRecord};
pub use certificates::{AppCertificates, CertificateSource, NewCertificate, StoredCertificate};
pub use config::ConfigVars;
pub use cron::{Cron, CronRun, CronRunState, Handled, NewCronRun};
pub use docker_options::{DockerOption, DockerOptions};
pub use domains::{AppDomains, Domains, Vhosts};
pub use error::{Conflict, SealError, StoreError};
pub use events::{Event, Events, NewEvent};
pub use formation::Formations;
pub use git_credentials::GitCredentials;
pub use imports::{ImportedApp, Imports};
pub use instances::{Instance, InstanceState, Instances, Planned, Replace};
pub use key_values::{KeyValues, KvChange, KvEntry, KvSession, KvState};
pub use metrics::{Metrics, Step, Tick, Traffic, TrafficMinute, Usage};
pub use plugin_runs::{PluginRun, PluginRuns};
pub use ports::Ports;
pub use properties::{Properties, is_sealed_property};
pub use registrations::{RegistrationKey, Registrations};
pub use registry_logins::{RegistryLogins, StoredLogin};
pub use releases::{NewRelease, ReleaseSummary, Releases};
pub use routing::{Routing, RoutingWishes, StoredRedirect};
pub use scope::Scope;
pub use services::{
    BackupEncryption, BackupRecord, BackupSchedule, BackupSettings, BackupState, BackupTask,
    DataSize, ExposedPort, NewBackup, NewService, S3Login, SealedText, ServiceBackups,
    ServiceRecord, ServiceSettings, ServiceState, Services, Verification,
};
pub use ssh_keys::SshKeys;
pub use storage::{Mark, NewMount, Storage, StorageEntry, StorageMount};
pub use store::Store;
pub use web::{
    ApiToken, ApiTokens, Holder, NewSession, NewToken, SecretHash, SessionRecord, WebSessions,
};
