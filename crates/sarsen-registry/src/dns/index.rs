//! The catalog as names: what is available, by name in lower case. Pure.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

use crate::{Catalog, CheckStatus, Instance};

/// All names at one moment.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// That of the catalog; 0 is none.
    number: u64,
    services: HashMap<String, Vec<Found>>,
    /// Addresses of nodes other than this one.
    nodes: HashMap<String, String>,
    reverse: HashMap<IpAddr, BTreeSet<String>>,
}

/// One instance that may be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) place: Place,
    pub(super) port: u16,
    pub(super) weight: u16,
    /// In lower case.
    tags: Vec<String>,
}

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Address(IpAddr),
    /// A host name, for others to find.
    Host(String),
    /// This host.
    Here,
}

impl Index {
    pub(super) fn of(catalog: &Catalog) -> Self {
        let mut index = Self {
            number: catalog.index(),
            ..Self::default()
        };
        for node in catalog.nodes().values() {
            let name = node.name.to_ascii_lowercase();
            index.nodes.insert(name, node.address.clone());
        }
        let sick = |node: Option<&str>| {
            let mut checks = catalog.node_checks(node);
            checks.any(|check| check.status == CheckStatus::Critical)
        };
        for instance in catalog.instances() {
            if instance.is_available() && !sick(instance.node.as_deref()) {
                index.enter(instance);
            }
        }
        index
    }

    pub(super) fn is_of(&self, catalog: &Catalog) -> bool {
        self.number == catalog.index() && self.number != 0
    }

    fn enter(&mut self, instance: &Instance) {
        let place = match (instance.address.as_str(), &instance.node) {
            ("", None) => Place::Here,
            ("", Some(node)) => match self.nodes.get(&node.to_ascii_lowercase()) {
                Some(address) => place(address),
                None => return,
            },
            (address, _) => place(address),
        };
        let name = instance.name.to_ascii_lowercase();
        if let Place::Address(ip) = place {
            self.reverse.entry(ip).or_default().insert(name.clone());
        }
        let found = Found {
            place,
            port: instance.port,
            weight: u16::try_from(instance.weight()).unwrap_or(u16::MAX),
            tags: instance
                .tags
                .iter()
                .map(|tag| tag.to_ascii_lowercase())
                .collect(),
        };
        self.services.entry(name).or_default().push(found);
    }

    /// What is available under a name, perhaps only what has this tag. `None` when there is nothing.
    pub(super) fn service(&self, name: &str, tag: Option<&str>) -> Option<Vec<&Found>> {
        let all = self.services.get(name)?.iter();
        let found: Vec<_> = match tag {
            None => all.collect(),
            Some(tag) => all
                .filter(|f| f.tags.iter().any(|own| own == tag))
                .collect(),
        };
        (!found.is_empty()).then_some(found)
    }

    /// Where another node is.
    pub(super) fn node(&self, name: &str) -> Option<Place> {
        self.nodes.get(name).map(|address| place(address))
    }

    /// The services at an address.
    pub(super) fn at(&self, ip: IpAddr) -> impl Iterator<Item = &str> {
        self.reverse
            .get(&ip)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }
}

fn place(address: &str) -> Place {
    match address.parse() {
        Ok(ip) => Place::Address(ip),
        Err(_) => Place::Host(address.to_owned()),
    }
}
