//! Programs, run to their end or in the background, always with a limit.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Longer than anything that works takes, even on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// How a program ended and what it wrote.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ended {
    /// The exit code; 128 and the signal's number for one that was killed.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that runs.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: Captured,
    stderr: Captured,
    what: String,
}

#[derive(Debug)]
struct Captured {
    text: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Ended {
    pub(crate) fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "it should have worked\n{}", self.all());
        self
    }

    #[track_caller]
    pub(crate) fn failed(self) -> Self {
        assert_ne!(self.code, 0, "it should have failed\n{}", self.all());
        self
    }
}

/// Runs a program to its end.
pub(crate) fn run(command: Command, stdin: &[u8]) -> Ended {
    let mut running = Running::start(command);
    running.write(stdin);
    running.close_stdin();
    running.wait()
}

impl Running {
    /// Starts a program; its input stays open.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stderr(Stdio::piped());
        Self::spawn(command)
    }

    /// The same with standard error in a file.
    pub(crate) fn start_logging(mut command: Command, log: File) -> Self {
        command.stderr(log);
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let what = format!("{command:?}");
        // As a shell does, so that Ctrl-C reaches the program's children as well.
        command.process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {what}: {error}"));
        Self {
            stdout: Captured::of(child.stdout.take()),
            stderr: Captured::of(child.stderr.take()),
            child,
            what,
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        // A program need not read all its input.
        self.child
            .stdin
            .as_mut()
            .map(|stdin| stdin.write_all(bytes).and_then(|()| stdin.flush()));
    }

    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        self.stdout.so_far() + &self.stderr.so_far()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// A signal for this process alone.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// A signal for it and its children, such as Ctrl-C.
    pub(crate) fn signal_group(&self, signal: Signal) {
        killpg(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                begun.elapsed() < LIMIT,
                "{} does not end; so far:\n{}",
                self.what,
                self.output()
            );
            thread::sleep(Duration::from_millis(5));
        };
        Ended {
            code: code(status),
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

impl Captured {
    fn of(pipe: Option<impl Read + Send + 'static>) -> Self {
        let text = Arc::<Mutex<Vec<u8>>>::default();
        let Some(mut pipe) = pipe else {
            return Self { text, reader: None };
        };
        let filled = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                filled.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            text,
            reader: Some(reader),
        }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// The rest comes within moments, unless a grandchild holds the pipe: then it is not waited for.
    fn finish(&mut self) -> String {
        let Some(reader) = self.reader.take() else {
            return self.so_far();
        };
        let begun = Instant::now();
        while !reader.is_finished() && begun.elapsed() < Duration::from_secs(2) {
            thread::sleep(Duration::from_millis(1));
        }
        self.so_far()
    }
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Tries until it works; panics with the last complaint when it does not within half a minute.
#[track_caller]
pub(crate) fn eventually<T>(what: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(Duration::from_secs(30), what)
}

#[track_caller]
pub(crate) fn eventually_within<T>(
    limit: Duration,
    mut what: impl FnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    loop {
        match what() {
            Ok(value) => return value,
            Err(complaint) => {
                assert!(
                    begun.elapsed() < limit,
                    "still after {limit:?}: {complaint}"
                );
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
