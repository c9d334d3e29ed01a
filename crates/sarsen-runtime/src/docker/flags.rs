//! What docker's flags ask of a container, laid over the engine's request.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, DeviceRequest, HealthConfig, HostConfig,
    HostConfigLogConfig, Mount as EngineMount, MountTmpfsOptions, MountType, MountVolumeOptions,
    NetworkingConfig, PortBinding, ResourcesUlimits,
};
use sarsen_domain::ContainerSettings;
use sarsen_domain::docker_flags::{
    Device, Gpus, HealthCommand, HealthFlags, Mount, MountSource, NetworkMode, PublishedPort,
};

use super::networks::endpoint;
use super::spec::restart_policy;
use crate::ContainerSpec;

/// The option that our own hardening sets, in each way to write it.
const NO_NEW_PRIVILEGES: &str = "no-new-privileges";

/// Log drivers that know `max-size`.
const FILE_DRIVERS: [&str; 2] = ["json-file", "local"];

/// Makes the request ask for everything that the flags do.
pub(super) fn apply(flags: &ContainerSettings, body: &mut ContainerCreateBody) {
    let mut host = body.host_config.take().unwrap_or_default();
    apply_own(flags, body);
    apply_limits(flags, &mut host);
    apply_walls(flags, &mut host);
    apply_mounts(flags, &mut host);
    apply_log(flags, &mut host);
    apply_network(flags, body, &mut host);
    host.init = flags.init.or(host.init);
    if let Some(restart) = flags.restart {
        host.restart_policy = Some(restart_policy(restart.into()));
    }
    body.host_config = Some(host);
}

/// Networks besides the first one, which the request itself names: the container joins them before it starts.
pub(super) fn more_networks(spec: &ContainerSpec) -> Vec<String> {
    let first = usize::from(spec.network.is_none());
    let more = spec.flags.networks.iter().skip(first);
    let named = more.filter_map(|network| match network {
        NetworkMode::Named(name) => Some(name.clone()),
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => None,
    });
    named.collect()
}

fn apply_own(flags: &ContainerSettings, body: &mut ContainerCreateBody) {
    let env = body.env.get_or_insert_default();
    for (key, value) in &flags.env {
        env.retain(|line| line.split_once('=').is_none_or(|(name, _)| name != key));
        env.push(format!("{key}={value}"));
    }
    let labels = body.labels.get_or_insert_default();
    for (key, value) in &flags.labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    body.user = flags.user.clone().or(body.user.take());
    body.working_dir = flags.workdir.clone().or(body.working_dir.take());
    body.hostname = flags.hostname.clone().or(body.hostname.take());
    body.domainname = flags.domainname.clone().or(body.domainname.take());
    body.stop_signal = flags.stop_signal.clone().or(body.stop_signal.take());
    body.stop_timeout = flags.stop_timeout.map(i64::from).or(body.stop_timeout);
    if flags.health != HealthFlags::default() {
        body.healthcheck = Some(health(&flags.health));
    }
}

