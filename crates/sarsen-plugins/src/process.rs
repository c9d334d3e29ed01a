//! Starting programs: the one place that decides what a script inherits, how long it may run and how it is stopped.

use std::ffi::OsString;
use std::io::{self, ErrorKind, PipeReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::name::PluginName;
use crate::output::{Capture, Output, Stream};
use crate::report::{Exit, Run};

/// How long a program may tidy up after SIGTERM before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// A program that has ended may have left a child, `tee` for instance, that still writes: so long may the child be silent.
const PATIENCE: Duration = Duration::from_secs(2);
/// Another thread that forks while a script is being written holds that file open for a moment.
const BUSY_RETRIES: usize = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// The kernel does not know what kind of program this is.
const ENOEXEC: i32 = 8;
/// Runs scripts without a first line, as it does for Dokku.
const BASH: &str = "/bin/bash";

/// Variables of a process; there are no others.
pub(crate) type Env = Vec<(OsString, OsString)>;

/// A program to be run.
pub(crate) struct Program<'a> {
    /// In whose name.
    pub(crate) plugin: &'a PluginName,
    /// What messages call it.
    pub(crate) title: &'a str,
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) env: Env,
    pub(crate) folder: &'a Path,
    /// Nothing to read without.
    pub(crate) stdin: Option<&'a PipeReader>,
    pub(crate) limit: Option<Duration>,
}

/// Runs a program to its end. Dropping the future stops it, and with it everything it started.
pub(crate) async fn run(program: Program<'_>, output: &mut Output<'_>, tasks: &TaskTracker) -> Run {
    let started = Instant::now();
    let (plugin, script) = (program.plugin.clone(), program.title.to_owned());
    let mut capture = Capture::new(&plugin, output);
    let limit = program.limit;
    let exit = match start(program, tasks).await {
        Ok(mut process) => process.finish(&mut capture, limit).await,
        Err(why) => Exit::NotStarted(why),
    };
    capture.end();
    Run {
        plugin,
        script,
        exit,
        duration: started.elapsed(),
        last_words: capture.last_words(),
        left_out: capture.left_out,
        stdout: capture.stdout,
    }
}

/// Errors are the reason, in words.
async fn start(program: Program<'_>, tasks: &TaskTracker) -> Result<Process, String> {
    let (path, folder) = (program.path.clone(), program.folder);
    let mut command = Command::new(&path);
    command.args(&program.args);
    furnish(&mut command, &program).map_err(|error| error.to_string())?;
    let spawned = match spawn(&mut command).await {
        Err(error) if error.raw_os_error() == Some(ENOEXEC) && is_text(&path) => {
            let mut command = Command::new(BASH);
            command.arg(&path).args(&program.args);
            furnish(&mut command, &program).map_err(|error| error.to_string())?;
            spawn(&mut command).await
        }
        spawned => spawned,
    };
    let mut child = spawned.map_err(|error| reason(&error, &path, folder))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let group = group.ok_or("it ended at once")?;
    let pipes = (child.stdout.take(), child.stderr.take());
    Ok(Process {
        child: Some(child),
        group: Pid::from_raw(group),
        pipes,
        tasks: tasks.clone(),
    })
}

fn furnish(command: &mut Command, program: &Program<'_>) -> io::Result<()> {
    let stdin = match &program.stdin {
        None => Stdio::null(),
        Some(pipe) => Stdio::from(pipe.try_clone()?),
    };
    command
        .current_dir(program.folder)
        .env_clear()
        .envs(program.env.iter().map(|(key, value)| (key, value)))
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    Ok(())
}

async fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut tries = 0;
    loop {
        match command.spawn() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy && tries < BUSY_RETRIES => {
                tries += 1;
                sleep(BUSY_PAUSE).await;
            }
            spawned => return spawned,
        }
    }
}

/// As bash decides whether a file could be a script.
fn is_text(path: &Path) -> bool {
    beginning(path).is_some_and(|bytes| !bytes.is_empty() && !bytes.contains(&0))
}

fn beginning(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .ok()?
        .take(256)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

/// What a failed start means for whoever has to mend it.
fn reason(error: &io::Error, path: &Path, folder: &Path) -> String {
    let shown = path.display();
    if error.kind() == ErrorKind::NotFound {
        return match interpreter(path) {
            _ if !folder.is_dir() => format!("{} is not there", folder.display()),
            Some(interpreter) => {
                let interpreter = interpreter.escape_debug();
                format!("its interpreter {interpreter} is not on this host")
            }
            None => format!("{shown} is not there"),
        };
    }
    if error.kind() == ErrorKind::PermissionDenied {
        return format!(
            "no permission to run {shown}: check the file, its interpreter, and that nothing is mounted noexec"
        );
    }
    if error.raw_os_error() == Some(ENOEXEC) {
        return "it is neither a program for this machine nor a script".to_owned();
    }
    error.to_string()
}

/// What the first line of a script names.
fn interpreter(path: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&beginning(path)?).into_owned();
    let line = text.strip_prefix("#!")?.lines().next()?.trim();
    line.split_whitespace().next().map(str::to_owned)
}

