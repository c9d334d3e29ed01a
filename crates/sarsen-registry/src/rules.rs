//! Which services a container offers: Registrator's `SERVICE_…` rules. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sarsen_domain::container::label;
use sarsen_domain::service::ServiceOwner;
use sarsen_domain::{AppName, Health, ProcessType, Service};
use sarsen_runtime::{ContainerInfo, ContainerPort, ContainerStatus, ImageHealth};

use crate::metadata::{Metadata, Precedence, comma_list};

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

/// The services of a container that runs. `owner` is our value of the owner label.
///
/// Ours are found at the container's own address and port, foreign ones where their ports are published on the host.
/// One-off and build containers of ours offer nothing. `SERVICE_IGNORE` hides a service, but not that of an app's
/// process: the router needs it, so it is kept with the attribute `ignore` for others to honour.
pub fn services_of(info: &ContainerInfo, host: &Host, owner: &str) -> Vec<Service> {
    let is_ours = info.labels.get(label::OWNER).is_some_and(|o| o == owner);
    if is_ours && is_short_lived(info) {
        return Vec::new();
    }
    let precedence = if is_ours {
        Precedence::Environment
    } else {
        Precedence::Labels
    };
    let owner = is_ours.then(|| owner_of(info)).flatten();
    let metadata = Metadata::of(info, precedence);
    let place = |port: &ContainerPort| {
        if is_ours {
            internal_address(info, host, port)
        } else {
            published_address(info, host, port)
        }
    };
    let found: Vec<_> = info
        .ports
        .iter()
        .filter_map(|port| Some((port, place(port)?)))
        .collect();
    let siblings = found.len();
    let offered = found.into_iter().filter(|(port, _)| {
        owner.is_some() || !is_ignored(metadata.get(port.port, "ignore").unwrap_or_default())
    });
    offered
        .map(|(port, address)| Service {
            id: id_of(info, host, port, &metadata),
            name: name_of(info, port.port, siblings, &metadata),
            address,
            tags: tags_of(port, &metadata),
            attributes: metadata.attributes(port.port),
            health: health_of(info),
            container: info.id.clone(),
            owner: owner.clone(),
        })
        .collect()
}

fn is_short_lived(info: &ContainerInfo) -> bool {
    matches!(
        info.labels.get(label::CONTAINER_TYPE).map(String::as_str),
        Some("run" | "cron" | "build")
    )
}

fn owner_of(info: &ContainerInfo) -> Option<ServiceOwner> {
    let label = |name: &str| info.labels.get(name);
    Some(ServiceOwner {
        app: AppName::parse(label(label::APP)?).ok()?,
        process: ProcessType::parse(label(label::PROCESS)?).ok()?,
        instance: label(label::INSTANCE)?.parse().ok()?,
        dyno: label(label::DYNO)?.clone(),
    })
}

fn internal_address(info: &ContainerInfo, host: &Host, port: &ContainerPort) -> Option<SocketAddr> {
    let ip = if info.host_network {
        host.address
    } else {
        info.address()?
    };
    Some(SocketAddr::new(ip, port.port))
}

fn published_address(
    info: &ContainerInfo,
    host: &Host,
    port: &ContainerPort,
) -> Option<SocketAddr> {
    if info.host_network {
        return Some(SocketAddr::new(host.address, port.port));
    }
    let (ip, number) = port.published?;
    let ip = if ip.is_unspecified() {
        host.address
    } else {
        ip
    };
    Some(SocketAddr::new(ip, number))
}

/// Registrator takes any text for yes, `false` too, which nobody means.
fn is_ignored(value: &str) -> bool {
    !value.is_empty() && !value.eq_ignore_ascii_case("false") && value != "0"
}

fn id_of(info: &ContainerInfo, host: &Host, port: &ContainerPort, metadata: &Metadata) -> String {
    if let Some(id) = metadata.get(port.port, "id") {
        return id.to_owned();
    }
    let suffix = if port.udp { ":udp" } else { "" };
    format!("{}:{}:{}{suffix}", host.name, info.name, port.port)
}

fn name_of(info: &ContainerInfo, port: u16, siblings: usize, metadata: &Metadata) -> String {
    if let Some(name) = metadata.for_port(port, "name") {
        return name.to_owned();
    }
    let name = metadata
        .generic("name")
        .map_or_else(|| image_name(&info.image), str::to_owned);
    if siblings > 1 {
        format!("{name}-{port}")
    } else {
        name
    }
}

/// `localhost:5000/team/img:v1` → `img`
fn image_name(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    last.split([':', '@']).next().unwrap_or(last).to_owned()
}

fn tags_of(port: &ContainerPort, metadata: &Metadata) -> Vec<String> {
    let mut tags = comma_list(metadata.get(port.port, "tags").unwrap_or_default());
    if port.udp {
        tags.push("udp".to_owned());
    }
    tags
}

fn health_of(info: &ContainerInfo) -> Health {
    match (info.status, info.health) {
        (ContainerStatus::Paused, _) | (_, ImageHealth::Unhealthy) => Health::Critical,
        (_, ImageHealth::Starting) => Health::Starting,
        (_, ImageHealth::None | ImageHealth::Healthy) => Health::Passing,
    }
}

#[cfg(test)]
mod tests;
