//! Servers of one's own, on free ports, with their data in a folder that goes with them.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sarsen_registry::{Backend, BackendUri, Mark};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// Where `deploy/test` unpacks Consul.
const CONSUL: &str = "/var/cache/sarsen/consul/usr/bin/consul";
const PATIENCE: Duration = Duration::from_secs(60);

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Consul,
    Etcd,
}

/// A server that runs, or has been killed.
pub(crate) struct Server {
    kind: Kind,
    pub(crate) port: u16,
    more: [u16; 2],
    /// More of its command line.
    extra: Vec<String>,
    uri: String,
    folder: TempDir,
    child: Option<Child>,
}

impl Server {
    pub(crate) async fn start(kind: Kind) -> Self {
        let uri = |port| match kind {
            Kind::Consul => format!("consul://127.0.0.1:{port}"),
            Kind::Etcd => format!("etcd://127.0.0.1:{port}/services"),
        };
        Self::start_with(kind, &[], uri).await
    }

    /// The same with more options; `uri` says how it is reached, given its port.
    pub(crate) async fn start_with(
        kind: Kind,
        extra: &[&str],
        uri: impl FnOnce(u16) -> String,
    ) -> Self {
        let [port, a, b] = free_ports();
        let mut server = Self {
            kind,
            port,
            more: [a, b],
            extra: extra.iter().map(|word| (*word).to_owned()).collect(),
            uri: uri(port),
            folder: tempfile::tempdir().unwrap(),
            child: None,
        };
        server.run().await;
        server
    }

    /// Starts it, with the data it had, and waits until it takes writes.
    pub(crate) async fn run(&mut self) {
        let data = self.folder.path().join("data");
        let (program, arguments) = match self.kind {
            Kind::Consul => (consul(), self.consul_arguments(&data)),
            Kind::Etcd => ("etcd".to_owned(), self.etcd_arguments(&data)),
        };
        let child = Command::new(&program)
            .args(arguments)
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!("{program} is needed (deploy/test installs it): {error}")
        }));
        let backend = self.open(&self.uri(), "lab");
        let began = Instant::now();
        while backend.ping().await.is_err() {
            assert!(began.elapsed() < PATIENCE, "{program} does not get ready");
            sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }

    /// Everything it held is lost.
    pub(crate) fn forget(&self) {
        std::fs::remove_dir_all(self.folder.path().join("data")).unwrap();
    }

    pub(crate) fn uri(&self) -> String {
        self.uri.clone()
    }

    /// A handle under this owner's mark.
    pub(crate) fn open(&self, uri: &str, owner: &str) -> Backend {
        let mark = Mark {
            owner: owner.to_owned(),
            adopt: None,
        };
        let uri = BackendUri::parse(uri).unwrap();
        uri.open(&uri.credentials().unwrap(), mark).unwrap()
    }

    fn consul_arguments(&self, data: &Path) -> Vec<String> {
        let mut words: Vec<String> = ["agent", "-server", "-bootstrap-expect=1"]
            .map(str::to_owned)
            .into();
        words.extend([
            format!("-data-dir={}", data.display()),
            format!("-http-port={}", self.port),
            format!("-server-port={}", self.more[0]),
            format!("-serf-lan-port={}", self.more[1]),
        ]);
        words.extend(
            [
                "-serf-wan-port=-1",
                "-grpc-port=-1",
                "-dns-port=-1",
                "-bind=127.0.0.1",
                "-client=127.0.0.1",
                "-node=lab",
                "-log-level=err",
                "-hcl",
                "performance { raft_multiplier = 1 } disable_update_check = true check_update_interval = \"0s\"",
            ]
            .map(str::to_owned),
        );
        words
    }

    fn etcd_arguments(&self, data: &Path) -> Vec<String> {
        let is_plain = self.extra.is_empty();
        let scheme = if is_plain { "http" } else { "https" };
        let client = format!("{scheme}://127.0.0.1:{}", self.port);
        let peer = format!("http://127.0.0.1:{}", self.more[0]);
        [
            ("--name", "e".to_owned()),
            ("--data-dir", data.display().to_string()),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer.clone()),
            ("--initial-cluster", format!("e={peer}")),
        ]
        .into_iter()
        .flat_map(|(word, value)| [word.to_owned(), value])
        .collect()
    }
}

/// Ports that were free a moment ago.
fn free_ports() -> [u16; 3] {
    let held = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}

fn consul() -> String {
    if Path::new(CONSUL).exists() {
        return CONSUL.to_owned();
    }
    "consul".to_owned()
}
