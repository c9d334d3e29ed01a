//! An S3 storage of a test's own: moto's server, which speaks the real protocol.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::program::{eventually, run};
use crate::web::Connection;

/// The program, when it is not on the PATH under its own name.
const PROGRAM: &str = "SARSEN_MOTO_SERVER";

/// Why a test is skipped where it is not.
pub(crate) const MISSING: &str =
    "moto_server is not on this machine (pip install 'moto[s3,server]')";

/// The storage; gone when dropped.
pub(crate) struct Storage {
    child: Child,
    address: SocketAddr,
}

impl Storage {
    /// None when there is no such program on this machine.
    pub(crate) fn start(ip: IpAddr) -> Option<Self> {
        let program = std::env::var_os(PROGRAM).unwrap_or_else(|| "moto_server".into());
        // It cannot tell which port it was given, so it is told a free one.
        let free = TcpListener::bind((ip, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut child = Command::new(program)
            .args(["-H", &ip.to_string(), "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let errors = BufReader::new(child.stderr.take().unwrap());
        // Nobody reads it, but it must not stand still for that.
        std::thread::spawn(move || errors.lines().count());
        let storage = Self { child, address };
        eventually(|| Connection::open(address).map_err(|error| error.to_string()));
        Some(storage)
    }

    /// `http://IP:PORT`
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn make_bucket(&self, name: &str) {
        self.curl(&["--request", "PUT"], name);
    }

    /// What a request for this path says. The server minds no missing signature.
    pub(crate) fn ask(&self, path: &str) -> String {
        self.curl(&[], path)
    }

    pub(crate) fn fetch(&self, path: &str, file: &Path) {
        self.curl(&["--output", &file.display().to_string()], path);
    }

    fn curl(&self, options: &[&str], path: &str) -> String {
        let mut curl = Command::new("curl");
        curl.args(["--fail", "--silent", "--show-error"])
            .args(options)
            .arg("--")
            .arg(format!("{}/{path}", self.endpoint()));
        run(curl, b"").succeeded().stdout
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
