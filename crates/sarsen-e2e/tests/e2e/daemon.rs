//! The daemon's process: started, asked to stop, killed, started again.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::program::{Running, eventually};

/// Where a daemon keeps its things and answers. The ports stay the same over restarts.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) data: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) ssh: u16,
    pub(crate) http: u16,
    log: PathBuf,
    config: PathBuf,
    binary: PathBuf,
    process: Option<Running>,
}

impl Daemon {
    /// Prepares a daemon in a folder; `extra` is more configuration.
    pub(crate) fn prepare(root: &Path, binary: &Path, extra: &str) -> Self {
        let (ssh, http) = (free_port(), free_port());
        let daemon = Self {
            data: root.join("data"),
            socket: root.join("control.sock"),
            ssh,
            http,
            log: root.join("daemon.log"),
            config: root.join("sarsen.toml"),
            binary: binary.to_owned(),
            process: None,
        };
        // There is one port 53: only who tests name service takes it.
        let dns = if extra.contains("dns.listen") {
            ""
        } else {
            "dns.listen = []\n"
        };
        let web = if extra.contains("web.listen") {
            ""
        } else {
            "web.listen = \"\"\n"
        };
        let text = format!(
            "data_dir = {data:?}\ndomain = \"e2e.test\"\ncontrol.socket = {socket:?}\n\
             ssh.listen = [\"127.0.0.1:{ssh}\"]\nhttp.listen = [\"127.0.0.1:{http}\"]\n\
             log.level = \"info,sarsen_control=debug\"\n{dns}{web}{extra}",
            data = daemon.data,
            socket = daemon.socket,
        );
        fs::write(&daemon.config, text).unwrap();
        daemon
    }

    /// Starts it and waits until it serves; gives the time that took.
    pub(crate) fn start(&mut self) -> Duration {
        assert!(self.process.is_none(), "the daemon runs already");
        let begun = Instant::now();
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .unwrap();
        let ready = self.log_text().matches(" ready").count();
        // A test that is killed takes its daemon along.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.binary);
        command.args(["serve", "--config"]).arg(&self.config);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("SARSEN_") {
                command.env_remove(name);
            }
        }
        let mut process = Running::start_logging(command, log);
        eventually(|| {
            assert!(
                process.is_running(),
                "the daemon ended\n{}",
                self.log_text()
            );
            let text = self.log_text();
            let listens = || TcpStream::connect((Ipv4Addr::LOCALHOST, self.ssh)).is_ok();
            (text.matches(" ready").count() > ready && listens())
                .then_some(())
                .ok_or_else(|| format!("the daemon is not ready\n{text}"))
        });
        self.process = Some(process);
        begun.elapsed()
    }

    /// SIGTERM; gives the exit code and the time until the end.
    pub(crate) fn stop(&mut self) -> (i32, Duration) {
        let process = self.process.take().expect("the daemon runs");
        let begun = Instant::now();
        process.signal(Signal::SIGTERM);
        (process.wait().code, begun.elapsed())
    }

    /// SIGKILL: as if the power went.
    pub(crate) fn kill(&mut self) {
        let process = self.process.take().expect("the daemon runs");
        process.signal(Signal::SIGKILL);
        process.wait();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Running::is_running)
    }

    /// What the daemon calls itself on containers.
    pub(crate) fn owner(&self) -> Option<String> {
        let text = fs::read_to_string(self.data.join("owner")).ok()?;
        Some(text.trim().to_owned())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.http).into()
    }

    pub(crate) fn binary(&self) -> &Path {
        &self.binary
    }

    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A port that is free now. Below 32768 no outgoing connection takes it before we do.
pub(crate) fn free_port() -> u16 {
    eventually(|| {
        let port = rand::random_range(10_000..32_000);
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map(|_| port)
            .map_err(|error| error.to_string())
    })
}
