//! `sarsen registrator` with a real Consul, and nothing else of Sarsen; and the daemon by the same flags.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::binary;
use crate::daemon::free_port;
use crate::engine::Engine;
use crate::program::{Running, eventually_within, run};
use crate::world::World;

const BASE: &str = "sarsen/base:bookworm";
/// Where `deploy/test` unpacks it.
const CONSUL: &str = "/var/cache/sarsen/consul/usr/bin/consul";
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that keeps everything in memory: what it held is gone when it is killed.
pub(crate) struct Consul {
    http: u16,
    ports: [u16; 2],
    process: Option<Running>,
}

/// Containers of one test, removed at its end.
struct Containers {
    engine: Engine,
    mark: String,
}

impl Consul {
    pub(crate) fn start() -> Self {
        let mut consul = Self {
            http: free_port(),
            ports: [free_port(), free_port()],
            process: None,
        };
        consul.run();
        consul
    }

    pub(crate) fn run(&mut self) {
        let program = if Path::new(CONSUL).exists() {
            CONSUL
        } else {
            "consul"
        };
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", program, "agent", "-dev"]);
        command.args([
            "-bind=127.0.0.1",
            "-client=127.0.0.1",
            "-node=lab",
            "-log-level=err",
        ]);
        command.args(["-dns-port=-1", "-grpc-port=-1", "-serf-wan-port=-1"]);
        command.arg(format!("-http-port={}", self.http));
        command.arg(format!("-server-port={}", self.ports[0]));
        command.arg(format!("-serf-lan-port={}", self.ports[1]));
        self.process = Some(Running::start(command));
        eventually_within(PATIENCE, || match self.get("/v1/status/leader") {
            Some(Value::String(leader)) if !leader.is_empty() => Ok(()),
            other => Err(format!(
                "Consul (deploy/test installs it) is not ready: {other:?}"
            )),
        });
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().signal(Signal::SIGKILL);
    }

    fn get(&self, path: &str) -> Option<Value> {
        let mut curl = Command::new("curl");
        curl.args([
            "-s",
            "-m",
            "5",
            &format!("http://127.0.0.1:{}{path}", self.http),
        ]);
        serde_json::from_str(&run(curl, b"").stdout).ok()
    }

    fn put(&self, path: &str, body: &Value) {
        let mut curl = Command::new("curl");
        curl.args(["-sf", "-X", "PUT", "-d", &body.to_string()]);
        curl.arg(format!("http://127.0.0.1:{}{path}", self.http));
        run(curl, b"").succeeded();
    }

    /// The services whose id contains this, by id.
    pub(crate) fn services(&self, mark: &str) -> BTreeMap<String, Value> {
        let all = self.get("/v1/agent/services").unwrap_or_default();
        let all = all.as_object().cloned().unwrap_or_default();
        all.into_iter()
            .filter(|(id, _)| id.contains(mark))
            .collect()
    }

    #[track_caller]
    fn holds(&self, mark: &str, wanted: &[&str]) {
        eventually_within(PATIENCE, || {
            let held: Vec<String> = self.services(mark).into_keys().collect();
            if held == wanted {
                return Ok(());
            }
            Err(format!("{held:?} instead of {wanted:?}"))
        });
    }

    pub(crate) fn uri(&self) -> String {
        format!("consul://127.0.0.1:{}", self.http)
    }
}

impl Containers {
    fn new() -> Self {
        Self {
            engine: Engine::shared(),
            mark: format!("registrator-{:08x}", rand::random::<u32>()),
        }
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.mark)
    }

    fn start(&self, name: &str, flags: &[&str]) {
        let (name, label) = (self.name(name), format!("sarsen-test={}", self.mark));
        let mut words = vec!["run", "-d", "--init", "--name", &name, "-l", &label];
        words.extend(flags);
        words.extend([BASE, "sleep", "600"]);
        self.engine.ask(&words);
    }

    fn remove(&self, name: &str) {
        self.engine.ask(&["rm", "-f", "-v", &self.name(name)]);
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        let filter = format!("label=sarsen-test={}", self.mark);
        let ids = self.engine.run(&["ps", "-aq", "--filter", &filter]).stdout;
        for id in ids.lines() {
            self.engine.run(&["rm", "-f", "-v", id]);
        }
    }
}

fn registrator(words: &[&str]) -> Running {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(binary::path());
    command.arg("registrator").args(words);
    command.env_remove("DOCKER_HOST");
    Running::start(command)
}

fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    name.trim().to_owned()
}

#[track_caller]
fn ends_well(mut process: Running) {
    assert!(process.is_running(), "{}", process.output());
    process.signal(Signal::SIGTERM);
    process.wait().succeeded();
}

