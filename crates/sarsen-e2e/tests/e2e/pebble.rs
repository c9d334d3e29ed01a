//! Pebble, the test server of Let's Encrypt, with a name server that leads every name to this machine.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::{Daemon, free_port};
use crate::program::{Running, eventually, run};

/// An authority that looks at one daemon's ports.
pub(crate) struct Pebble {
    folder: PathBuf,
    api: u16,
    management: u16,
    /// Seconds.
    validity: u32,
    ports: (u16, u16),
    processes: Vec<Running>,
}

impl Pebble {
    pub(crate) fn start(root: &Path, daemon: &Daemon, validity: u32) -> Self {
        let folder = root.join("pebble");
        fs::create_dir(&folder).unwrap();
        let mut pebble = Self {
            folder,
            api: free_port(),
            management: free_port(),
            validity,
            ports: (daemon.http, daemon.https),
            processes: Vec::new(),
        };
        pebble.make_certificates();
        pebble.run();
        pebble
    }

    /// Starts it, with a root and accounts of its own each time.
    pub(crate) fn run(&mut self) {
        let (dns, control) = (free_port(), free_port());
        let (http, https) = self.ports;
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.api),
            "managementListenAddress": format!("127.0.0.1:{}", self.management),
            "certificate": self.path("server.crt"),
            "privateKey": self.path("server.key"),
            "httpPort": http,
            "tlsPort": https,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": false,
            "certificateValidityPeriod": self.validity,
        }});
        fs::write(self.path("pebble.json"), config.to_string()).unwrap();
        let mut names = leashed("pebble-challtestsrv");
        names.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        names.args(["-dns01", &format!("127.0.0.1:{dns}")]);
        names.args(["-management", &format!("127.0.0.1:{control}")]);
        names.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]);
        let mut server = leashed("pebble");
        server.arg("-config").arg(self.path("pebble.json"));
        server.args(["-strict", "-dnsserver", &format!("127.0.0.1:{dns}")]);
        server.env("PEBBLE_VA_NOSLEEP", "1");
        self.processes = vec![Running::start(names), Running::start(server)];
        for port in [control, self.api, self.management] {
            eventually(|| {
                let answers = TcpStream::connect(("127.0.0.1", port));
                answers
                    .map(drop)
                    .map_err(|error| format!("Pebble (apt-get install pebble): {error}"))
            });
        }
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--fail", "--cacert"]);
        curl.arg(self.path("ca.crt"));
        curl.arg(format!("https://127.0.0.1:{}/roots/0", self.management));
        let root = run(curl, b"").succeeded().stdout;
        fs::write(self.root(), root).unwrap();
    }

    pub(crate) fn stop(&mut self) {
        self.processes.clear();
    }

    /// What the daemon is told of it.
    pub(crate) fn configuration(&self) -> String {
        format!(
            "acme.directory = \"https://127.0.0.1:{}/dir\"\nacme.email = \"ops@e2e.test\"\nacme.ca_root = {:?}\n",
            self.api,
            self.path("ca.crt")
        )
    }

    /// Who vouches for its certificates, as a file.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("root.pem")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    // What it shows for itself: a certificate of an authority that has nothing to do with those it gives away.
    fn make_certificates(&self) {
        self.openssl("ca", &["-subj", "/CN=Test"], &[]);
        let vouched = ["-CA", "ca.crt", "-CAkey", "ca.key"];
        let leaf = [
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-addext",
            "basicConstraints=critical,CA:false",
        ];
        self.openssl("server", &leaf, &vouched);
    }

    fn openssl(&self, name: &str, subject: &[&str], vouched: &[&str]) {
        let mut openssl = Command::new("openssl");
        openssl.current_dir(&self.folder);
        openssl.args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        openssl.args(subject).args(vouched);
        openssl.args(["-keyout", &format!("{name}.key")]);
        openssl.args(["-out", &format!("{name}.crt")]);
        run(openssl, b"").succeeded();
    }
}

/// A program that ends with the test.
fn leashed(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}