fn health(flags: &HealthFlags) -> HealthConfig {
    let test = flags.command.as_ref().map(|command| match command {
        HealthCommand::Shell(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
        HealthCommand::Off => vec!["NONE".to_owned()],
    });
    HealthConfig {
        test,
        interval: flags.interval,
        timeout: flags.timeout,
        retries: flags.retries,
        start_period: flags.start_period,
        ..HealthConfig::default()
    }
}

fn apply_limits(flags: &ContainerSettings, host: &mut HostConfig) {
    if let Some(memory) = flags.memory {
        host.memory = Some(memory);
        // The sum of memory and swap: the same number means no swap.
        host.memory_swap = Some(memory);
    }
    host.memory_swap = flags.memory_swap.or(host.memory_swap);
    host.memory_reservation = flags.memory_reservation;
    host.memory_swappiness = flags.memory_swappiness;
    host.oom_kill_disable = flags.oom_kill_disable;
    host.oom_score_adj = flags.oom_score_adj;
    host.nano_cpus = flags.nano_cpus.or(host.nano_cpus);
    host.cpu_shares = flags.cpu_shares;
    host.cpu_period = flags.cpu_period;
    host.cpu_quota = flags.cpu_quota;
    host.cpuset_cpus.clone_from(&flags.cpuset_cpus);
    host.cpuset_mems.clone_from(&flags.cpuset_mems);
    host.pids_limit = flags.pids_limit.or(host.pids_limit);
    host.shm_size = flags.shm_size;
    let ulimits = flags.ulimits.iter().map(|limit| ResourcesUlimits {
        name: Some(limit.name.clone()),
        soft: Some(limit.soft),
        hard: Some(limit.hard),
    });
    host.ulimits = filled(ulimits.collect());
    host.device_requests = flags.gpus.as_ref().map(|gpus| vec![gpu_request(gpus)]);
}

fn gpu_request(gpus: &Gpus) -> DeviceRequest {
    let (count, device_ids) = match gpus {
        Gpus::All => (Some(-1), None),
        Gpus::Count(count) => (Some(*count), None),
        Gpus::Devices(devices) => (None, Some(devices.clone())),
    };
    DeviceRequest {
        count,
        device_ids,
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}

/// What stands between a container and the host.
fn apply_walls(flags: &ContainerSettings, host: &mut HostConfig) {
    let everything = flags.cap_drop.iter().any(|name| name == "ALL");
    let mut add = host.cap_add.take().unwrap_or_default();
    add.retain(|name| !everything && !flags.cap_drop.contains(name));
    add.extend(flags.cap_add.iter().cloned());
    let mut drop = host.cap_drop.take().unwrap_or_default();
    drop.extend(flags.cap_drop.iter().cloned());
    let mut options = host.security_opt.take().unwrap_or_default();
    let says = |option: &String| option.starts_with(NO_NEW_PRIVILEGES);
    let privileged = flags.privileged == Some(true);
    if privileged || flags.security_opts.iter().any(says) {
        options.retain(|option| !says(option));
    }
    options.extend(flags.security_opts.iter().cloned());
    host.privileged = flags.privileged;
    host.cap_add = filled(add).filter(|_| !privileged);
    host.cap_drop = filled(drop).filter(|_| !privileged);
    host.security_opt = filled(options);
    host.sysctls = (!flags.sysctls.is_empty()).then(|| flags.sysctls.clone().into_iter().collect());
    host.devices = filled(flags.devices.iter().map(device).collect());
    host.readonly_rootfs = flags.read_only;
    host.ipc_mode.clone_from(&flags.ipc);
    host.pid_mode.clone_from(&flags.pid);
    host.uts_mode.clone_from(&flags.uts);
    host.group_add = filled(flags.groups.clone());
    let annotations = flags.annotations.clone();
    host.annotations = (!annotations.is_empty()).then(|| annotations.into_iter().collect());
}

fn device(device: &Device) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.host.clone()),
        path_in_container: Some(device.container.clone()),
        cgroup_permissions: Some(device.permissions.clone()),
    }
}

fn apply_mounts(flags: &ContainerSettings, host: &mut HostConfig) {
    let mut binds = host.binds.take().unwrap_or_default();
    let mut mounts = Vec::new();
    let mut tmpfs = HashMap::new();
    for mount in &flags.mounts {
        match &mount.source {
            MountSource::Host(path) => binds.push(bind(path, mount)),
            MountSource::Volume(name) if mount.subpath.is_none() => binds.push(bind(name, mount)),
            MountSource::Volume(_) | MountSource::Anonymous => mounts.push(volume(mount)),
            MountSource::Tmpfs {
                options: Some(options),
                ..
            } => {
                tmpfs.insert(mount.target.clone(), options.clone());
            }
            MountSource::Tmpfs { size, mode, .. } => mounts.push(EngineMount {
                target: Some(mount.target.clone()),
                typ: Some(MountType::TMPFS),
                read_only: Some(mount.read_only),
                tmpfs_options: Some(MountTmpfsOptions {
                    size_bytes: *size,
                    mode: mode.map(i64::from),
                    options: None,
                }),
                ..EngineMount::default()
            }),
        }
    }
    host.binds = filled(binds);
    host.mounts = filled(mounts);
    host.tmpfs = (!tmpfs.is_empty()).then_some(tmpfs);
}

