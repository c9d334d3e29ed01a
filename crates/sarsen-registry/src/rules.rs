//! Which services a container offers: Registrator's `SERVICE_…` rules. Pure.

mod asked;
mod place;

use std::net::{IpAddr, Ipv4Addr};

use sarsen_domain::container::label;
use sarsen_domain::service::ServiceOwner;
use sarsen_domain::{AppName, Health, ProcessType, Service};
use sarsen_runtime::{ContainerInfo, ContainerPort, ContainerStatus, ImageHealth, ImageInfo};

use crate::ledger::Offer;
use crate::metadata::{Metadata, Precedence, comma_list};
use crate::tags::ExtraTags;

pub use asked::duration;

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

/// How the services of other people's containers are found and named. Each has its like among Registrator's flags.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The host in service ids, and where published ports are reached.
    pub host: Host,
    /// The address of every published service, whatever its port is bound to (`-ip`).
    pub ip: Option<IpAddr>,
    /// Which side of a port counts (`-internal`).
    pub reach: Reach,
    /// Whose services count (`-explicit`).
    pub whose: Whose,
    /// A label that gives the address (`-useIpFromLabel`).
    pub address_label: Option<String>,
    /// Given to every service (`-tags`).
    pub tags: ExtraTags,
}

/// Which side of a port counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// The host's: ports that are published.
    #[default]
    Published,
    /// The container's: its own address, and every port that it exposes.
    Internal,
}

/// Whose services count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Whose {
    /// Every container's.
    #[default]
    Everybodys,
    /// Those that are given a name by `SERVICE_NAME` or `SERVICE_<port>_NAME`.
    Named,
}

impl Rules {
    /// The rules without any flag.
    pub fn new(host: Host) -> Self {
        Self {
            host,
            ip: None,
            reach: Reach::default(),
            whose: Whose::default(),
            address_label: None,
            tags: ExtraTags::default(),
        }
    }
}

/// A container, and what is known of it besides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) info: &'a ContainerInfo,
    /// Its image, when that matters.
    pub(crate) image: Option<&'a ImageInfo>,
    /// What [`Rules::tags`] come to.
    pub(crate) tags: &'a [String],
}

/// The services of a container that runs. `owner` is our value of the owner label.
///
/// Ours are found at the container's own address and port, foreign ones where their ports are published on the host.
/// One-off and build containers of ours offer nothing. `SERVICE_IGNORE` hides a service, but not that of an app's
/// process: the router needs it, so it is kept with the attribute `ignore` for others to honour.
pub(crate) fn services_of(subject: Subject<'_>, rules: &Rules, owner: &str) -> Vec<Offer> {
    let info = subject.info;
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
    let metadata = Metadata::of(info, subject.image, precedence);
    let place = |port: &ContainerPort| match is_ours {
        true => place::internal(info, rules, port),
        false => place::of(info, rules, port),
    };
    let found = info.ports.iter();
    let found: Vec<_> = found
        .filter_map(|port| Some((port, place(port)?)))
        .collect();
    let siblings = found.len();
    let offered = found.into_iter().filter(|(port, _)| {
        let is_hidden = is_ignored(&metadata, port.port) || is_unnamed(&metadata, port.port, rules);
        owner.is_some() || !is_hidden
    });
    offered
        .map(|(port, address)| {
            let service = Service {
                id: id_of(info, &rules.host, port, &metadata),
                name: name_of(info, port.port, siblings, &metadata),
                address,
                tags: tags_of(port, &metadata, subject.tags),
                attributes: attributes_of(port.port, &metadata),
                health: health_of(info),
                container: info.id.clone(),
                owner: owner.clone(),
            };
            let check = asked::check_of(&service, &metadata, port.port);
            Offer { service, check }
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

/// Registrator takes any text for yes, `false` too, which nobody means.
fn is_ignored(metadata: &Metadata, port: u16) -> bool {
    let value = metadata.get(port, "ignore").unwrap_or("false");
    !value.eq_ignore_ascii_case("false") && value != "0"
}

fn is_unnamed(metadata: &Metadata, port: u16, rules: &Rules) -> bool {
    rules.whose == Whose::Named && metadata.get(port, "name").is_none()
}

fn id_of(info: &ContainerInfo, host: &Host, port: &ContainerPort, metadata: &Metadata) -> String {
    if let Some(id) = metadata.get(port.port, "id") {
        return id.to_owned();
    }
    let suffix = if port.udp { ":udp" } else { "" };
    format!("{}:{}:{}{suffix}", host.name, info.name, port.port)
}

fn name_of(info: &ContainerInfo, port: u16, siblings: usize, metadata: &Metadata) -> String {
    let name = metadata.get(port, "name");
    let name = name.map_or_else(|| image_name(&info.image), str::to_owned);
    if siblings > 1 && !metadata.is_for_port(port, "name") {
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

fn tags_of(port: &ContainerPort, metadata: &Metadata, extra: &[String]) -> Vec<String> {
    let mut tags = comma_list(metadata.get(port.port, "tags").unwrap_or_default());
    tags.extend_from_slice(extra);
    if port.udp {
        tags.push("udp".to_owned());
    }
    tags
}

fn attributes_of(port: u16, metadata: &Metadata) -> std::collections::BTreeMap<String, String> {
    let mut attributes = metadata.attributes(port);
    if is_ignored(metadata, port) {
        let value = metadata.get(port, "ignore").unwrap_or_default();
        attributes.insert("ignore".to_owned(), value.to_owned());
    }
    attributes
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
