//! The flags of `docker run`.

use std::net::IpAddr;

use super::Takes::{Nothing, Value};
use super::mounts::{absolute_path, parse_mount, parse_tmpfs, parse_volume};
use super::settings::{ContainerSettings, HealthCommand, NetworkMode};
use super::values::{
    add_host, boolean, capability, cpus, device, duration, gpus, host_name, link, network, number,
    object_name, pair, port, restart, size, ulimit, word,
};
use super::{Flag, Refusal, many, one, pairs};
use crate::EnvKey;

/// Docker refuses less memory.
const MEMORY_MIN: i64 = 6 << 20;

/// Labels that say what is whose.
const OWN_LABELS: [&str; 3] = ["com.sarsen.", "com.dokku.", "dokku"];

/// Sysctls that belong to a container's own namespaces.
const OWN_SYSCTLS: [&str; 5] = [
    "net.",
    "kernel.shm",
    "kernel.msg",
    "kernel.sem",
    "fs.mqueue.",
];

type Settings = ContainerSettings;

/// What is honoured.
pub(super) const FLAGS: &[Flag<Settings>] = &[
    (&["--volume", "-v"], Value, many!(mounts, parse_volume)),
    (&["--mount"], Value, many!(mounts, parse_mount)),
    (&["--tmpfs"], Value, many!(mounts, parse_tmpfs)),
    (&["--publish", "-p"], Value, many!(publish, port)),
    (&["--expose"], Value, expose),
    (&["--env", "-e"], Value, env),
    (&["--label", "-l"], Value, label),
    (&["--annotation"], Value, pairs!(annotations)),
    (&["--link"], Value, many!(links, link)),
    (&["--network", "--net"], Value, join),
    (
        &["--network-alias", "--net-alias"],
        Value,
        many!(network_aliases, host_name),
    ),
    (&["--add-host"], Value, many!(add_hosts, add_host)),
    (&["--dns"], Value, many!(dns, address)),
    (&["--dns-search"], Value, many!(dns_search, host_name)),
    (
        &["--dns-option", "--dns-opt"],
        Value,
        many!(dns_options, word),
    ),
    (&["--cap-add"], Value, many!(cap_add, capability)),
    (&["--cap-drop"], Value, many!(cap_drop, capability)),
    (&["--device"], Value, many!(devices, device)),
    (&["--gpus"], Value, one!(gpus, gpus)),
    (&["--privileged"], Nothing, one!(privileged, boolean)),
    (&["--security-opt"], Value, security_opt),
    (&["--sysctl"], Value, sysctl),
    (&["--ulimit"], Value, many!(ulimits, ulimit)),
    (&["--memory", "-m"], Value, one!(memory, memory)),
    (&["--memory-swap"], Value, one!(memory_swap, swap)),
    (
        &["--memory-reservation"],
        Value,
        one!(memory_reservation, memory),
    ),
    (
        &["--memory-swappiness"],
        Value,
        one!(memory_swappiness, |v| number(v, 0, 100)),
    ),
    (
        &["--oom-kill-disable"],
        Nothing,
        one!(oom_kill_disable, boolean),
    ),
    (
        &["--oom-score-adj"],
        Value,
        one!(oom_score_adj, |v| number(v, -1000, 1000)),
    ),
    (&["--cpus"], Value, one!(nano_cpus, cpus)),
    (
        &["--cpu-shares", "-c"],
        Value,
        one!(cpu_shares, |v| number(v, 2, 262_144)),
    ),
    (
        &["--cpu-period"],
        Value,
        one!(cpu_period, |v| number(v, 1000, 1_000_000)),
    ),
    (
        &["--cpu-quota"],
        Value,
        one!(cpu_quota, |v| number(v, 1000, i64::MAX)),
    ),
    (&["--cpuset-cpus"], Value, one!(cpuset_cpus, ranges)),
    (&["--cpuset-mems"], Value, one!(cpuset_mems, ranges)),
    (
        &["--pids-limit"],
        Value,
        one!(pids_limit, |v| number(v, 1, 4_194_304)),
    ),
    (&["--shm-size"], Value, one!(shm_size, size)),
    (&["--user", "-u"], Value, one!(user, word)),
    (&["--group-add"], Value, many!(groups, word)),
    (&["--workdir", "-w"], Value, one!(workdir, absolute_path)),
    (&["--hostname", "-h"], Value, one!(hostname, host_name)),
    (&["--domainname"], Value, one!(domainname, host_name)),
    (&["--restart"], Value, one!(restart, restart)),
    (&["--stop-timeout"], Value, stop_timeout),
    (&["--stop-signal"], Value, one!(stop_signal, signal)),
    (&["--init"], Nothing, one!(init, boolean)),
    (&["--read-only"], Nothing, one!(read_only, boolean)),
    (
        &["--ipc"],
        Value,
        one!(ipc, |v| namespace(
            v,
            &["none", "private", "shareable", "host"]
        )),
    ),
    (&["--pid"], Value, one!(pid, |v| namespace(v, &["host"]))),
    (&["--uts"], Value, one!(uts, |v| namespace(v, &["host"]))),
    (&["--health-cmd"], Value, health_command),
    (&["--no-healthcheck"], Nothing, no_health),
    (
        &["--health-interval"],
        Value,
        one!(health.interval, duration),
    ),
    (&["--health-timeout"], Value, one!(health.timeout, duration)),
    (
        &["--health-start-period"],
        Value,
        one!(health.start_period, duration),
    ),
    (
        &["--health-retries"],
        Value,
        one!(health.retries, |v| number(v, 1, 1000)),
    ),
    (&["--log-driver"], Value, one!(log_driver, object_name)),
    (&["--log-opt"], Value, pairs!(log_opts)),
];