/// `source:target[:options]`
fn bind(source: &str, mount: &Mount) -> String {
    let mut options = Vec::new();
    if mount.read_only {
        options.push("ro".to_owned());
    }
    options.extend(mount.relabel.map(String::from));
    options.extend(mount.propagation.clone());
    if mount.no_copy {
        options.push("nocopy".to_owned());
    }
    let whole = format!("{source}:{}", mount.target);
    if options.is_empty() {
        whole
    } else {
        format!("{whole}:{}", options.join(","))
    }
}

fn volume(mount: &Mount) -> EngineMount {
    let source = match &mount.source {
        MountSource::Volume(name) => Some(name.clone()),
        MountSource::Host(_) | MountSource::Anonymous | MountSource::Tmpfs { .. } => None,
    };
    EngineMount {
        target: Some(mount.target.clone()),
        source,
        typ: Some(MountType::VOLUME),
        read_only: Some(mount.read_only),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(mount.no_copy),
            subpath: mount.subpath.clone(),
            ..MountVolumeOptions::default()
        }),
        ..EngineMount::default()
    }
}

fn apply_log(flags: &ContainerSettings, host: &mut HostConfig) {
    if flags.log_driver.is_none() && flags.log_opts.is_empty() {
        return;
    }
    let ours = host.log_config.take().unwrap_or_default();
    let driver = flags.log_driver.clone().or(ours.typ);
    let driver = driver.unwrap_or_else(|| "json-file".to_owned());
    let mut options = ours.config.unwrap_or_default();
    options.retain(|_, _| FILE_DRIVERS.contains(&driver.as_str()));
    options.extend(flags.log_opts.clone());
    host.log_config = Some(HostConfigLogConfig {
        typ: Some(driver),
        config: Some(options),
    });
}

fn apply_network(flags: &ContainerSettings, body: &mut ContainerCreateBody, host: &mut HostConfig) {
    let mode = match flags.networks.first() {
        // A network that was chosen for the app stays its first one.
        _ if host.network_mode.is_some() => None,
        None => None,
        Some(NetworkMode::Host) => Some("host".to_owned()),
        Some(NetworkMode::None) => Some("none".to_owned()),
        Some(NetworkMode::Container(name)) => Some(format!("container:{name}")),
        Some(NetworkMode::Named(name)) => {
            let place = HashMap::from([(name.clone(), endpoint(&[]))]);
            body.networking_config = Some(NetworkingConfig {
                endpoints_config: Some(place),
            });
            Some(name.clone())
        }
    };
    host.network_mode = mode.or(host.network_mode.take());
    let links = flags.links.iter();
    let links = links.map(|link| format!("{}:{}", link.container, link.alias));
    let links: Vec<_> = links.collect();
    let places = body.networking_config.iter_mut();
    for place in places.flat_map(|config| config.endpoints_config.iter_mut().flatten()) {
        let aliases = place.1.aliases.take().unwrap_or_default();
        let aliases = aliases
            .into_iter()
            .chain(flags.network_aliases.iter().cloned());
        place.1.aliases = filled(aliases.collect());
        place.1.links = filled(links.clone());
    }
    host.links = filled(links);
    host.extra_hosts = filled(flags.add_hosts.clone());
    // The engine refuses name servers in somebody else's network.
    let shares = |mode: &String| mode.starts_with("container:");
    let is_guest = host.network_mode.as_ref().is_some_and(shares);
    let ours = host.dns.take().filter(|_| !is_guest);
    host.dns = filled(flags.dns.iter().map(ToString::to_string).collect()).or(ours);
    host.dns_search = filled(flags.dns_search.clone());
    host.dns_options = filled(flags.dns_options.clone());
    publish(flags, body, host);
}

fn publish(flags: &ContainerSettings, body: &mut ContainerCreateBody, host: &mut HostConfig) {
    let mut exposed = body.exposed_ports.take().unwrap_or_default();
    exposed.extend(flags.expose.iter().map(|port| format!("{port}/tcp")));
    let mut bindings: HashMap<_, Option<Vec<_>>> = HashMap::new();
    for port in &flags.publish {
        let key = format!(
            "{}/{}",
            port.container,
            if port.udp { "udp" } else { "tcp" }
        );
        exposed.push(key.clone());
        let of_port = bindings.entry(key).or_default();
        of_port.get_or_insert_default().push(binding(port));
    }
    exposed.sort();
    exposed.dedup();
    body.exposed_ports = filled(exposed);
    host.port_bindings = (!bindings.is_empty()).then_some(bindings);
}

