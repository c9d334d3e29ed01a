//! Services: what the catalog knows of a container that listens on a port.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::{AppName, ContainerId, ProcessType};

/// Whether an instance may get traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Health {
    /// Its checks pass, or it has none.
    Passing,
    /// It runs, but its checks have not passed yet.
    Starting,
    /// Its checks fail.
    Critical,
}

impl Health {
    /// Consul's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Starting => "warning",
            Self::Critical => "critical",
        }
    }
}

/// One port of one running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `host:container-name:port[:udp]`, Registrator's form.
    pub id: String,
    /// The name it is found under.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// Free-form marks.
    pub tags: Vec<String>,
    /// Every other `SERVICE_…` value.
    pub attributes: BTreeMap<String, String>,
    /// Whether it may get traffic.
    pub health: Health,
    /// The container behind it.
    pub container: ContainerId,
    /// Set when the container is one of Sarsen's own.
    pub owner: Option<ServiceOwner>,
}

/// Which of Sarsen's processes a service belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceOwner {
    /// The app.
    pub app: AppName,
    /// The process type.
    pub process: ProcessType,
    /// The row of the store that the container was started for.
    pub instance: i64,
    /// `web.1`
    pub dyno: String,
}
