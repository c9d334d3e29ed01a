//! The engine's answers about containers and images, as the trait's values.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bollard::models::{
    BollardDate, ContainerInspectResponse, ContainerState, ContainerStateStatusEnum,
    EndpointSettings, Health, HealthStatusEnum, ImageInspect, PortBinding, PortMap,
};
use sarsen_domain::{ContainerId, ImageRef};
use time::format_description::well_known::Rfc3339;

use crate::{
    ContainerInfo, ContainerPort, ContainerStatus, ImageHealth, ImageInfo, Result, RuntimeError,
};

/// The year of Go's zero time, which stands for "never".
const NEVER: &str = "0001-";

/// The engine may leave out any field; only the id cannot be done without.
pub(super) fn container_info(answer: ContainerInspectResponse) -> Result<ContainerInfo> {
    let id = ContainerId::parse(&answer.id.unwrap_or_default()).map_err(odd)?;
    let state = answer.state.unwrap_or_default();
    let config = answer.config.unwrap_or_default();
    let network = answer.network_settings.unwrap_or_default();
    let host = answer.host_config.unwrap_or_default();
    let status = status(&state);
    let ended = matches!(
        status,
        ContainerStatus::Exited | ContainerStatus::Dead | ContainerStatus::Restarting
    );
    let health = state.health.as_ref();
    Ok(ContainerInfo {
        id,
        name: bare_name(answer.name),
        image: config.image.unwrap_or_default(),
        image_id: answer.image.unwrap_or_default(),
        command: answer
            .path
            .into_iter()
            .chain(answer.args.unwrap_or_default())
            .collect(),
        status,
        health: health.map_or(ImageHealth::None, health_status),
        health_output: health.and_then(last_output),
        pid: state
            .pid
            .and_then(|pid| u32::try_from(pid).ok())
            .unwrap_or(0),
        exit_code: state.exit_code.filter(|_| ended),
        oom_killed: state.oom_killed.unwrap_or_default(),
        error: state.error.filter(|error| !error.is_empty()),
        restart_count: answer.restart_count.unwrap_or_default(),
        env: config.env.unwrap_or_default(),
        labels: sorted(config.labels),
        addresses: addresses(network.networks.unwrap_or_default()),
        ports: ports(config.exposed_ports.unwrap_or_default(), network.ports),
        host_network: host.network_mode.as_deref() == Some("host"),
        network_of: host
            .network_mode
            .and_then(|mode| mode.strip_prefix("container:").map(str::to_owned)),
        tty: config.tty.unwrap_or_default(),
        created_at: date(answer.created),
        started_at: state.started_at.filter(|at| !at.starts_with(NEVER)),
    })
}

/// The same for an image.
pub(super) fn image_info(answer: ImageInspect) -> Result<ImageInfo> {
    let config = answer.config.unwrap_or_default();
    let exposed = config.exposed_ports.unwrap_or_default();
    let mut exposed: Vec<_> = exposed.iter().filter_map(|port| port_key(port)).collect();
    exposed.sort_unstable();
    let check = config.healthcheck.and_then(|check| check.test);
    Ok(ImageInfo {
        id: ImageRef::parse(&answer.id.unwrap_or_default()).map_err(odd)?,
        tags: answer.repo_tags.unwrap_or_default(),
        labels: sorted(config.labels),
        exposed,
        env: config.env.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        workdir: config.working_dir.unwrap_or_default(),
        user: config.user.unwrap_or_default(),
        has_healthcheck: check.is_some_and(|test| test.first().is_some_and(|word| word != "NONE")),
        size: answer.size.unwrap_or_default(),
        created_at: date(answer.created),
    })
}

/// An answer that breaks the engine's own rules.
#[expect(clippy::needless_pass_by_value, reason = "the shape of `map_err`")]
pub(super) fn odd(error: sarsen_domain::Invalid) -> RuntimeError {
    RuntimeError::Engine(format!("the engine gave an odd answer: {error}"))
}

