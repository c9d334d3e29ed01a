//! Networks of the fake engine. A container has the same address on each of its networks.

use sarsen_domain::ContainerId;

use super::state::{State, now_text};
use crate::{NetworkInfo, Result, RuntimeError};

impl State {
    pub(super) fn network_is_there(&self, name: &str) -> Result<()> {
        if self.networks.contains_key(name) {
            return Ok(());
        }
        Err(RuntimeError::NotFound(format!("network {name} not found")))
    }

    pub(super) fn add_network(&mut self, name: &str, labels: &[(String, String)]) {
        if self.network_is_there(name).is_ok() {
            return;
        }
        let info = NetworkInfo {
            id: self.fresh_id(),
            name: name.to_owned(),
            driver: "bridge".to_owned(),
            scope: "local".to_owned(),
            internal: false,
            ipv6: false,
            gateway: None,
            labels: labels.iter().cloned().collect(),
            created_at: now_text(),
        };
        self.networks.insert(name.to_owned(), info);
    }

    pub(super) fn remove_network(&mut self, name: &str) {
        self.networks.remove(name);
        for container in &mut self.containers {
            container.networks.retain(|network| network != name);
            container.info.addresses.remove(name);
        }
    }

    pub(super) fn join_network(&mut self, id: &ContainerId, name: &str) -> Result<()> {
        self.container(id)?;
        self.network_is_there(name)?;
        let container = self.container_mut(id)?;
        if container.networks.iter().any(|network| network == name) {
            return Ok(());
        }
        container.networks.push(name.to_owned());
        if let Some(address) = container.info.addresses.values().next().copied() {
            let addresses = &mut container.info.addresses;
            addresses.insert(name.to_owned(), address);
        }
        Ok(())
    }
}
