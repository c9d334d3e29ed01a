//! Where a service is found: address and port from the same side, or nowhere.

use std::net::{IpAddr, SocketAddr};

use sarsen_runtime::{ContainerInfo, ContainerPort};

use super::{Reach, Rules};

/// The place of somebody's service.
pub(super) fn of(info: &ContainerInfo, rules: &Rules, port: &ContainerPort) -> Option<SocketAddr> {
    let place = match rules.reach {
        Reach::Internal => internal(info, rules, port),
        Reach::Published if info.network_of.is_some() => internal(info, rules, port),
        Reach::Published => published(info, rules, port),
    };
    match labelled(info, rules) {
        Some(ip) if info.network_of.is_none() => place.map(|at| SocketAddr::new(ip, at.port())),
        Some(_) | None => place,
    }
}

/// The container's own address and port.
pub(super) fn internal(
    info: &ContainerInfo,
    rules: &Rules,
    port: &ContainerPort,
) -> Option<SocketAddr> {
    let ip = if info.host_network {
        rules.ip.unwrap_or(rules.host.address)
    } else {
        info.address()?
    };
    Some(SocketAddr::new(ip, port.port))
}

fn published(info: &ContainerInfo, rules: &Rules, port: &ContainerPort) -> Option<SocketAddr> {
    if info.host_network {
        let ip = rules.ip.unwrap_or(rules.host.address);
        return Some(SocketAddr::new(ip, port.port));
    }
    let (bound, number) = port.published?;
    let ip = match rules.ip {
        Some(ip) => ip,
        None if bound.is_unspecified() => rules.host.address,
        None => bound,
    };
    Some(SocketAddr::new(ip, number))
}

/// The address that a label gives, with or without `/prefix`.
fn labelled(info: &ContainerInfo, rules: &Rules) -> Option<IpAddr> {
    let text = info.labels.get(rules.address_label.as_ref()?)?;
    let ip = text.rsplit_once('/').map_or(text.as_str(), |(ip, _)| ip);
    ip.parse().ok()
}
