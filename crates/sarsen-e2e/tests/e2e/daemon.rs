//! The daemon's process: started, asked to stop, killed, started again.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::program::{Running, eventually};

/// Where a daemon keeps its things and answers. The ports stay the same over restarts.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) data: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) ssh: u16,
    pub(crate) http: u16,
    /// What `{https}` in the configuration became.
    pub(crate) https: u16,
    log: PathBuf,
    config: PathBuf,
    binary: PathBuf,
    process: Option<Running>,
    /// The process that took the place of the one we started.
    successor: Option<Pid>,
}

impl Daemon {
    /// Prepares a daemon in a folder; `extra` is more configuration, in which `{https}` stands for a free port.
    pub(crate) fn prepare(root: &Path, binary: &Path, extra: &str) -> Self {
        let (ssh, http, https) = (free_port(), free_port(), free_port());
        let extra = extra.replace("{https}", &https.to_string());
        let daemon = Self {
            data: root.join("data"),
            socket: root.join("control.sock"),
            ssh,
            http,
            https,
            log: root.join("daemon.log"),
            config: root.join("sarsen.toml"),
            binary: binary.to_owned(),
            process: None,
            successor: None,
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

    /// Has another process take its place, and waits until that one serves; the first may still have things to finish.
    pub(crate) fn hand_over(&mut self) {
        let before = self.pid();
        let ready = self.log_text().matches(" ready").count();
        kill(before, Signal::SIGUSR2).unwrap();
        eventually(|| {
            let is_new = self.pid() != before && self.log_text().matches(" ready").count() > ready;
            is_new
                .then_some(())
                .ok_or_else(|| format!("nobody took its place\n{}", self.log_text()))
        });
        self.successor = Some(self.pid());
    }

    /// The process that has the data folder.
    pub(crate) fn pid(&self) -> Pid {
        eventually(|| {
            let lock = fs::read_to_string(self.data.join("lock")).unwrap_or_default();
            let number = lock.trim().parse().map(Pid::from_raw);
            number.map_err(|_| "nobody has the data folder".to_owned())
        })
    }

    fn end_successor(&mut self, signal: Signal) -> bool {
        let Some(pid) = self.successor.take() else {
            return false;
        };
        kill(pid, signal).ok();
        eventually(|| match is_over(pid) {
            true => Ok(()),
            false => Err(format!("{pid} is still there")),
        });
        drop(self.process.take());
        true
    }

    /// SIGTERM; gives the exit code and the time until the end.
    pub(crate) fn stop(&mut self) -> (i32, Duration) {
        let begun = Instant::now();
        if self.end_successor(Signal::SIGTERM) {
            let is_tidy = self.log_text().trim_end().ends_with("stopped");
            return (i32::from(!is_tidy), begun.elapsed());
        }
        let process = self.process.take().expect("the daemon runs");
        process.signal(Signal::SIGTERM);
        (process.wait().code, begun.elapsed())
    }

    /// SIGKILL: as if the power went.
    pub(crate) fn kill(&mut self) {
        if self.end_successor(Signal::SIGKILL) {
            return;
        }
        let process = self.process.take().expect("the daemon runs");
        process.signal(Signal::SIGKILL);
        process.wait();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        if let Some(pid) = self.successor {
            return !is_over(pid);
        }
        self.process.as_mut().is_some_and(Running::is_running)
    }

    /// Whether the process that was started first has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        let process = self.process.as_mut();
        !process.is_some_and(Running::is_running)
    }

    pub(crate) fn configuration(&self) -> String {
        fs::read_to_string(&self.config).unwrap()
    }

    /// Counts from the next start or handover.
    pub(crate) fn configure(&self, text: &str) {
        fs::write(&self.config, text).unwrap();
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

/// Gone, or only waiting for somebody to ask for its exit code.
fn is_over(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_none_or(|(_, state)| state.starts_with('Z'))
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
