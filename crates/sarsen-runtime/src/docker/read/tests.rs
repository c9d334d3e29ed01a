//! Answers of a real engine, shortened, and what is read from them.

use super::*;

fn container(json: serde_json::Value) -> ContainerInfo {
    container_info(serde_json::from_value(json).unwrap()).unwrap()
}

#[test]
fn a_running_container_is_read_whole() {
    let info = container(serde_json::json!({
        "Id": "ab".repeat(32),
        "Created": "2026-01-02T03:04:05.123456789Z",
        "Name": "/web.1",
        "RestartCount": 2,
        "State": {
            "Status": "running", "Running": true, "Pid": 321, "ExitCode": 0,
            "StartedAt": "2026-01-02T03:04:06.5Z", "FinishedAt": "0001-01-01T00:00:00Z",
            "Health": {"Status": "unhealthy", "Log": [
                {"ExitCode": 1, "Output": "first"}, {"ExitCode": 1, "Output": "last"},
            ]},
        },
        "Config": {
            "Image": "app:1", "Env": ["A=b"], "Labels": {"k": "v"}, "Tty": false,
            "ExposedPorts": {"5000/tcp": {}, "53/udp": {}, "9/sctp": {}},
        },
        "HostConfig": {"NetworkMode": "default"},
        "NetworkSettings": {
            "Ports": {
                "5000/tcp": [{"HostIp": "::", "HostPort": "81"}, {"HostIp": "0.0.0.0", "HostPort": "80"}],
                "53/udp": null,
            },
            "Networks": {
                "bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""},
                "idle": {"IPAddress": "", "GlobalIPv6Address": ""},
                "six": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"},
            },
        },
    }));
    assert_eq!(
        (info.name.as_str(), info.image.as_str()),
        ("web.1", "app:1")
    );
    assert!(info.is_running() && !info.host_network && !info.tty);
    assert_eq!(
        (info.pid, info.exit_code, info.restart_count),
        (321, None, 2)
    );
    assert_eq!(info.health, ImageHealth::Unhealthy);
    assert_eq!(info.health_output.as_deref(), Some("last"));
    assert_eq!(info.address(), Some("172.17.0.2".parse().unwrap()));
    assert_eq!(info.addresses["six"], "fd00::2".parse::<IpAddr>().unwrap());
    assert_eq!(info.addresses.len(), 2);
    let ports: Vec<_> = info
        .ports
        .iter()
        .map(|p| (p.port, p.udp, p.published))
        .collect();
    let published = Some(("0.0.0.0".parse().unwrap(), 80));
    assert_eq!(ports, [(53, true, None), (5000, false, published)]);
    assert_eq!(info.created_at, "2026-01-02T03:04:05.123456789Z");
    assert_eq!(info.started_at.as_deref(), Some("2026-01-02T03:04:06.5Z"));
}

#[test]
fn what_never_ran_has_no_times_and_no_exit_code() {
    let info = container(serde_json::json!({
        "Id": "ab",
        "State": {"Status": "created", "ExitCode": 0, "StartedAt": "0001-01-01T00:00:00Z", "Error": ""},
    }));
    assert_eq!(info.status, ContainerStatus::Created);
    assert_eq!(
        (info.exit_code, info.started_at, info.error),
        (None, None, None)
    );
    assert_eq!(info.addresses.len(), 0);
}

#[test]
fn what_has_ended_says_how() {
    let info = container(serde_json::json!({
        "Id": "ab",
        "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true, "StartedAt": "2026-01-02T03:04:06Z"},
        "HostConfig": {"NetworkMode": "host"},
    }));
    assert_eq!(info.exit_code, Some(137));
    assert!(info.oom_killed && info.host_network);
}

#[test]
fn an_answer_without_an_id_is_an_error() {
    let error = container_info(ContainerInspectResponse::default()).unwrap_err();
    assert!(error.to_string().contains("odd answer"), "{error}");
}

#[test]
fn an_image_is_read_whole() {
    let answer = serde_json::json!({
        "Id": format!("sha256:{}", "ab".repeat(32)),
        "RepoTags": ["app:1"],
        "Created": "2026-01-02T03:04:05Z",
        "Size": 7,
        "Config": {
            "User": "app", "WorkingDir": "/app", "Env": ["A=b"], "Cmd": ["run"], "Entrypoint": ["/init"],
            "Labels": {"k": "v"}, "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "Healthcheck": {"Test": ["CMD", "true"]},
        },
    });
    let info = image_info(serde_json::from_value(answer).unwrap()).unwrap();
    assert!(info.id.is_id() && info.has_healthcheck);
    assert_eq!(info.exposed, [(53, true), (80, false)]);
    assert_eq!((info.workdir.as_str(), info.user.as_str()), ("/app", "app"));
    assert_eq!(info.labels["k"], "v");
}

#[test]
fn a_disabled_healthcheck_is_none() {
    let answer =
        serde_json::json!({"Id": "sha256:ab", "Config": {"Healthcheck": {"Test": ["NONE"]}}});
    let info = image_info(serde_json::from_value(answer).unwrap()).unwrap();
    assert!(!info.has_healthcheck);
}