/// What docker has and an app's container cannot have.
pub(super) const REFUSED: &[Refusal] = &[
    (
        &["--name"],
        "containers are named after their app and process",
    ),
    (
        &["--rm"],
        "containers are removed when they are replaced, one-off ones at their end",
    ),
    (
        &[
            "--detach",
            "-d",
            "--attach",
            "-a",
            "--interactive",
            "-i",
            "--tty",
            "-t",
            "--sig-proxy",
            "--detach-keys",
        ],
        "how streams are used follows from the command that starts the container",
    ),
    (&["--entrypoint"], "the Procfile says what runs"),
    (
        &["--env-file", "--label-file", "--cidfile"],
        "it names a file beside a docker client, and there is none; give the values themselves",
    ),
    (&["--volumes-from"], "mount the volumes by name"),
    (
        &["--volume-driver"],
        "make the volume first and mount it by name",
    ),
    (&["--publish-all", "-P"], "name the ports with --publish"),
    (
        &["--pull", "--platform", "--disable-content-trust"],
        "the image is made or fetched by the deploy",
    ),
    (
        &["--ip", "--ip6", "--mac-address", "--link-local-ip"],
        "two containers of an app run side by side during a deploy and cannot share an address",
    ),
    (
        &[
            "--cgroup-parent",
            "--cgroupns",
            "--isolation",
            "--runtime",
            "--userns",
            "--storage-opt",
            "--device-cgroup-rule",
            "--cpu-rt-period",
            "--cpu-rt-runtime",
            "--kernel-memory",
        ],
        "it depends on how the host's engine is set up",
    ),
    (
        &[
            "--blkio-weight",
            "--blkio-weight-device",
            "--device-read-bps",
            "--device-read-iops",
            "--device-write-bps",
            "--device-write-iops",
        ],
        "block devices are not limited here",
    ),
    (
        &[
            "--build-arg",
            "--file",
            "--target",
            "--no-cache",
            "--secret",
            "--cache-from",
        ],
        "it is a flag of builds: use the phase 'build'",
    ),
];

fn address(value: &str) -> Result<IpAddr, String> {
    value.parse().map_err(|_| "use an address".to_owned())
}

fn expose(settings: &mut Settings, value: &str) -> Result<(), String> {
    let port = value.strip_suffix("/tcp").unwrap_or(value);
    let port = port.parse().ok().filter(|port| *port > 0);
    settings.expose.push(port.ok_or("use a TCP port")?);
    Ok(())
}

fn env(settings: &mut Settings, value: &str) -> Result<(), String> {
    let (key, value) = value.split_once('=').ok_or(
        "write it as KEY=value: there is no docker client whose environment could be asked",
    )?;
    let key = EnvKey::parse(key).map_err(|invalid| invalid.to_string())?;
    settings.env.push((key.to_string(), value.to_owned()));
    Ok(())
}

