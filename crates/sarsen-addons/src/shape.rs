//! What people chose for one service beyond its image, and how its container comes to look like that.

use std::net::IpAddr;

use sarsen_domain::docker_flags::{ContainerSettings, NetworkMode, PublishedPort};
use sarsen_runtime::ContainerSpec;

/// What people chose for a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Words for the server behind those of its addon.
    pub options: Vec<String>,
    /// More environment, `KEY=value`.
    pub env: Vec<String>,
    /// Bytes of memory it may have.
    pub memory: Option<i64>,
    /// Bytes of shared memory.
    pub shm_size: Option<i64>,
    /// Networks besides its own, in the order in which they are joined: before the start, and after it.
    pub networks: Vec<String>,
    pub late_networks: Vec<String>,
    pub exposed: Vec<Exposed>,
}

/// A port that is opened on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposed {
    pub port: u16,
    pub host_ip: Option<IpAddr>,
    pub host_port: u16,
}

impl Shape {
    /// Puts it on a container that is to be made.
    pub(crate) fn apply(&self, spec: &mut ContainerSpec) {
        if !self.options.is_empty() {
            let words = spec.command.get_or_insert_default();
            words.extend_from_slice(&self.options);
        }
        spec.memory = self.memory;
        let publish = |exposed: &Exposed| PublishedPort {
            address: exposed.host_ip,
            host: Some(exposed.host_port),
            container: exposed.port,
            udp: false,
        };
        spec.flags = ContainerSettings {
            publish: self.exposed.iter().map(publish).collect(),
            shm_size: self.shm_size,
            networks: self
                .networks
                .iter()
                .cloned()
                .map(NetworkMode::Named)
                .collect(),
            ..ContainerSettings::default()
        };
    }

    /// Tells containers that look like this from others. The environment is left out: it may hold secrets.
    pub(crate) fn describe(&self, spec: &ContainerSpec) -> String {
        let Self {
            options,
            env: _,
            memory,
            shm_size,
            networks,
            late_networks,
            exposed,
        } = self;
        let (image, binds) = (&spec.image, &spec.binds);
        let memory = (memory, shm_size);
        format!(
            "{image} {binds:?} {options:?} {memory:?} {networks:?} {late_networks:?} {exposed:?}"
        )
    }
}
