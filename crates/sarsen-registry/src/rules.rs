//! Which services a container offers: Registrator's `SERVICE_…` rules. Pure.

use std::net::{IpAddr, Ipv4Addr};

use sarsen_domain::Service;
use sarsen_runtime::ContainerInfo;

/// This host, as services speak of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The first part of every service id.
    pub name: String,
    /// Where ports published on all addresses are reached.
    pub address: IpAddr,
}

impl Host {
    /// A host that reaches its published ports on loopback.
    pub fn local(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }
}

/// The services of a container, none when it does not run. `owner` is our value of the owner label.
pub fn services_of(info: &ContainerInfo, host: &Host, owner: &str) -> Vec<Service> {
    todo!()
}