#[test]
fn takes_registrators_place() {
    let (mut consul, containers) = (Consul::start(), Containers::new());
    let (host, mark) = (hostname(), containers.mark.clone());
    let id = |name: &str| format!("{host}:{mark}-{name}:5000");
    let flags = "-p 127.0.0.1::5000 -l SERVICE_NAME=one -l SERVICE_TAGS=a,b -e SERVICE_5000_REGION=eu \
                 -l SERVICE_CHECK_TCP=true -l SERVICE_CHECK_INTERVAL=1s";
    containers.start("one", &flags.split_whitespace().collect::<Vec<_>>());
    let running = registrator(&["-explicit", "-tags", "extra", &consul.uri()]);
    consul.holds(&mark, &[&id("one")]);
    let services = consul.services(&mark);
    let service = &services[&id("one")];
    let port = containers
        .engine
        .ask(&["port", &containers.name("one"), "5000/tcp"]);
    let port: u16 = port[0].rsplit_once(':').unwrap().1.parse().unwrap();
    assert_eq!(service["Service"], "one");
    assert_eq!(service["Tags"], json!(["a", "b", "extra"]));
    assert_eq!(
        (&service["Address"], &service["Port"]),
        (&json!("127.0.0.1"), &json!(port))
    );
    let meta =
        json!({"region": "eu", "check_tcp": "true", "check_interval": "1s", "sarsen-owner": host});
    assert_eq!(service["Meta"], meta);
    // Nobody listens: Consul itself finds that out.
    eventually_within(PATIENCE, || {
        let checks = consul.get("/v1/health/checks/one").unwrap_or_default();
        let output = checks[0]["Output"].as_str().unwrap_or_default().to_owned();
        if checks[0]["Type"] == "tcp" || output.contains("dial tcp") {
            return Ok(());
        }
        Err(checks.to_string())
    });

    // Containers come and go while Consul is away, and it forgets everything.
    consul.kill();
    containers.remove("one");
    containers.start("two", &["-p", "127.0.0.1::5000", "-l", "SERVICE_NAME=two"]);
    consul.run();
    consul.holds(&mark, &[&id("two")]);

    // What is registered stays when we go, and is put right when we are back.
    ends_well(running);
    consul.holds(&mark, &[&id("two")]);
    containers.remove("two");
    containers.start("three", &["--expose", "5000", "-l", "SERVICE_NAME=three"]);
    let running = registrator(&["-explicit", "-internal", &consul.uri()]);
    consul.holds(&mark, &[&id("three")]);
    assert_eq!(consul.services(&mark)[&id("three")]["Port"], 5000);
    ends_well(running);

    // What another Registrator left is removed only when we are asked to.
    let left = json!({"ID": id("left"), "Name": "left", "Port": 1, "Address": "127.0.0.1"});
    consul.put("/v1/agent/service/register", &left);
    let running = registrator(&["-explicit", "-internal", "-resync", "1", &consul.uri()]);
    containers.remove("three");
    consul.holds(&mark, &[&id("left")]);
    ends_well(running);
    let running = registrator(&["-explicit", "-cleanup", &consul.uri()]);
    consul.holds(&mark, &[]);
    ends_well(running);
}

#[test]
fn mistakes_end_it() {
    let missing = registrator(&[]).wait();
    assert_eq!(missing.code, 2, "{}", missing.all());
    let late = registrator(&["consul://127.0.0.1:1", "-internal"]).wait();
    assert_eq!(late.code, 2, "{}", late.all());
    let nobody = format!("consul://127.0.0.1:{}", free_port());
    let away = registrator(&["-retry-attempts", "2", "-retry-interval", "10", &nobody]).wait();
    assert_eq!(away.code, 1, "{}", away.all());
    assert_eq!(
        away.stderr.matches("cannot be used").count(),
        3,
        "{}",
        away.stderr
    );
    let version = registrator(&["--version"]).wait().succeeded();
    assert!(version.stdout.starts_with('v'), "{}", version.stdout);
}

/// The services of a test's containers as the daemon lists them: container's name → address, port and tags.
fn listed(world: &World, mark: &str) -> BTreeMap<String, (String, u64, Value)> {
    let listed = world.local(&["services:list", "--format", "json"], b"");
    let listed: Value = serde_json::from_str(&listed.succeeded().stdout).unwrap();
    let ours = listed.as_array().unwrap().iter().filter_map(|service| {
        let name = service["id"].as_str()?.split(':').nth(1)?;
        let name = name.strip_prefix(mark)?.trim_start_matches('-').to_owned();
        let address = service["address"].as_str()?.to_owned();
        Some((
            name,
            (address, service["port"].as_u64()?, service["tags"].clone()),
        ))
    });
    ours.collect()
}

#[test]
fn the_daemon_goes_by_the_same_flags() {
    let containers = Containers::new();
    let mark = containers.mark.as_str();
    let port = ["-p", "127.0.0.1::5000"];
    let named = |name: &'static str| [port[0], port[1], "-l", name];
    containers.start("one", &named("SERVICE_NAME=one"));
    containers.start("nameless", &port);
    let labelled = [
        &named("SERVICE_NAME=two")[..],
        &["-l", "net.ip=198.51.100.7/24"],
    ];
    containers.start("two", &labelled.concat());
    containers.start("inside", &["--expose", "5000", "-l", "SERVICE_NAME=inside"]);
    let published = |name: &str| {
        let port = containers
            .engine
            .ask(&["port", &containers.name(name), "5000/tcp"]);
        let (_, port) = port[0].rsplit_once(':').unwrap();
        port.parse::<u64>().unwrap()
    };
    let tags = |name: &str| json!(["lab", containers.name(name)]);

    let world = World::with(
        "registry.ip = '203.0.113.9'\nregistry.explicit = true\nregistry.use_ip_from_label = 'net.ip'\n\
         registry.tags = 'lab,{{ strSlice .Name 1 }}'\n",
    );
    let expected = BTreeMap::from([
        (
            "one".to_owned(),
            ("203.0.113.9".to_owned(), published("one"), tags("one")),
        ),
        (
            "two".to_owned(),
            ("198.51.100.7".to_owned(), published("two"), tags("two")),
        ),
    ]);
    eventually_within(PATIENCE, || match listed(&world, mark) {
        found if found == expected => Ok(()),
        found => Err(format!("{found:?} instead of {expected:?}")),
    });
    drop(world);

    let world = World::with("registry.internal = true\n");
    eventually_within(PATIENCE, || {
        let found = listed(&world, mark);
        let ports: Vec<u64> = found.values().map(|(_, port, _)| *port).collect();
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        if names == ["inside", "nameless", "one", "two"] && ports == [5000; 4] {
            return Ok(());
        }
        Err(format!("{found:?}"))
    });
}
