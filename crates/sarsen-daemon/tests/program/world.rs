//! A folder with a configuration, and the program in its many roles.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sarsen");
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    folder: tempfile::TempDir,
    /// Goes with every `serve`.
    pub(crate) extra: Vec<String>,
}

pub(crate) struct Daemon(pub(crate) Child);

impl World {
    /// Nothing listens on a fixed port, and there is no engine.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().display();
        let text = format!(
            "data_dir = \"{root}/data\"\ncontrol.socket = \"{root}/control.sock\"\nssh.listen = \"127.0.0.1:0\"\n\
             http.listen = \"127.0.0.1:0\"\nweb.listen = \"127.0.0.1:0\"\ndocker.socket = \"{root}/no-docker.sock\"\n\
             shutdown.deadline = \"5s\"\n"
        );
        fs::write(folder.path().join("sarsen.toml"), text).unwrap();
        Self {
            folder,
            extra: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The program under another name, with nothing of ours in its environment but the socket's place.
    pub(crate) fn called(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("SARSEN_SOCKET", self.path("control.sock"));
        command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub(crate) async fn run(&self, words: &str) -> Output {
        self.run_as(Path::new(PROGRAM), words).await
    }

    pub(crate) async fn run_as(&self, program: &Path, words: &str) -> Output {
        let mut command = self.called(program);
        let output = command.args(words.split_whitespace()).output();
        timeout(PATIENCE, output).await.unwrap().unwrap()
    }

    /// A link to the program.
    pub(crate) fn alias(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        symlink(PROGRAM, &path).unwrap();
        path
    }

    pub(crate) fn serve(&self) -> Command {
        let mut command = self.called(Path::new(PROGRAM));
        command
            .args(["serve", "--config", "sarsen.toml"])
            .args(&self.extra);
        command
    }

    /// Starts the daemon and waits until it says that it is ready.
    pub(crate) async fn start(&self) -> Daemon {
        self.watch(self.serve()).await
    }

    /// Starts this and waits until it says that it is ready.
    pub(crate) async fn watch(&self, mut command: Command) -> Daemon {
        fs::write(self.path("log"), "").unwrap();
        let log = fs::File::options()
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut child = command.stderr(log).spawn().unwrap();
        let ready = async {
            while !self.log().contains(" ready\n") {
                assert!(
                    child.try_wait().unwrap().is_none(),
                    "it ended: {}",
                    self.log()
                );
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ready)
            .await
            .unwrap_or_else(|_| panic!("not ready: {}", self.log()));
        Daemon(child)
    }
}

impl Daemon {
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// The exit code; `None` after a signal that was not caught.
    pub(crate) async fn end(mut self) -> Option<i32> {
        timeout(PATIENCE, self.0.wait())
            .await
            .unwrap()
            .unwrap()
            .code()
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
