//! The layers, the complaints, and the documented file.

use std::path::Path;

use super::layers::from_text;
use super::*;
use crate::vars::Vars;

fn read(file: Option<&str>, vars: &[(&str, &str)], sets: &[&str]) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sarsen.toml");
    std::fs::write(&path, file.unwrap_or_default()).unwrap();
    let vars: Vars = vars.iter().copied().collect();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let read = Loaded::read(&Sources {
        file: Some(&path),
        vars: &vars,
        sets: &sets,
    });
    let shorten = |text: &String| text.replace(&path.display().to_string(), "F");
    read.map_err(|error| ConfigError(error.0.iter().map(shorten).collect()))
}

fn complaint(file: &str) -> String {
    read(Some(file), &[], &[]).unwrap_err().to_string()
}

/// The documented file with every setting switched on.
fn switched_on() -> String {
    let switch = |line: &'static str| match line.strip_prefix('#') {
        Some(setting) if !setting.starts_with(' ') => setting,
        _ => line,
    };
    TEMPLATE
        .lines()
        .map(|line| switch(line).to_owned() + "\n")
        .collect()
}

#[test]
fn the_documented_file_holds_every_setting_with_its_default() {
    let text = switched_on();
    let loaded = read(Some(&text), &[], &[]).unwrap();
    assert_eq!(loaded.config, Config::default());
    let given = from_text(Path::new("F"), &text).unwrap();
    let names: Vec<_> = given.iter().map(|given| given.key.as_str()).collect();
    let known: Vec<_> = keys::KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names, known, "the same settings in the same order");
    assert_eq!(
        read(Some(TEMPLATE), &[], &[]).unwrap().config,
        Config::default()
    );
}

