//! What others registered: services, checks and nodes that no container of this host stands for. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalog::{Instance, Mesh, Node, Place, Source, Weights};
use crate::check::{CheckSpec, CheckStatus};

/// A service as somebody registers it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
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
    /// Free-form values.
    pub attributes: BTreeMap<String, String>,
    /// Its share.
    pub weights: Weights,
    /// Other addresses, by what they are for.
    pub tagged_addresses: BTreeMap<String, (String, u16)>,
    /// Whether others may change its tags through the catalog.
    pub tags_are_open: bool,
    /// What it is in a service mesh.
    #[serde(default)]
    pub mesh: Mesh,
    /// Through which door it came, such as `http`: the mark that tells whose it is.
    pub registrant: String,
}

/// A check as somebody registers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRegistration {
    /// The node it is on; `None` is this host.
    pub node: Option<String>,
    /// The id of the service it is of; `None` means its node.
    pub service: Option<String>,
    /// What it is. Its id is unique on its node.
    pub spec: CheckSpec,
    /// Through which door it came.
    pub registrant: String,
}

/// A check as somebody registers it who knows what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What it is: one that stays as it is set.
    pub check: CheckRegistration,
    /// What it says.
    pub status: CheckStatus,
    /// Why.
    pub output: String,
}

/// What becomes of the checks that a service has when it is registered again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherChecks {
    /// They stay.
    Keep,
    /// They go.
    Drop,
}

/// One thing that was registered, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    Service(Registration),
    Check(CheckRegistration),
    Node(Node),
}

/// What an entry is kept under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Service,
    Check,
    Node,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Check => "check",
            Self::Node => "node",
        }
    }
}

impl Key {
    pub(crate) fn of_service(place: &Place) -> Self {
        Self {
            kind: Kind::Service,
            place: place.clone(),
        }
    }

    pub(crate) fn of_check(place: &Place) -> Self {
        Self {
            kind: Kind::Check,
            place: place.clone(),
        }
    }

    pub(crate) fn of_node(name: &str) -> Self {
        Self {
            kind: Kind::Node,
            place: Place::here(name),
        }
    }
}

impl Entry {
    /// What it is kept under.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Service(service) => Key::of_service(&service.place()),
            Self::Check(check) => Key::of_check(&check.place()),
            Self::Node(node) => Key::of_node(&node.name),
        }
    }
}

/// A part of the catalog that follows from what was registered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spot {
    Instance(Place),
    NodeCheck(Place),
    Node(String),
}

impl Spot {
    /// Where a check shows: with its service, or by itself.
    pub(crate) fn of_check(check: Place, service: Option<&str>) -> Self {
        match service {
            Some(id) => Self::Instance(Place {
                node: check.node,
                id: id.to_owned(),
            }),
            None => Self::NodeCheck(check),
        }
    }
}

/// Everything that others registered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Externals {
    pub(crate) services: BTreeMap<Place, Registration>,
    pub(crate) checks: BTreeMap<Place, CheckRegistration>,
    pub(crate) nodes: BTreeMap<String, Node>,
}

impl Registration {
    /// Where it stands.
    pub fn place(&self) -> Place {
        Place {
            node: self.node.clone(),
            id: self.id.clone(),
        }
    }

    /// The instance, still without checks.
    pub(crate) fn instance(&self) -> Instance {
        Instance {
            node: self.node.clone(),
            id: self.id.clone(),
            name: self.name.clone(),
            address: self.address.clone(),
            port: self.port,
            tags: self.tags.clone(),
            attributes: self.attributes.clone(),
            weights: self.weights,
            tagged_addresses: self.tagged_addresses.clone(),
            tags_are_open: self.tags_are_open,
            mesh: self.mesh.clone(),
            source: Source::External {
                registrant: self.registrant.clone(),
            },
            checks: Vec::new(),
            create_index: 0,
            modify_index: 0,
        }
    }
}

impl CheckRegistration {
    /// Where it stands.
    pub fn place(&self) -> Place {
        Place {
            node: self.node.clone(),
            id: self.spec.id.clone(),
        }
    }

    /// Where its service stands.
    pub(crate) fn service_place(&self) -> Option<Place> {
        Some(Place {
            node: self.node.clone(),
            id: self.service.clone()?,
        })
    }
}

impl Externals {
    /// Enters one thing.
    pub(crate) fn enter(&mut self, entry: Entry) {
        match entry {
            Entry::Service(service) => {
                self.services.insert(service.place(), service);
            }
            Entry::Check(check) => {
                self.checks.insert(check.place(), check);
            }
            Entry::Node(node) => {
                self.nodes.insert(node.name.clone(), node);
            }
        }
    }

    /// Takes one thing away.
    pub(crate) fn remove(&mut self, key: &Key) {
        match key.kind {
            Kind::Service => drop(self.services.remove(&key.place)),
            Kind::Check => drop(self.checks.remove(&key.place)),
            Kind::Node => drop(self.nodes.remove(&key.place.id)),
        }
    }

    /// Where it shows in the catalog, if it is there.
    pub(crate) fn spot_of(&self, key: &Key) -> Option<Spot> {
        match key.kind {
            Kind::Service => Some(Spot::Instance(key.place.clone())),
            Kind::Node => Some(Spot::Node(key.place.id.clone())),
            Kind::Check => {
                let check = self.checks.get(&key.place)?;
                Some(Spot::of_check(key.place.clone(), check.service.as_deref()))
            }
        }
    }

    /// The checks that a service has.
    pub(crate) fn asked_of<'a>(
        &'a self,
        service: &'a Place,
    ) -> impl Iterator<Item = &'a CheckRegistration> {
        let checks = self.checks.values();
        checks.filter(|check| {
            check.service.as_ref() == Some(&service.id) && check.node == service.node
        })
    }

    /// A service's checks.
    pub(crate) fn checks_of(&self, service: &Place) -> Vec<Key> {
        let places = self.asked_of(service).map(CheckRegistration::place);
        places.map(|place| Key::of_check(&place)).collect()
    }

    /// A node, when it is there, and everything on it.
    pub(crate) fn on_node(&self, node: &str) -> Vec<Key> {
        let is_there = |place: &&Place| place.node.as_deref() == Some(node);
        let services = self.services.keys().filter(is_there).map(Key::of_service);
        let checks = self.checks.keys().filter(is_there).map(Key::of_check);
        let own = self.nodes.contains_key(node).then(|| Key::of_node(node));
        services.chain(checks).chain(own).collect()
    }
}
