//! What can be set on the ssh front door.

use std::path::PathBuf;
use std::time::Duration;

/// Limits and places. `SshSettings::new` gives the usual values.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// The server's own key (ed25519): made at the first start, then kept.
    pub host_key: PathBuf,
    /// The login names that are let in; which app or command a key may reach is decided elsewhere.
    pub users: Vec<String>,
    /// Connections at the same time.
    pub max_connections: usize,
    /// Connections at the same time from one address (IPv6: from one /64).
    pub max_connections_per_ip: usize,
    /// Commands at the same time over one connection.
    pub max_channels: usize,
    /// From the connection to a successful login.
    pub auth_timeout: Duration,
    /// How long a connection may be silent before the client is asked for a sign of life.
    pub keepalive_interval: Duration,
    /// So many unanswered questions end the connection.
    pub keepalive_max: usize,
    /// At shutdown, running commands get so long to finish.
    pub drain: Duration,
}

impl SshSettings {
    /// The usual values.
    pub fn new(host_key: impl Into<PathBuf>) -> Self {
        Self {
            host_key: host_key.into(),
            users: ["dokku", "sarsen", "git"].map(str::to_owned).to_vec(),
            max_connections: 512,
            max_connections_per_ip: 64,
            max_channels: 64,
            auth_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(15),
            keepalive_max: 3,
            drain: Duration::from_secs(30),
        }
    }

    /// How long a client may take nothing.
    pub(crate) fn patience(&self) -> Duration {
        self.keepalive_interval * u32::try_from(self.keepalive_max + 1).unwrap_or(1)
    }
}
