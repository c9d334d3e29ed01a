//! Other people's DNS clients: dig, and HAProxy that fills its servers from SRV records.

use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use sarsen_registry::{
    CheckRegistration, CheckSpec, CheckStatus, Dns, DnsListener, DnsSettings, Host, OtherChecks,
    Place, Probe, Registration, Registry, RegistrySettings, Upstreams,
};
use sarsen_runtime::fake::FakeRuntime;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const PATIENCE: Duration = Duration::from_secs(30);

/// A name server, and a catalog that is filled by hand.
struct World {
    registry: Registry,
    address: SocketAddr,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl World {
    async fn new() -> Self {
        let settings = RegistrySettings::new("me", Host::local("box"));
        let registry = Registry::new(Arc::new(FakeRuntime::new()), settings);
        let settings = DnsSettings {
            domain: "sarsen".to_owned(),
            node: "box".to_owned(),
            datacenter: "dc1".to_owned(),
            ttl: Duration::from_secs(1),
            upstreams: Upstreams::These(Vec::new()),
        };
        let dns = Dns::new(registry.clone(), settings).unwrap();
        let listener = DnsListener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let world = Self {
            registry,
            address: listener.address(),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let shutdown = world.shutdown.clone();
        world
            .tasks
            .spawn(async move { dns.serve(listener, shutdown).await });
        world
    }

    async fn add(&self, id: &str, ip: &str, port: u16) {
        let service = Registration {
            id: id.to_owned(),
            name: "web".to_owned(),
            address: ip.to_owned(),
            port,
            registrant: "test".to_owned(),
            ..Registration::default()
        };
        let check = CheckRegistration {
            node: None,
            service: Some(id.to_owned()),
            spec: CheckSpec {
                initial: CheckStatus::Passing,
                ..CheckSpec::new(format!("service:{id}"), "test", Probe::Set)
            },
            registrant: "test".to_owned(),
        };
        let added = self
            .registry
            .register_external(service, vec![check], OtherChecks::Drop);
        added.await.unwrap();
    }

    async fn set(&self, id: &str, status: CheckStatus) {
        let place = Place::here(format!("service:{id}"));
        self.registry
            .set_check_status(&place, status, "")
            .await
            .unwrap();
    }

    async fn dig(&self, words: &str) -> String {
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &self.address.port().to_string()])
            .args(words.split_whitespace())
            .output()
            .await
            .expect("dig is needed: apt-get install bind9-dnsutils");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[tokio::test]
async fn dig_is_content() {
    let world = World::new().await;
    for number in 1..=60 {
        world
            .add(&number.to_string(), &format!("10.0.1.{number}"), 5000)
            .await;
    }
    world.set("1", CheckStatus::Critical).await;
    let answer = world.dig("web.service.sarsen A +bufsize=4096").await;
    assert!(
        answer.contains("status: NOERROR") && answer.contains("flags: qr aa rd"),
        "{answer}"
    );
    assert!(
        answer.contains("ANSWER: 59,") && !answer.contains("10.0.1.1\n"),
        "{answer}"
    );
    assert!(!answer.contains("WARNING: Message"), "{answer}");
    // dig asks again over TCP by itself.
    let cut = world.dig("_web._tcp.service.sarsen SRV +ignore").await;
    assert!(
        cut.contains(" tc ") && cut.contains("OPT PSEUDOSECTION"),
        "{cut}"
    );
    let whole = world.dig("_web._tcp.service.sarsen SRV").await;
    assert!(whole.contains("Truncated, retrying in TCP mode"), "{whole}");
    assert!(
        whole.contains("ANSWER: 59,") && whole.contains("ADDITIONAL: 60"),
        "{whole}"
    );
    assert!(
        whole.contains("1 1 5000 0a000102.addr.dc1.sarsen."),
        "{whole}"
    );
    let none = world.dig("no.service.sarsen").await;
    assert!(
        none.contains("status: NXDOMAIN") && none.contains("SOA"),
        "{none}"
    );
    let other = world.dig("web.service.sarsen AAAA").await;
    assert!(
        other.contains("status: NOERROR") && other.contains("ANSWER: 0,"),
        "{other}"
    );
    let back = world.dig("-x 10.0.1.7 +short").await;
    assert_eq!(back, "web.service.sarsen.\n");
    let zone = world.dig("sarsen AXFR").await;
    assert!(zone.contains("Transfer failed"), "{zone}");
    world.stop().await;
}

/// HAProxy with three places for servers, and a socket to ask what it thinks of them.
struct HaProxy {
    folder: TempDir,
    _process: Child,
}

impl HaProxy {
    fn start(dns: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("stats.sock");
        let config = format!(
            "global\n stats socket {} level admin\ndefaults\n mode tcp\n timeout connect 1s\n timeout client 5s\n \
             timeout server 5s\nresolvers r\n nameserver n {dns}\n accepted_payload_size 4096\n hold valid 200ms\n \
             hold obsolete 0s\n hold nx 0s\n timeout resolve 200ms\n timeout retry 200ms\nbackend b\n \
             server-template w 3 _web._tcp.service.sarsen resolvers r check inter 200ms init-addr none\n",
            socket.display()
        );
        let path = folder.path().join("haproxy.cfg");
        std::fs::write(&path, config).unwrap();
        let process = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("HAProxy is needed: apt-get install haproxy");
        Self {
            folder,
            _process: process,
        }
    }

    /// `address:port` of every server that is up.
    async fn up(&self) -> Vec<String> {
        let asked = async {
            let mut stream = UnixStream::connect(self.folder.path().join("stats.sock")).await?;
            stream.write_all(b"show servers state b\n").await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        let text = asked.await.unwrap_or_default();
        // Columns: … 4 name, 5 address, 6 operational state (2 is up) …, 19 port
        let up = text.lines().filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let is_up = columns.get(5) == Some(&"2") && columns.get(4)?.parse::<IpAddr>().is_ok();
            is_up.then(|| Some(format!("{}:{}", columns.get(4)?, columns.get(18)?)))?
        });
        let mut up: Vec<String> = up.collect();
        up.sort();
        up
    }

    async fn has(&self, wanted: &[String]) {
        let began = Instant::now();
        loop {
            let up = self.up().await;
            if up == wanted {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{up:?} instead of {wanted:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn haproxy_fills_its_servers() {
    let world = World::new().await;
    let mut listeners = Vec::new();
    for number in 1..=3 {
        let ip = format!("127.0.0.{number}");
        let listener = TcpListener::bind((ip.as_str(), 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        world.add(&number.to_string(), &ip, port).await;
        listeners.push(listener);
    }
    let mut all: Vec<String> = listeners
        .iter()
        .map(|listener| listener.local_addr().unwrap().to_string())
        .collect();
    let haproxy = HaProxy::start(world.address);
    haproxy.has(&all).await;
    world.set("3", CheckStatus::Critical).await;
    let third = all.pop().unwrap();
    haproxy.has(&all).await;
    world.set("3", CheckStatus::Passing).await;
    all.push(third);
    haproxy.has(&all).await;
    world.stop().await;
}
