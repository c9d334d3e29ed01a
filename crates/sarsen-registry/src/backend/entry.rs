//! A service as other registries are told of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::CheckDefinition;
use crate::{CheckStatus, Instance};

/// Who finds out whether a service is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checking {
    /// We do, and tell the result.
    Ours,
    /// The registry, by the checks that the container asks for: Registrator's way.
    Theirs,
}

/// One service in another registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The id of the instance.
    pub id: String,
    /// The name of the service.
    pub name: String,
    /// Where it listens; empty when only the host knows.
    pub address: String,
    pub port: u16,
    pub tags: Vec<String>,
    pub attributes: BTreeMap<String, String>,
    /// What we know of its health; `None` when the registry finds out itself.
    pub health: Option<CheckStatus>,
    /// The check that the registry makes. It cannot be read back: attributes change whenever it does.
    pub check: Option<CheckDefinition>,
}

impl Entry {
    /// What is published of an instance.
    pub fn of(instance: &Instance, checking: Checking) -> Self {
        let mut entry = Self {
            id: instance.id.clone(),
            name: instance.name.clone(),
            address: instance.address.clone(),
            port: instance.port,
            tags: instance.tags.clone(),
            attributes: instance.attributes.clone(),
            health: None,
            check: None,
        };
        match checking {
            Checking::Ours => entry.health = Some(instance.status()),
            Checking::Theirs => entry.check = CheckDefinition::of(instance),
        }
        entry
    }

    /// Where there is room for a name, an id and an address only.
    pub(super) fn bare(name: &str, id: &str, address: &str, port: u16) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            address: address.to_owned(),
            port,
            tags: Vec::new(),
            attributes: BTreeMap::new(),
            health: None,
            check: None,
        }
    }

    /// The same without what such registries cannot hold.
    pub(super) fn stripped(self) -> Self {
        Self::bare(&self.name, &self.id, &self.address, self.port)
    }

    /// Whether an entry that was read back says the same.
    pub(super) fn agrees(&self, held: &Self) -> bool {
        let check = self.check.clone();
        *self
            == Self {
                check,
                ..held.clone()
            }
    }

    /// `address:port`, with brackets where IPv6 needs them.
    pub(super) fn host_and_port(&self) -> String {
        host_and_port(&self.address, self.port)
    }
}

pub(super) fn host_and_port(address: &str, port: u16) -> String {
    match address.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, port).to_string(),
        Err(_) => format!("{address}:{port}"),
    }
}

/// The other way round.
pub(super) fn split_host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_kinds_travel() {
        for address in ["10.0.0.1", "fd00::1", "host.example"] {
            let entry = Entry::bare("n", "i", address, 80);
            let back = split_host_and_port(&entry.host_and_port()).unwrap();
            assert_eq!(back, (address.to_owned(), 80));
        }
        assert_eq!(
            Entry::bare("n", "i", "fd00::1", 80).host_and_port(),
            "[fd00::1]:80"
        );
        assert_eq!(split_host_and_port("nothing"), None);
    }
}
