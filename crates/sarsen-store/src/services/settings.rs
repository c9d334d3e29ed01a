//! What people chose for a service. It is sealed as a whole: environments and keys of backups are secrets.

use std::fmt;
use std::net::IpAddr;

use sarsen_domain::Secret;
use serde::{Deserialize, Serialize};

/// What people chose for a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSettings {
    /// Words for the server behind those of its addon.
    pub options: Vec<String>,
    /// More environment of the server, `KEY=value`.
    pub env: Vec<SealedText>,
    /// Bytes of memory it may have.
    pub memory: Option<i64>,
    /// Bytes of shared memory.
    pub shm_size: Option<i64>,
    /// Networks that it is on besides its own, from its making on.
    pub initial_networks: Vec<String>,
    /// The same, joined once the container is made.
    pub post_create_networks: Vec<String>,
    /// The same, joined once it runs.
    pub post_start_networks: Vec<String>,
    /// Ports opened on the host: container's, and where.
    pub exposed: Vec<ExposedPort>,
    pub backup: BackupSettings,
    /// A volume that an upgrade fills; it goes when the upgrade is cut off.
    pub scratch_volume: Option<String>,
}

/// A port of a service that everybody can reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExposedPort {
    pub port: u16,
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
}

/// Dokku's form of it: `5432->15432`, `5432->127.0.0.1:15432`.
impl fmt::Display for ExposedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host_ip {
            Some(ip) => write!(f, "{}->{ip}:{}", self.port, self.host_port),
            None => write!(f, "{}->{}", self.port, self.host_port),
        }
    }
}

/// How and when a service is backed up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupSettings {
    pub s3: Option<S3Login>,
    pub passphrase: Option<SealedText>,
    /// A public key (`age1…`).
    pub recipient: Option<String>,
    pub schedule: Option<BackupSchedule>,
    /// How many backups a destination keeps of the service; all when there is no number.
    pub keep: Option<u32>,
    /// When the newest backup is restored on trial.
    pub verify_schedule: Option<String>,
}

/// When a service is backed up, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSchedule {
    pub cron: String,
    pub destination: String,
}

/// Who we are to an S3 storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Login {
    pub key_id: String,
    pub secret: SealedText,
    pub region: String,
    pub endpoint: Option<String>,
}

/// A secret that is written down as part of what is sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedText(String);

impl SealedText {
    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for SealedText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&SealedText> for Secret<String> {
    fn from(text: &SealedText) -> Self {
        Self::new(text.0.clone())
    }
}

impl fmt::Debug for SealedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
