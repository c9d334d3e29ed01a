//! Starting git: one place that decides what a git process inherits, and how it is stopped.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::error::GitError;
use crate::quarantine::Active;

/// How long git may tidy up after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How much of git's output is kept for an error.
const KEPT: u64 = 16 * 1024;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Settings that no repository and no pushed content may override: the environment wins over every file.
const CONFIG: [(&str, &str); 11] = [
    ("core.hooksPath", "/dev/null"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    // Larger files are streamed instead of being held in memory.
    ("core.bigFileThreshold", "16m"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    // Scripts read refs as files.
    ("gc.packRefs", "false"),
    ("transfer.hideRefs", "refs/sarsen/"),
    ("protocol.allow", "never"),
    ("credential.helper", ""),
    // Which repository it is, we decide; its folder may be the `dokku` user's.
    ("safe.directory", "*"),
];

/// A git process to be.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    action: String,
    args: Vec<OsString>,
    config: Vec<(String, String)>,
    env: Vec<(String, OsString)>,
    home: PathBuf,
    tasks: TaskTracker,
}

/// What a short command left behind.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

impl Git {
    /// `git SUBCOMMAND`; `action` completes the sentence "git could not …".
    pub(crate) fn new(home: &Path, tasks: &TaskTracker, action: &str, subcommand: &str) -> Self {
        Self {
            action: action.to_owned(),
            args: vec![subcommand.into()],
            config: Vec::new(),
            env: Vec::new(),
            home: home.to_owned(),
            tasks: tasks.clone(),
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Works on this repository.
    pub(crate) fn in_repo(mut self, path: &Path) -> Self {
        let mut arg = OsString::from("--git-dir=");
        arg.push(path);
        self.args.insert(0, arg);
        self
    }

    pub(crate) fn config(mut self, key: &str, value: impl Into<String>) -> Self {
        self.config.push((key.to_owned(), value.into()));
        self
    }

    pub(crate) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key.to_owned(), value.as_ref().to_owned()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command
            .args(&self.args)
            .current_dir(&self.home)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", &self.home)
            .env("LANG", "C.UTF-8")
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .process_group(0)
            .kill_on_drop(true);
        let base = CONFIG.iter().map(|&(key, value)| (key, value));
        let own = self
            .config
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let mut count = 0_usize;
        for (key, value) in base.chain(own) {
            command.env(format!("GIT_CONFIG_KEY_{count}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        for (key, value) in &self.env {
            command.env(key, value);
        }
        command
    }

    /// Starts it with pipes.
    pub(crate) fn start(&self, stdin: Stdio) -> Result<Process, GitError> {
        let child = self
            .command()
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.failed(&error.to_string()))?;
        let group = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw)
            .ok_or_else(|| self.failed("it ended at once"))?;
        Ok(Process {
            child: Some(child),
            group,
            tasks: self.tasks.clone(),
            active: None,
        })
    }

    /// Runs it to its end, within the time.
    pub(crate) async fn output(&self, limit: Duration) -> Result<Output, GitError> {
        let mut process = self.start(Stdio::null())?;
        let mut stderr = Vec::new();
        let run = async {
            let child = process.child()?;
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let (_, _, status) = tokio::join!(
                discard(out, None),
                discard(err, Some(&mut stderr)),
                child.wait()
            );
            status
        };
        let status = tokio::time::timeout(limit, run).await;
        let Ok(status) = status else {
            process.stop().await;
            return Err(self.failed(&format!("no end after {} seconds", limit.as_secs())));
        };
        let status = status.map_err(|error| self.failed(&error.to_string()))?;
        process.ended();
        Ok(Output {
            status,
            stderr: String::from_utf8_lossy(&stderr).trim().to_owned(),
        })
    }

    /// Runs it; ending badly is an error.
    pub(crate) async fn run(&self, limit: Duration) -> Result<(), GitError> {
        let output = self.output(limit).await?;
        if output.status.success() {
            return Ok(());
        }
        Err(self.failed(match output.stderr.as_str() {
            "" => "it gave no reason",
            words => words,
        }))
    }

    pub(crate) fn failed(&self, detail: &str) -> GitError {
        GitError::Command {
            action: self.action.clone(),
            detail: detail.to_owned(),
        }
    }
}

/// Reads to the end, so that the writer never waits; keeps the beginning.
async fn discard(
    reader: Option<impl tokio::io::AsyncRead + Unpin>,
    kept: Option<&mut Vec<u8>>,
) -> std::io::Result<()> {
    let Some(mut reader) = reader else {
        return Ok(());
    };
    if let Some(kept) = kept {
        (&mut reader).take(KEPT).read_to_end(kept).await?;
    }
    tokio::io::copy(&mut reader, &mut tokio::io::sink()).await?;
    Ok(())
}

/// A running git with its process group; dropped half-way it is stopped all the same.
#[derive(Debug)]
pub(crate) struct Process {
    child: Option<Child>,
    group: Pid,
    tasks: TaskTracker,
    /// Given back when the process is no more, however that came about.
    pub(crate) active: Option<Active>,
}

impl Process {
    pub(crate) fn child(&mut self) -> std::io::Result<&mut Child> {
        self.child
            .as_mut()
            .ok_or_else(|| std::io::Error::other("the process has ended"))
    }

    /// Says that the process was waited for: nothing is left to stop.
    pub(crate) fn ended(&mut self) {
        self.child = None;
    }

    /// Kills whatever of the group outlived its leader and still holds the pipes.
    pub(crate) fn kill_rest(&self) {
        signal(self.group, Signal::SIGKILL);
    }

    /// SIGTERM for the group, so that git removes its locks; SIGKILL if that takes too long.
    pub(crate) async fn stop(&mut self) {
        if let Some(child) = self.child.take() {
            signal(self.group, Signal::SIGTERM);
            finish(child, self.group, self.active.take()).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else {
            return;
        };
        signal(self.group, Signal::SIGTERM);
        if Handle::try_current().is_ok() {
            let work = finish(child, self.group, self.active.take());
            self.tasks.spawn(work);
        }
    }
}

async fn finish(mut child: Child, group: Pid, active: Option<Active>) {
    let waited = tokio::time::timeout(GRACE, child.wait()).await;
    // Members other than the leader may have ignored the first signal.
    signal(group, Signal::SIGKILL);
    if waited.is_err()
        && let Err(error) = child.wait().await
    {
        tracing::warn!(process.group = group.as_raw(), %error, "a git process could not be waited for");
    }
    drop(active);
}

/// A group that is gone already is what we want.
fn signal(group: Pid, signal: Signal) {
    if let Err(error) = killpg(group, signal)
        && error != nix::errno::Errno::ESRCH
    {
        tracing::warn!(process.group = group.as_raw(), %error, "a git process could not be signalled");
    }
}
