//! One entry of the catalog.

use std::collections::BTreeMap;

use sarsen_domain::ContainerId;
use sarsen_domain::service::ServiceOwner;
use serde::{Deserialize, Serialize};

use crate::check::{Check, CheckStatus};
use crate::ledger::DRAINING;

/// Where an entry stands: ids count per node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// `None` is this host.
    pub node: Option<String>,
    /// The id of a service or a check.
    pub id: String,
}

impl Place {
    /// On this host.
    pub fn here(id: impl Into<String>) -> Self {
        Self {
            node: None,
            id: id.into(),
        }
    }
}

/// How much of the traffic an instance gets, by its health (Consul's weights).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    pub passing: u32,
    pub warning: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            passing: 1,
            warning: 1,
        }
    }
}

/// What a service is in a service mesh. There is none here: it is kept for those that ask the catalog for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mesh {
    /// Whether it speaks the mesh's protocol itself.
    pub native: bool,
    /// Set when it is the proxy of a service: how, in the words of its registration.
    pub proxy: Option<serde_json::Value>,
}

impl Mesh {
    /// The service that is reached through this one: its own, or that whose proxy it is.
    pub fn destination<'a>(&'a self, own: &'a str) -> Option<&'a str> {
        match &self.proxy {
            Some(proxy) => proxy.get("DestinationServiceName")?.as_str(),
            None => self.native.then_some(own),
        }
    }
}

/// Who says that an instance is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A container of this host that runs.
    Container {
        /// Which one.
        id: ContainerId,
        /// When this life of it began, in nanoseconds since 1970.
        started: i64,
        /// Set when it is one of Sarsen's own.
        owner: Option<ServiceOwner>,
    },
    /// Somebody registered it; in the words of the door it came through.
    External {
        /// Such as `http`.
        registrant: String,
    },
}

/// One instance of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The node it is on; `None` is this host.
    pub node: Option<String>,
    /// Unique on its node.
    pub id: String,
    /// The service.
    pub name: String,
    /// An IP address, a host name, or nothing: then its node's address counts.
    pub address: String,
    /// 0 when it has none.
    pub port: u16,
    /// Free-form marks.
    pub tags: Vec<String>,
    /// Free-form values; keys are made of letters, digits, `-` and `_`.
    pub attributes: BTreeMap<String, String>,
    /// Its share.
    pub weights: Weights,
    /// Other addresses, by what they are for.
    pub tagged_addresses: BTreeMap<String, (String, u16)>,
    /// Whether others may change its tags through the catalog.
    pub tags_are_open: bool,
    /// What it is in a service mesh.
    pub mesh: Mesh,
    /// Who says that it is there.
    pub source: Source,
    /// What decides on its health.
    pub checks: Vec<Check>,
    /// The catalog's index when it came.
    pub create_index: u64,
    /// The catalog's index when it last changed.
    pub modify_index: u64,
}

impl Instance {
    /// The worst that its checks say; without any, all is well.
    pub fn status(&self) -> CheckStatus {
        let said = self.checks.iter().map(|check| check.status);
        said.max().unwrap_or(CheckStatus::Passing)
    }

    /// Whether it belongs into answers: nothing says that it is critical.
    pub fn is_available(&self) -> bool {
        self.status() != CheckStatus::Critical
    }

    /// Whether its container was asked to stop.
    pub fn is_draining(&self) -> bool {
        let draining = format!("{DRAINING}:");
        self.checks
            .iter()
            .any(|check| check.spec.id.starts_with(&draining))
    }

    /// Its share at this moment.
    pub fn weight(&self) -> u32 {
        match self.status() {
            CheckStatus::Passing => self.weights.passing,
            CheckStatus::Warning => self.weights.warning,
            CheckStatus::Critical => 0,
        }
    }

    /// Whether it has this mark. Case counts, as in Consul's HTTP API.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        Place {
            node: self.node.clone(),
            id: self.id.clone(),
        }
    }

    /// Whether nothing has changed that anybody should be woken for: the words of a check may.
    pub(crate) fn says_as(&self, other: &Self) -> bool {
        self.is_the_same_service(other)
            && self.checks.len() == other.checks.len()
            && self
                .checks
                .iter()
                .zip(&other.checks)
                .all(|(new, old)| new.says_as(old))
    }

    fn is_the_same_service(&self, other: &Self) -> bool {
        self.name == other.name
            && self.address == other.address
            && self.port == other.port
            && self.tags == other.tags
            && self.attributes == other.attributes
            && self.weights == other.weights
            && self.tagged_addresses == other.tagged_addresses
            && self.tags_are_open == other.tags_are_open
            && self.mesh == other.mesh
            && self.source == other.source
    }
}

/// A node that somebody registered; this host is not among them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its id, when it was given one.
    pub id: String,
    /// Its address.
    pub address: String,
    /// Other addresses, by what they are for.
    pub tagged_addresses: BTreeMap<String, String>,
    /// Free-form values.
    pub attributes: BTreeMap<String, String>,
    /// The catalog's index when it came.
    #[serde(skip)]
    pub create_index: u64,
    /// The catalog's index when it last changed.
    #[serde(skip)]
    pub modify_index: u64,
}
