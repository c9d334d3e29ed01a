//! The server on a free port, a pretended use-case layer behind it, and real clients in front.

mod fake;
mod lifecycle;
mod login;
mod streams;
mod terminal;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use russh::client;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::{Algorithm, LineEnding, PrivateKey};
use russh::keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::{Logins, SshServer, SshSettings};
use fake::Fake;

/// Nothing here should take long; what does has hung.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) front: Fake,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) logins: Logins,
    _shutdown_on_drop: DropGuard,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// `alice` may log in with her key.
    pub(crate) async fn with(change: impl FnOnce(&mut SshSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = SshSettings::new(folder.path().join("host_key"));
        change(&mut settings);
        let front = Fake::default();
        let server = SshServer::new(settings, front.clone()).unwrap();
        let logins = server.logins();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(server.run(listener, shutdown.clone()));
        tasks.close();
        let fixture = Self {
            folder,
            front,
            address,
            shutdown: shutdown.clone(),
            tasks,
            logins,
            _shutdown_on_drop: shutdown.drop_guard(),
        };
        let key = fixture.key("alice", Algorithm::Ed25519);
        fixture.front.admit("alice", key.public_key());
        fixture
    }

    /// A new key, also as a file for ssh.
    pub(crate) fn key(&self, name: &str, algorithm: Algorithm) -> PrivateKey {
        let key = PrivateKey::random(&mut safe_rng(), algorithm).unwrap();
        let path = self.key_file(name);
        fs::write(&path, key.to_openssh(LineEnding::LF).unwrap().as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        key
    }

    pub(crate) fn key_file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `ssh` with somebody's key; options may follow, then `login@host` and the command.
    pub(crate) fn ssh_as(&self, name: &str, options: &[&str]) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "/dev/null",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
        ])
        .args([
            "-o",
            "StrictHostKeyChecking=accept-new",
            "-o",
            "LogLevel=ERROR",
        ])
        .arg("-o")
        .arg(format!(
            "UserKnownHostsFile={}",
            self.key_file("known_hosts").display()
        ))
        .arg("-o")
        .arg(format!("Port={}", self.address.port()))
        .arg("-i")
        .arg(self.key_file(name))
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
        ssh
    }

    /// Alice's ssh, about to run a command.
    pub(crate) fn ssh(&self, command: &str) -> Command {
        let mut ssh = self.ssh_as("alice", &["-o", "BatchMode=yes", "dokku@127.0.0.1"]);
        ssh.arg(command);
        ssh
    }

    /// Alice's ssh, to the end.
    pub(crate) async fn run(&self, command: &str) -> (i32, String, String) {
        finish(self.ssh(command)).await
    }

    /// Alice, without OpenSSH.
    pub(crate) async fn client(&self) -> client::Handle<Anyone> {
        let mut client = client::connect(Arc::default(), self.address, Anyone)
            .await
            .unwrap();
        let text = fs::read_to_string(self.key_file("alice")).unwrap();
        let key =
            PrivateKeyWithHashAlg::new(Arc::new(PrivateKey::from_openssh(text).unwrap()), None);
        assert!(
            client
                .authenticate_publickey("dokku", key)
                .await
                .unwrap()
                .success()
        );
        client
    }
}

/// Trusts every server.
pub(crate) struct Anyone;

impl client::Handler for Anyone {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(true)
    }
}

/// Exit code (255: ssh's own trouble), standard output, standard error.
pub(crate) async fn finish(mut ssh: Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = timeout(LONG, ssh.output())
        .await
        .expect("ssh hangs")
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// Until it holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, holds)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}
