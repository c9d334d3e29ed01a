//! A daemon, a user with a key, and their folders; everything gone afterwards, whatever happened.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::claim::{Claim, clear_after_the_dead};
use crate::daemon::Daemon;
use crate::engine::Engine;
use crate::program::{Ended, Running, eventually_within, run};
use crate::web::{self, Answer};
use crate::{binary, folder};

pub(crate) struct World {
    pub(crate) daemon: Daemon,
    pub(crate) engine: Engine,
    /// What the daemon made carries this name.
    pub(crate) owner: String,
    claim: Option<Claim>,
    pub(crate) root: TempDir,
}

impl World {
    /// A daemon that runs, and the key of `ada`.
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// The same with more configuration.
    pub(crate) fn with(extra: &str) -> Self {
        Self::on(Engine::shared(), extra)
    }

    pub(crate) fn on(engine: Engine, extra: &str) -> Self {
        assert_eq!(
            engine.run(&["info", "--format", "{{.ServerVersion}}"]).code,
            0,
            "these tests need Docker, and nothing answers at {}",
            engine.socket
        );
        clear_after_the_dead();
        let root = TempDir::with_prefix("sarsen-e2e-").unwrap();
        let extra = format!("docker.socket = {:?}\n{extra}", engine.socket);
        let daemon = Daemon::prepare(root.path(), &binary::path(), &extra);
        let mut world = Self {
            daemon,
            engine,
            owner: String::new(),
            claim: None,
            root,
        };
        world.start();
        world.owner = world.daemon.owner().expect("the daemon has a name");
        world.claim = Some(Claim::make(&world.owner, &world.engine));
        world.make_key("ada");
        let public = fs::read(world.path("ada.pub")).unwrap();
        world.local(&["ssh-keys:add", "ada"], &public).succeeded();
        world
    }

