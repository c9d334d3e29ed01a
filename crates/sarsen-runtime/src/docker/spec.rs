//! A container to be made, as the engine's request.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, NetworkingConfig,
    RestartPolicy as EnginePolicy, RestartPolicyNameEnum,
};

use super::flags;
use super::networks::endpoint;
use crate::{ContainerSpec, NetworkPlace, RestartPolicy};

/// What an ordinary image needs when its entry point starts as root, prepares folders, and becomes another user
/// (nginx, postgres, redis, mysql, most official images do):
///
/// - CHOWN, FOWNER, FSETID, DAC_OVERRIDE: give a fresh data folder to that user and write into folders of others;
/// - SETUID, SETGID: become that user (`gosu`, `su-exec`, a server's own `user` setting);
/// - KILL: signal workers that run as that user;
/// - NET_BIND_SERVICE: listen on port 80.
///
/// Left out of Docker's default set: AUDIT_WRITE (sshd, login), MKNOD (devices), NET_RAW (forged packets on the
/// shared bridge), SETFCAP and SETPCAP (handing out capabilities), SYS_CHROOT.
const CAPABILITIES: [&str; 8] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETGID",
    "SETUID",
];

/// The request that makes this container.
pub(super) fn create_body(spec: &ContainerSpec) -> ContainerCreateBody {
    let ports = spec.expose.iter().map(|port| format!("{port}/tcp"));
    let ports: Vec<_> = ports.collect();
    let mut body = ContainerCreateBody {
        image: Some(spec.image.clone()),
        entrypoint: spec.entrypoint.as_ref().map(|words| entrypoint(words)),
        cmd: spec.command.clone(),
        env: Some(spec.env.clone()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        working_dir: spec.workdir.clone(),
        user: spec.user.clone(),
        exposed_ports: (!ports.is_empty()).then_some(ports),
        attach_stdin: Some(spec.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        open_stdin: Some(spec.stdin),
        // Without it the program would not see the end of its input when we close ours.
        stdin_once: Some(spec.stdin),
        tty: Some(spec.tty),
        stop_timeout: spec.stop_timeout.map(i64::from),
        host_config: Some(host_config(spec)),
        networking_config: spec.network.as_ref().map(networking),
        ..ContainerCreateBody::default()
    };
    flags::apply(&spec.flags, &mut body);
    body
}

/// The engine's form of a restart policy.
pub(super) fn restart_policy(policy: RestartPolicy) -> EnginePolicy {
    let (name, most) = match policy {
        RestartPolicy::No => (RestartPolicyNameEnum::NO, 0),
        RestartPolicy::OnFailure(most) => (RestartPolicyNameEnum::ON_FAILURE, most),
        RestartPolicy::Always => (RestartPolicyNameEnum::ALWAYS, 0),
        RestartPolicy::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, 0),
    };
    EnginePolicy {
        name: Some(name),
        maximum_retry_count: Some(i64::from(most)),
    }
}

/// With the name alone the container would be on the network too, but without its other names.
fn networking(place: &NetworkPlace) -> NetworkingConfig {
    let endpoint = endpoint(&place.aliases);
    NetworkingConfig {
        endpoints_config: Some(HashMap::from([(place.network.clone(), endpoint)])),
    }
}

fn host_config(spec: &ContainerSpec) -> HostConfig {
    let capabilities = spec.drop_capabilities;
    HostConfig {
        init: spec.init.then_some(true),
        restart_policy: Some(restart_policy(spec.restart)),
        binds: (!spec.binds.is_empty()).then(|| spec.binds.clone()),
        memory: spec.memory,
        // The sum of memory and swap: the same number means no swap.
        memory_swap: spec.memory,
        nano_cpus: spec.nano_cpus,
        pids_limit: spec.pids_limit,
        cap_drop: capabilities.then(|| vec!["ALL".to_owned()]),
        cap_add: capabilities.then(|| CAPABILITIES.map(str::to_owned).to_vec()),
        security_opt: spec
            .no_new_privileges
            .then(|| vec!["no-new-privileges".to_owned()]),
        log_config: spec.log_max_size.as_deref().map(log_config),
        auto_remove: Some(spec.auto_remove),
        network_mode: spec.network.as_ref().map(|place| place.network.clone()),
        dns: (!spec.name_servers.is_empty())
            .then(|| spec.name_servers.iter().map(ToString::to_string).collect()),
        ..HostConfig::default()
    }
}

/// The driver is named because `max-size` is not every driver's word, and because only this one and `local` can
/// be read back on every engine.
fn log_config(max_size: &str) -> HostConfigLogConfig {
    let options = [("max-size".to_owned(), max_size.to_owned())];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(HashMap::from(options)),
    }
}

/// An empty list would mean "the image's"; the engine's word for "none" is one empty string.
fn entrypoint(words: &[String]) -> Vec<String> {
    if words.is_empty() {
        vec![String::new()]
    } else {
        words.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_spec_asks_for_nothing_special() {
        let body = create_body(&ContainerSpec::default());
        let host = body.host_config.unwrap();
        assert_eq!(body.exposed_ports, None);
        assert_eq!(body.entrypoint, None);
        assert_eq!((host.cap_drop, host.security_opt), (None, None));
        assert_eq!(
            (host.memory, host.log_config, host.init),
            (None, None, None)
        );
    }

    #[test]
    fn limits_and_hardening_reach_the_request() {
        let spec = ContainerSpec {
            entrypoint: Some(Vec::new()),
            expose: vec![5000],
            memory: Some(64 << 20),
            drop_capabilities: true,
            no_new_privileges: true,
            log_max_size: Some("10m".to_owned()),
            restart: RestartPolicy::OnFailure(10),
            ..ContainerSpec::default()
        };
        let body = create_body(&spec);
        assert_eq!(body.entrypoint, Some(vec![String::new()]));
        assert_eq!(body.exposed_ports, Some(vec!["5000/tcp".to_owned()]));
        let host = body.host_config.unwrap();
        assert_eq!(host.memory_swap, host.memory);
        assert_eq!(host.cap_drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(host.cap_add.unwrap().len(), CAPABILITIES.len());
        assert_eq!(
            host.security_opt,
            Some(vec!["no-new-privileges".to_owned()])
        );
        assert_eq!(host.log_config.unwrap().config.unwrap()["max-size"], "10m");
        let policy = host.restart_policy.unwrap();
        assert_eq!(policy.name, Some(RestartPolicyNameEnum::ON_FAILURE));
        assert_eq!(policy.maximum_retry_count, Some(10));
    }
}