fn status(state: &ContainerState) -> ContainerStatus {
    match state.status {
        Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => {
            ContainerStatus::Running
        }
        Some(ContainerStateStatusEnum::PAUSED) => ContainerStatus::Paused,
        Some(ContainerStateStatusEnum::RESTARTING) => ContainerStatus::Restarting,
        Some(ContainerStateStatusEnum::REMOVING) => ContainerStatus::Removing,
        Some(ContainerStateStatusEnum::EXITED) => ContainerStatus::Exited,
        Some(ContainerStateStatusEnum::DEAD) => ContainerStatus::Dead,
        Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY) | None => {
            ContainerStatus::Created
        }
    }
}

fn health_status(health: &Health) -> ImageHealth {
    match health.status {
        Some(HealthStatusEnum::STARTING) => ImageHealth::Starting,
        Some(HealthStatusEnum::HEALTHY) => ImageHealth::Healthy,
        Some(HealthStatusEnum::UNHEALTHY) => ImageHealth::Unhealthy,
        Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => ImageHealth::None,
    }
}

fn last_output(health: &Health) -> Option<String> {
    let last = health.log.as_ref()?.last()?;
    last.output.clone()
}

fn bare_name(name: Option<String>) -> String {
    let name = name.unwrap_or_default();
    name.trim_start_matches('/').to_owned()
}

fn sorted(labels: Option<HashMap<String, String>>) -> BTreeMap<String, String> {
    labels.unwrap_or_default().into_iter().collect()
}

fn addresses(networks: HashMap<String, EndpointSettings>) -> BTreeMap<String, IpAddr> {
    let address = |(name, endpoint): (String, EndpointSettings)| {
        let texts = [endpoint.ip_address, endpoint.global_ipv6_address];
        let mut texts = texts.into_iter().flatten();
        texts
            .find_map(|text| text.parse().ok())
            .map(|ip| (name, ip))
    };
    networks.into_iter().filter_map(address).collect()
}

/// What the container exposes, and what is published although it does not.
fn ports(exposed: Vec<String>, published: Option<PortMap>) -> Vec<ContainerPort> {
    let published = published.unwrap_or_default();
    let mut keys: Vec<_> = exposed
        .into_iter()
        .chain(published.keys().cloned())
        .collect();
    keys.sort_unstable();
    keys.dedup();
    let port = |key: &String| {
        let (port, udp) = port_key(key)?;
        let bindings = published.get(key).and_then(Option::as_ref);
        Some(ContainerPort {
            port,
            udp,
            published: bindings.and_then(|bindings| host_address(bindings)),
        })
    };
    let mut ports: Vec<_> = keys.iter().filter_map(port).collect();
    ports.sort_unstable_by_key(|port| (port.port, port.udp));
    ports
}

/// `80/tcp`; other protocols are nobody's business here.
fn port_key(key: &str) -> Option<(u16, bool)> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let udp = match protocol {
        "tcp" => false,
        "udp" => true,
        _ => return None,
    };
    Some((port.parse().ok()?, udp))
}

/// A port is usually published twice, for IPv4 and for IPv6: the first is the one everybody can reach.
fn host_address(bindings: &[PortBinding]) -> Option<(IpAddr, u16)> {
    let parse = |binding: &PortBinding| {
        let port = binding.host_port.as_deref()?.parse().ok()?;
        let host = binding.host_ip.as_deref().filter(|host| !host.is_empty());
        Some((host.unwrap_or("0.0.0.0").parse().ok()?, port))
    };
    let all: Vec<(IpAddr, u16)> = bindings.iter().filter_map(parse).collect();
    let v4 = all.iter().find(|(address, _)| address.is_ipv4());
    v4.or(all.first()).copied()
}

pub(super) fn date(date: Option<BollardDate>) -> String {
    let text = date.and_then(|date| date.format(&Rfc3339).ok());
    text.unwrap_or_default()
}

#[cfg(test)]
mod tests;