    pub(crate) fn start(&mut self) {
        self.daemon.start();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn make_key(&self, name: &str) {
        let mut keygen = Command::new("ssh-keygen");
        keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"])
            .arg(self.path(name));
        run(keygen, b"").succeeded();
    }

    /// A command line of ssh as a user with this key would type it, up to the host.
    pub(crate) fn ssh_words(&self, key: &str) -> Vec<String> {
        let known = self.path("known_hosts");
        let mut words: Vec<String> = ["ssh", "-F", "none", "-p"].map(str::to_owned).to_vec();
        words.push(self.daemon.ssh.to_string());
        words.extend(["-i".to_owned(), self.path(key).display().to_string()]);
        for option in [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "LogLevel=ERROR",
            "StrictHostKeyChecking=accept-new",
            &format!("UserKnownHostsFile={}", known.display()),
        ] {
            words.extend(["-o".to_owned(), option.to_owned()]);
        }
        words
    }

    /// `ssh OPTIONS dokku@host WORDS`, with somebody's key.
    pub(crate) fn ssh_as(&self, key: &str, options: &[&str], words: &[&str]) -> Command {
        let line = self.ssh_words(key);
        let mut ssh = Command::new(&line[0]);
        ssh.args(&line[1..])
            .args(options)
            .arg("dokku@127.0.0.1")
            .arg("--")
            .args(words);
        ssh
    }

    pub(crate) fn ssh(&self, words: &[&str]) -> Ended {
        run(self.ssh_as("ada", &[], words), b"")
    }

    /// A command on the machine itself, over the control socket.
    pub(crate) fn local(&self, words: &[&str], stdin: &[u8]) -> Ended {
        run(self.local_command(words), stdin)
    }

    /// The same with standard output in a file, byte by byte.
    pub(crate) fn local_to(&self, words: &[&str], file: &Path) -> Ended {
        let mut command = Command::new("bash");
        // The words are arguments; only the redirection is the shell's.
        command
            .args(["-c", "exec \"$@\" >\"$FILE\"", "bash"])
            .arg(self.daemon.binary())
            .args(words)
            .env("SARSEN_SOCKET", &self.daemon.socket)
            .env("FILE", file);
        run(command, b"")
    }

    pub(crate) fn local_command(&self, words: &[&str]) -> Command {
        let mut sarsen = Command::new(self.daemon.binary());
        sarsen.args(words).env("SARSEN_SOCKET", &self.daemon.socket);
        sarsen
    }

    /// `git` in a folder; nothing of the machine's own git configuration takes part.
    pub(crate) fn git(&self, folder: &str, words: &[&str]) -> Command {
        self.git_as("ada", folder, words)
    }

    pub(crate) fn git_as(&self, key: &str, folder: &str, words: &[&str]) -> Command {
        let ssh = self.ssh_words(key);
        let ssh = shlex::try_join(ssh.iter().map(String::as_str)).unwrap();
        let mut git = Command::new("git");
        git.args(words)
            .current_dir(self.path(folder))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_SSH_COMMAND", ssh);
        for person in ["AUTHOR", "COMMITTER"] {
            git.env(format!("GIT_{person}_NAME"), "Ada");
            git.env(format!("GIT_{person}_EMAIL"), "ada@e2e.test");
        }
        git
    }

    /// The address that an app is pushed to.
    pub(crate) fn remote(&self, app: &str) -> String {
        format!("ssh://dokku@127.0.0.1:{}/{app}", self.daemon.ssh)
    }

    /// A folder with the files of an app, committed on `main`, with the remote `sarsen` of the same name.
    pub(crate) fn folder(&self, name: &str, kind: &str) {
        folder::copy_app(kind, &self.path(name));
        let git = |words: &[&str]| run(self.git(name, words), b"").succeeded();
        git(&["init", "--quiet", "--initial-branch", "main"]);
        git(&["remote", "add", "sarsen", &self.remote(name)]);
        self.commit(name, "First version");
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        folder::write(&self.path(path), text);
    }

    /// Commits everything; gives the new commit.
    pub(crate) fn commit(&self, folder: &str, message: &str) -> String {
        let git = |words: &[&str]| run(self.git(folder, words), b"").succeeded();
        git(&["add", "--all"]);
        git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        git(&["rev-parse", "HEAD"]).stdout.trim().to_owned()
    }

    pub(crate) fn push(&self, folder: &str) -> Ended {
        run(self.push_command(folder), b"")
    }

    pub(crate) fn push_command(&self, folder: &str) -> Command {
        self.git(folder, &["push", "sarsen", "main"])
    }

    pub(crate) fn start_push(&self, folder: &str) -> Running {
        Running::start(self.push_command(folder))
    }

    /// The name that an app has on the web.
    pub(crate) fn host(&self, app: &str) -> String {
        if app.contains('.') {
            app.to_owned()
        } else {
            format!("{app}.e2e.test")
        }
    }

    pub(crate) fn get(&self, app: &str, path: &str) -> io::Result<Answer> {
        web::get(self.daemon.address(), &self.host(app), path)
    }

    /// The names of an app's containers.
    pub(crate) fn containers(&self, app: &str) -> Vec<String> {
        let label = format!("com.dokku.app-name={app}");
        self.engine.containers(&self.owner, &[label])
    }

    /// Waits until an app has exactly these containers.
    #[track_caller]
    pub(crate) fn settles_on(&self, app: &str, wanted: &[&str]) {
        eventually_within(Duration::from_secs(60), || {
            let found = self.containers(app);
            (found == wanted).then_some(()).ok_or_else(|| {
                format!("{app} should have the containers {wanted:?}, and has {found:?}")
            })
        });
    }

    /// Files that a push or a build left behind.
    pub(crate) fn leftovers(&self) -> Vec<PathBuf> {
        let is_left = |path: &PathBuf| {
            let text = path
                .strip_prefix(&self.daemon.data)
                .unwrap_or(path)
                .to_string_lossy();
            text.contains("tmp_") || text.contains("incoming") || text.ends_with(".lock")
        };
        folder::files(&self.daemon.data)
            .into_iter()
            .filter(is_left)
            .collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "---- the daemon's log ----\n{}----",
                tail(&self.daemon.log_text())
            );
        }
        if self.daemon.is_running() {
            self.daemon.kill();
        }
        if !self.owner.is_empty() {
            self.engine.remove_all_of(&self.owner);
        }
        drop(self.claim.take());
    }
}

/// The end of a long text.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(150);
    lines[skipped..]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Where the example apps are.
pub(crate) fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts")
}