#[test]
fn later_layers_win() {
    let file = "data_dir = '/a'\n[http]\nlisten = '1.2.3.4:80'\n[deploy]\nkeep_releases = 3\n";
    let vars = [
        ("SARSEN_HTTP_LISTEN", "1.2.3.4:81,5.6.7.8:81"),
        ("SARSEN_DATA_DIR", "/b"),
    ];
    let loaded = read(Some(file), &vars, &["data_dir=/c"]).unwrap();
    let config = &loaded.config;
    assert_eq!(config.data_dir, Path::new("/c"));
    assert_eq!(config.http.listen.len(), 2);
    assert_eq!(config.deploy.keep_releases, 3);
    let shown = loaded.show();
    for line in [
        "data_dir = \"/c\"  # --set",
        "listen = [\"1.2.3.4:81\", \"5.6.7.8:81\"]  # SARSEN_HTTP_LISTEN in the environment",
        "sarsen.toml:5",
        "\n[ssh]\nlisten = [\"0.0.0.0:2222\"]\n",
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
}

#[test]
fn what_is_shown_can_be_read_again() {
    let sets = [
        "build.memory=1536m",
        "build.cpus=1.5",
        "http.trusted_proxies=10.0.0.0/8, ::1",
        "control.mode=600",
        "http.access_log=/var/log/a \"b\"",
        "web.listen=",
        "log.level=info,sarsen_router=debug",
        "shutdown.deadline=90s",
        "build.time_limit=90m",
        "ssh.max_push=3k",
        "registry.ip=10.0.0.5",
        "registry.explicit=true",
        "registry.use_ip_from_label=net.ip",
        "registry.tags=host, {{ .Name }}",
        "registry.deregister=on-success",
        "registry.resync=5s",
        "consul.node_id=8D2A1B8E-6a1b-4c1d-9f5e-0d6f6a2b7c11",
        "consul.node_meta=rack=r1,zone=",
    ];
    let first = read(None, &[], &sets).unwrap();
    let second = read(Some(&first.show()), &[], &[]).unwrap();
    assert_eq!(first.config, second.config);
    assert_ne!(first.config, Config::default());
    assert_eq!(second.config.build.cpus, Some(Cpus(1_500_000_000)));
    assert_eq!(second.config.control.mode, Mode(0o600));
    assert_eq!(second.config.web.listen, None);
    assert_eq!(second.config.registry.tags.template(), "host, {{ .Name }}");
    assert_eq!(second.config.consul.node_meta.0["rack"], "r1");
    assert_eq!(
        read(Some("control.mode = 0o640"), &[], &[])
            .unwrap()
            .config
            .control
            .mode,
        Mode(0o640)
    );
}

/// A file, and a part of what is said about it.
const COMPLAINTS: [(&str, &str); 25] = [
    (
        "[http]\n\nlisten = '80'",
        "http.listen cannot be \"80\" (F:3): a list, each of them an address and a port",
    ),
    (
        "[http]\nlisten = []",
        "http.listen is empty: name at least one address",
    ),
    (
        "[http]\nlisten = ['0.0.0.0:80', '[::]:81']",
        "http.listen names different ports",
    ),
    (
        "[http]\nlisen = 1",
        "There is no setting http.lisen (F:2): did you mean http.listen?",
    ),
    (
        "colour = 1",
        "There is no setting colour (F:1): see docs/configuration.md",
    ),
    ("http = 1", "There is no setting http (F:1)"),
    (
        "[deploy]\nkeep_releases = 0",
        "deploy.keep_releases cannot be \"0\" (F:2): a number of at least 1",
    ),
    (
        "data_dir = 'here'",
        "data_dir cannot be \"here\" (F:1): an absolute path",
    ),
    (
        "[shutdown]\ndeadline = 30",
        "shutdown.deadline cannot be \"30\" (F:2): a time such as \"30s\"",
    ),
    ("[build]\nallow_private_hosts = 'yes'", "true or false"),
    (
        "[build]\ntime_limit = '10m'",
        "build.silence_limit is longer",
    ),
    (
        "[log]\nlevel = 'loud'",
        "log.level cannot be \"loud\" (F:2): error, warn, info",
    ),
    (
        "domain = '*.x'",
        "domain cannot be \"*.x\" (F:1): a host name such as",
    ),
    ("[http]\ntrusted_proxies = ['x']", "Invalid address 'x'"),
    (
        "[docker]\nbuild_engine = 'podman'",
        "\"auto\", \"buildkit\" or \"classic\"",
    ),
    ("a = \nb = 1", "F:1: "),
    (
        "[registry]\nip = '10.0.0.5'\ninternal = true",
        "registry.internal = true goes without them: choose one",
    ),
    (
        "[registry]\ncleanup = true",
        "removes what others left in registry.backends, and there are none",
    ),
    (
        "[registry]\nip = '0.0.0.0'",
        "registry.ip cannot be \"0.0.0.0\" (F:2): an address of this host",
    ),
    (
        "[registry]\ntags = 'a,{{ nonsense }}'",
        "cannot be worked out",
    ),
    (
        "[registry]\nderegister = 'never'",
        "\"always\" or \"on-success\"",
    ),
    ("[registry]\nexplicit = 'maybe'", "true or false"),
    ("[consul]\nnode_id = 'x'", "a UUID such as"),
    ("[consul]\nnode_meta = ['rack']", "a list of KEY=VALUE"),
    (
        "[consul]\nnode_meta = ['consul-x=1']",
        "consul- is Consul's",
    ),
];

#[test]
fn complaints_say_where_and_what() {
    for (file, expected) in COMPLAINTS {
        let complaint = complaint(file);
        assert!(complaint.contains(expected), "{file:?}: {complaint}");
    }
}

#[test]
fn everything_wrong_is_told_at_once() {
    let complaint = read(
        Some("x = 1\n[ssh]\nusers = [' ']"),
        &[("SARSEN_HTTP_LISTN", "")],
        &["y"],
    )
    .unwrap_err();
    assert_eq!(complaint.0.len(), 4, "{complaint}");
    assert!(
        complaint
            .to_string()
            .contains("did you mean SARSEN_HTTP_LISTEN?"),
        "{complaint}"
    );
    assert!(
        complaint.to_string().contains("--set y: write it as"),
        "{complaint}"
    );
}

#[test]
fn a_file_that_was_named_must_be_there() {
    let vars: Vars = [("SARSEN_CONFIG", "/nonexistent/s.toml")]
        .into_iter()
        .collect();
    let sources = Sources {
        file: None,
        vars: &vars,
        sets: &[],
    };
    let complaint = Loaded::read(&sources).unwrap_err().to_string();
    assert_eq!(
        complaint,
        "There is no configuration file /nonexistent/s.toml"
    );
}

#[test]
fn variables_of_other_programs_are_left_alone() {
    let vars = [
        ("SARSEN_SOCKET", "/x"),
        ("SARSEN_STACK_BASE", "y"),
        ("SARSEN_TEST_Z", ""),
        ("HOME", "/"),
    ];
    assert_eq!(read(None, &vars, &[]).unwrap().config, Config::default());
}
