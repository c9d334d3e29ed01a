//! Checks: what decides whether an instance may get traffic.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::catalog::Place;

/// What a check says. The order is from good to bad.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// All is well.
    Passing,
    /// Not as it should be, and still good enough for traffic.
    Warning,
    /// No traffic.
    #[default]
    Critical,
}

impl CheckStatus {
    /// Consul's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }

    /// One of Consul's words, `pass`, `warn` and `fail` among them.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "passing" | "pass" => Some(Self::Passing),
            "warning" | "warn" => Some(Self::Warning),
            "critical" | "fail" => Some(Self::Critical),
            _ => None,
        }
    }
}

/// How a check is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Probe {
    /// A request; 2xx passes, 429 warns.
    Http(HttpProbe),
    /// A connection to `host:port`.
    Tcp(String),
    /// A command in a container; exit code 0 passes, 1 warns.
    Command {
        /// The container's id or name.
        container: String,
        /// The words; nothing is read by a shell unless the first one is a shell.
        argv: Vec<String>,
        /// `KEY=value`
        env: Vec<String>,
    },
    /// Somebody reports at least this often, or it is critical.
    Ttl(Duration),
    /// The container's own HEALTHCHECK, and what else the engine says of it.
    Engine,
    /// It stays as it was set.
    Set,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpProbe {
    /// `http://…` or `https://…`
    pub url: String,
    /// `GET`
    pub method: String,
    /// In this order.
    pub headers: Vec<(String, String)>,
    /// Sent along.
    pub body: String,
    /// Whether any certificate will do.
    pub skip_verify: bool,
}

/// What a check is, as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckSpec {
    /// Names it on its node: `service:<id>`.
    pub id: String,
    /// For people.
    pub name: String,
    /// For people.
    pub notes: String,
    /// How it is made.
    pub probe: Probe,
    /// From the beginning of one look to that of the next.
    pub interval: Duration,
    /// For one look.
    pub timeout: Duration,
    /// Until the first look is over.
    pub initial: CheckStatus,
    /// So many looks in a row must pass before it does; at least 1.
    pub passes_needed: u32,
    /// So many looks in a row must fail before it does; at least 1.
    pub failures_needed: u32,
    /// A service from outside whose check is critical for so long is forgotten.
    pub deregister_after: Option<Duration>,
}

impl CheckSpec {
    /// The usual interval.
    pub const INTERVAL: Duration = Duration::from_secs(10);
    /// The usual time limit.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// A check of this kind with everything else as usual: critical until it has passed.
    pub fn new(id: impl Into<String>, name: impl Into<String>, probe: Probe) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            notes: String::new(),
            probe,
            interval: Self::INTERVAL,
            timeout: Self::TIMEOUT,
            initial: CheckStatus::Critical,
            passes_needed: 1,
            failures_needed: 1,
            deregister_after: None,
        }
    }
}

/// A check and what it says now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is.
    pub spec: CheckSpec,
    /// The node it belongs to; `None` is this host.
    pub node: Option<String>,
    /// The id of the service it belongs to; `None` means its node.
    pub service: Option<String>,
    /// What it says.
    pub status: CheckStatus,
    /// Why.
    pub output: String,
    /// The catalog's index when it came.
    pub create_index: u64,
    /// The catalog's index when it last changed.
    pub modify_index: u64,
}

impl Check {
    /// Where it stands.
    pub fn place(&self) -> Place {
        Place {
            node: self.node.clone(),
            id: self.spec.id.clone(),
        }
    }

    /// Whether nothing has changed that anybody should be woken for.
    pub(crate) fn says_as(&self, other: &Self) -> bool {
        self.status == other.status && self.service == other.service && self.spec == other.spec
    }
}