/// A running program with its process group; dropped half-way it is stopped all the same.
struct Process {
    child: Option<Child>,
    group: Pid,
    pipes: Pipes,
    tasks: TaskTracker,
}

type Pipes = (Option<ChildStdout>, Option<ChildStderr>);

/// Why reading stopped.
enum Ended {
    /// It ended, and so did its output.
    Whole(ExitStatus),
    /// It ended, and somebody it started sits on its output.
    HeldOpen(ExitStatus),
    /// Nobody wants the output any more, or the kernel lost the process.
    Broken(io::Error),
}

impl Process {
    async fn finish(&mut self, capture: &mut Capture<'_, '_>, limit: Option<Duration>) -> Exit {
        let reading = self.read(capture);
        let ended = match limit {
            None => Some(reading.await),
            Some(limit) => timeout(limit, reading).await.ok(),
        };
        match ended {
            None => {
                self.stop().await;
                Exit::TimedOut(limit.unwrap_or_default())
            }
            Some(Ended::Whole(status)) => {
                self.child = None;
                exit_of(status)
            }
            Some(Ended::HeldOpen(status)) => {
                signal(self.group, Signal::SIGKILL);
                self.child = None;
                exit_of(status)
            }
            Some(Ended::Broken(error)) => {
                tracing::debug!(%error, "a script is stopped");
                self.stop().await;
                Exit::Signal(Signal::SIGTERM as i32)
            }
        }
    }

    /// Passes output on until both streams and the program have ended.
    async fn read(&mut self, capture: &mut Capture<'_, '_>) -> Ended {
        let (Some(child), (Some(stdout), Some(stderr))) = (&mut self.child, &mut self.pipes) else {
            return Ended::Broken(io::Error::other("the program has ended"));
        };
        let (mut out, mut err) = (vec![0_u8; 16 * 1024], vec![0_u8; 16 * 1024]);
        let (mut out_open, mut err_open) = (true, true);
        let mut status = None;
        loop {
            if let (Some(status), false, false) = (status, out_open, err_open) {
                return Ended::Whole(status);
            }
            let taken = tokio::select! {
                count = stdout.read(&mut out), if out_open => {
                    let bytes = out.get(..count.unwrap_or(0)).unwrap_or_default();
                    out_open = !bytes.is_empty();
                    capture.take(Stream::Stdout, bytes).await
                }
                count = stderr.read(&mut err), if err_open => {
                    let bytes = err.get(..count.unwrap_or(0)).unwrap_or_default();
                    err_open = !bytes.is_empty();
                    capture.take(Stream::Stderr, bytes).await
                }
                ended = child.wait(), if status.is_none() => ended.map(|ended| status = Some(ended)),
                () = sleep(PATIENCE), if status.is_some() => {
                    return status.map_or_else(
                        || Ended::Broken(io::Error::other("no status")),
                        Ended::HeldOpen,
                    );
                }
            };
            if let Err(error) = taken {
                return Ended::Broken(error);
            }
        }
    }

    /// SIGTERM for the group, so that scripts can clean up; SIGKILL if that takes too long.
    async fn stop(&mut self) {
        if let Some(child) = self.child.take() {
            signal(self.group, Signal::SIGTERM);
            see_off(child, std::mem::take(&mut self.pipes), self.group).await;
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
            let pipes = std::mem::take(&mut self.pipes);
            self.tasks.spawn(see_off(child, pipes, self.group));
        }
    }
}

async fn see_off(mut child: Child, pipes: Pipes, group: Pid) {
    // A script that cleans up may say so: nobody listens, but a closed pipe would kill it half-way.
    let waited = tokio::select! {
        waited = timeout(GRACE, child.wait()) => waited.is_ok(),
        () = discard(pipes) => false,
    };
    // Members other than the leader may have ignored the first signal.
    signal(group, Signal::SIGKILL);
    if !waited && let Err(error) = child.wait().await {
        tracing::warn!(process.group = group.as_raw(), %error, "a script could not be waited for");
    }
}

/// Never ends.
async fn discard((stdout, stderr): Pipes) {
    let (mut out, mut err) = (tokio::io::sink(), tokio::io::sink());
    let stdout = async move {
        if let Some(mut stdout) = stdout {
            tokio::io::copy(&mut stdout, &mut out).await.ok();
        }
    };
    let stderr = async move {
        if let Some(mut stderr) = stderr {
            tokio::io::copy(&mut stderr, &mut err).await.ok();
        }
    };
    tokio::join!(stdout, stderr);
    std::future::pending::<()>().await;
}

/// A group that is gone already is what we want.
fn signal(group: Pid, signal: Signal) {
    if let Err(error) = killpg(group, signal)
        && error != nix::errno::Errno::ESRCH
    {
        tracing::warn!(process.group = group.as_raw(), %error, "a script could not be signalled");
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(u8::try_from(code).unwrap_or(1)),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}