fn label(settings: &mut Settings, value: &str) -> Result<(), String> {
    let (key, value) = pair(value)?;
    let is_ours = |own: &str| key == own || (own.ends_with('.') && key.starts_with(own));
    if OWN_LABELS.iter().any(|own| is_ours(own)) {
        return Err("labels of this name are set by the deploy itself".to_owned());
    }
    settings.labels.insert(key, value);
    Ok(())
}

/// A name, or `name=NETWORK,alias=NAME`.
fn join(settings: &mut Settings, value: &str) -> Result<(), String> {
    if !value.contains('=') {
        settings.networks.push(network(value)?);
        return Ok(());
    }
    for field in value.split(',') {
        match field.split_once('=') {
            Some(("name", name)) => settings
                .networks
                .push(NetworkMode::Named(object_name(name)?)),
            Some(("alias", alias)) => settings.network_aliases.push(host_name(alias)?),
            _ => return Err(format!("'{field}' cannot be honoured; name and alias can")),
        }
    }
    Ok(())
}

fn security_opt(settings: &mut Settings, value: &str) -> Result<(), String> {
    let kind = value.split(['=', ':']).next().unwrap_or_default();
    let known = [
        "no-new-privileges",
        "apparmor",
        "seccomp",
        "label",
        "systempaths",
    ];
    if !known.contains(&kind) {
        return Err(format!("known are {}", known.join(", ")));
    }
    if kind == "seccomp" && !value.ends_with("unconfined") {
        return Err(
            "a profile is a file beside a docker client; only unconfined is known".to_owned(),
        );
    }
    settings.security_opts.push(value.to_owned());
    Ok(())
}

fn sysctl(settings: &mut Settings, value: &str) -> Result<(), String> {
    let (key, value) = pair(value)?;
    if !OWN_SYSCTLS.iter().any(|own| key.starts_with(own)) {
        return Err("it is a setting of the whole host".to_owned());
    }
    settings.sysctls.insert(key, value);
    Ok(())
}

fn memory(value: &str) -> Result<i64, String> {
    let bytes = size(value)?;
    if bytes < MEMORY_MIN {
        return Err("use at least 6m".to_owned());
    }
    Ok(bytes)
}

fn swap(value: &str) -> Result<i64, String> {
    if value == "-1" { Ok(-1) } else { memory(value) }
}

/// `0-3`, `0,2`
fn ranges(value: &str) -> Result<String, String> {
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_range = |part: &str| match part.split_once('-') {
        Some((from, to)) => is_number(from) && is_number(to),
        None => is_number(part),
    };
    if !value.split(',').all(is_range) {
        return Err("use numbers and ranges such as 0-2,5".to_owned());
    }
    Ok(value.to_owned())
}

fn stop_timeout(settings: &mut Settings, value: &str) -> Result<(), String> {
    let seconds = number(value, 0, 86_400)?;
    settings.stop_timeout = u32::try_from(seconds).ok();
    Ok(())
}

fn signal(value: &str) -> Result<String, String> {
    let legal = value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '-');
    if value.is_empty() || value.starts_with('-') || value.len() > 16 || !legal {
        return Err("use a signal such as SIGINT".to_owned());
    }
    Ok(value.to_owned())
}

fn namespace(value: &str, words: &[&str]) -> Result<String, String> {
    if let Some(name) = value.strip_prefix("container:") {
        object_name(name)?;
    } else if !words.contains(&value) {
        return Err(format!("use {} or container:NAME", words.join(", ")));
    }
    Ok(value.to_owned())
}

fn health_command(settings: &mut Settings, value: &str) -> Result<(), String> {
    settings.health.command = Some(match value {
        "" => return Err("it is empty".to_owned()),
        "none" => HealthCommand::Off,
        line => HealthCommand::Shell(line.to_owned()),
    });
    Ok(())
}

fn no_health(settings: &mut Settings, value: &str) -> Result<(), String> {
    if boolean(value)? {
        settings.health.command = Some(HealthCommand::Off);
    }
    Ok(())
}
