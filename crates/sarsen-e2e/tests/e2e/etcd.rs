//! A real etcd of one's own, with its data in a folder that goes with it.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::daemon::free_port;
use crate::program::{Ended, Running, eventually_within, run};

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Etcd {
    port: u16,
    peer: u16,
    folder: TempDir,
    process: Option<Running>,
}

impl Etcd {
    pub(crate) fn start() -> Self {
        let mut etcd = Self {
            port: free_port(),
            peer: free_port(),
            folder: TempDir::with_prefix("sarsen-e2e-etcd-").unwrap(),
            process: None,
        };
        etcd.run();
        etcd
    }

    /// Starts it with the data it had, and waits until it answers.
    pub(crate) fn run(&mut self) {
        let (client, peer) = (self.address(), format!("http://127.0.0.1:{}", self.peer));
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "etcd", "--name", "e"]);
        command.arg("--data-dir").arg(self.folder.path());
        command.args(["--listen-client-urls", &client]);
        command.args(["--advertise-client-urls", &client]);
        command.args(["--listen-peer-urls", &peer]);
        command.args(["--initial-advertise-peer-urls", &peer]);
        command.args(["--initial-cluster", &format!("e={peer}")]);
        self.process = Some(Running::start(command));
        eventually_within(PATIENCE, || {
            let asked = self.ask(&["endpoint", "health"]);
            match asked.code {
                0 => Ok(()),
                _ => Err(format!(
                    "etcd (deploy/test installs it) is not ready: {}",
                    asked.all()
                )),
            }
        });
    }

    pub(crate) fn kill(&mut self) {
        self.process.take().unwrap().signal(Signal::SIGKILL);
    }

    pub(crate) fn uri(&self) -> String {
        format!("etcd://127.0.0.1:{}/services", self.port)
    }

    /// What stands below a prefix.
    pub(crate) fn under(&self, prefix: &str) -> BTreeMap<String, String> {
        let listed = self.ask(&["get", "--prefix", prefix]).succeeded();
        let lines: Vec<&str> = listed.stdout.lines().collect();
        let pairs = lines.chunks_exact(2);
        pairs
            .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
            .collect()
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn ask(&self, words: &[&str]) -> Ended {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3");
        command.args(["--endpoints", &self.address()]).args(words);
        run(command, b"")
    }
}
