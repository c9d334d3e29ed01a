//! Networks of the fake engine. A container has the same address on each of its networks.

use sarsen_domain::ContainerId;

use super::state::State;
use crate::{Result, RuntimeError};

impl State {
    pub(super) fn network_is_there(&self, name: &str) -> Result<()> {
        if self.networks.contains(name) {
            return Ok(());
        }
        Err(RuntimeError::NotFound(format!("network {name} not found")))
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