fn binding(port: &PublishedPort) -> PortBinding {
    PortBinding {
        host_ip: port.address.map(|address| address.to_string()),
        host_port: Some(port.host.map(|port| port.to_string()).unwrap_or_default()),
    }
}

fn filled<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NetworkPlace;
    use crate::docker::spec::create_body;
    use sarsen_domain::DockerFlags;

    fn host(text: &str) -> HostConfig {
        body(text).host_config.unwrap()
    }

    fn body(text: &str) -> ContainerCreateBody {
        create_body(&ContainerSpec {
            memory: Some(1 << 30),
            drop_capabilities: true,
            no_new_privileges: true,
            log_max_size: Some("10m".to_owned()),
            flags: DockerFlags::parse_text(text).unwrap(),
            ..ContainerSpec::default()
        })
    }

    #[test]
    fn capabilities_are_taken_from_and_added_to_ours() {
        let less = host("--cap-drop CHOWN --cap-add NET_RAW").cap_add.unwrap();
        assert!(less.contains(&"NET_RAW".to_owned()) && !less.contains(&"CHOWN".to_owned()));
        let bare = host("--cap-drop ALL --cap-add KILL");
        assert_eq!(bare.cap_add.unwrap(), ["KILL"]);
        let all = host("--privileged");
        assert_eq!(
            (all.cap_drop, all.security_opt, all.privileged),
            (None, None, Some(true))
        );
        let open = host("--security-opt no-new-privileges:false").security_opt;
        assert_eq!(open.unwrap(), ["no-new-privileges:false"]);
    }

    #[test]
    fn name_servers_of_a_flag_win_over_ours() {
        let dns = |text| {
            let spec = ContainerSpec {
                name_servers: vec!["172.17.0.1".parse().unwrap()],
                flags: DockerFlags::parse_text(text).unwrap(),
                ..ContainerSpec::default()
            };
            create_body(&spec).host_config.unwrap().dns
        };
        assert_eq!(dns("").unwrap(), ["172.17.0.1"]);
        assert_eq!(dns("--dns 10.0.0.1").unwrap(), ["10.0.0.1"]);
        assert_eq!(dns("--network container:other"), None);
        assert_eq!(host("").dns, None);
    }

    #[test]
    fn a_smaller_memory_brings_its_swap_along() {
        let host = host("--memory 64m");
        assert_eq!(
            (host.memory, host.memory_swap),
            (Some(64 << 20), Some(64 << 20))
        );
        assert_eq!(super::tests::host("").memory_swap, Some(1 << 30));
        assert_eq!(super::tests::host("--memory-swap -1").memory_swap, Some(-1));
    }

    #[test]
    fn log_options_fit_their_driver() {
        let config = |text| host(text).log_config.unwrap();
        assert_eq!(config("--log-opt max-file=2").config.unwrap().len(), 2);
        let journal = config("--log-driver journald");
        assert_eq!(journal.config.unwrap().len(), 0);
    }

    #[test]
    fn the_first_network_takes_the_place_of_the_default_one() {
        let flags = "--network a --network b --network-alias x --link c:d";
        let body = body(flags);
        let places = body.networking_config.unwrap().endpoints_config.unwrap();
        assert_eq!(places["a"].aliases.as_deref().unwrap(), ["x"]);
        assert_eq!(places["a"].links.as_deref().unwrap(), ["c:d"]);
        let mut spec = ContainerSpec {
            flags: DockerFlags::parse_text(flags).unwrap(),
            ..ContainerSpec::default()
        };
        assert_eq!(more_networks(&spec), ["b"]);
        spec.network = Some(NetworkPlace {
            network: "first".to_owned(),
            aliases: Vec::new(),
        });
        assert_eq!(more_networks(&spec), ["a", "b"]);
    }
}
