//! The client as a process of its own, at a real terminal and without a daemon.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::termios::{LocalModes, tcgetattr, tcsetwinsize};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::hook::gather;
use super::testing::play;
use crate::socket::tests::Fixture;

const LONG: Duration = Duration::from_secs(30);

/// Not a test: the process that the tests below start. What it prints comes after the test runner's own lines.
#[test]
#[ignore = "started by other tests"]
fn child() {
    let variable = |name: &str| {
        std::env::vars_os()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    };
    let argv = variable("CLIENT_ARGV").unwrap().into_string().unwrap();
    let socket = variable("CLIENT_SOCKET").unwrap();
    let code = super::run(
        Path::new(&socket),
        argv.split(' ').map(str::to_owned).collect(),
        &variable,
    );
    assert_eq!(code, 0);
}

struct AtTerminal {
    child: Child,
    master: File,
    slave: OwnedFd,
}

impl AtTerminal {
    fn start(fixture: &Fixture, argv: &str) -> Self {
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(Some(&size), None).unwrap();
        // In the program the client runs on the main thread and blocks these before there are others; a test runner's main thread
        // would take them unblocked.
        let child = Command::new("env")
            .arg("--block-signal=HUP,INT,QUIT,TERM,WINCH")
            .arg(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "client::tests::child",
            ])
            .env("CLIENT_SOCKET", fixture.path())
            .env("CLIENT_ARGV", argv)
            .env("TERM", "vt100")
            .stdin(slave.try_clone().unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            child,
            master: master.into(),
            slave,
        }
    }

    /// Whether the terminal edits lines.
    fn cooked(&self) -> bool {
        tcgetattr(&self.slave)
            .unwrap()
            .local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let holds = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, holds)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn raw_for_the_command_cooked_afterwards_and_sizes_passed_on() {
    let fixture = Fixture::start();
    let here = AtTerminal::start(&fixture, "terminal");
    eventually("the terminal is raw", || !here.cooked()).await;
    let wider = rustix::termios::Winsize {
        ws_row: 50,
        ws_col: 132,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&here.slave, wider).unwrap();
    here.signal(Signal::SIGWINCH);
    let AtTerminal {
        child,
        slave,
        master: _master,
    } = here;
    let output = timeout(LONG, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(
        text.contains("raw vt100 TtySize { columns: 80, rows: 24 }"),
        "{text}"
    );
    assert!(
        text.contains("line TtySize { columns: 132, rows: 50 }"),
        "{text}"
    );
    assert!(
        tcgetattr(&slave)
            .unwrap()
            .local_modes
            .contains(LocalModes::ICANON)
    );
}

#[tokio::test]
async fn a_signal_restores_the_terminal_and_ends_the_command() {
    let fixture = Fixture::start();
    for (number, signal) in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .enumerate()
    {
        let mut here = AtTerminal::start(&fixture, "terminal");
        eventually("the terminal is raw", || !here.cooked()).await;
        here.signal(signal);
        let status = timeout(LONG, here.child.wait()).await.unwrap().unwrap();
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(signal as i32)
        );
        assert!(here.cooked());
        eventually("the command ends", || {
            fixture.front.happened("end terminal") == number + 1
        })
        .await;
    }
}

#[tokio::test]
async fn keys_reach_a_command_that_reads() {
    let fixture = Fixture::start();
    let mut here = AtTerminal::start(&fixture, "cat");
    here.master.write_all(b"hello\n\x04").unwrap();
    let output = timeout(LONG, here.child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("hello\n"), "{text}");
}

#[test]
fn without_a_daemon_it_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let played = play(
        &path,
        vec!["apps:list".to_owned()],
        Box::new(std::io::empty()),
    );
    let said = String::from_utf8(played.stderr).unwrap();
    assert_eq!(played.code, 1);
    assert!(said.contains("is it running? (sarsen serve"), "{said}");
    assert!(said.contains(&path.display().to_string()), "{said}");
}

#[test]
fn a_hook_gathers_what_git_says() {
    let variables: HashMap<&str, &str> = [
        ("SARSEN_PUSH_TOKEN", "secret"),
        ("GIT_QUARANTINE_PATH", "/repo/objects/incoming-1"),
        ("GIT_OBJECT_DIRECTORY", "/elsewhere"),
        ("GIT_ALTERNATE_OBJECT_DIRECTORIES", "/repo/objects"),
        ("GIT_PUSH_OPTION_COUNT", "2"),
        ("GIT_PUSH_OPTION_0", "no-cache"),
        ("GIT_PUSH_OPTION_1", "k=v w"),
        ("GIT_PUSH_OPTION_2", "not counted"),
    ]
    .into();
    let environment = |name: &str| variables.get(name).map(OsString::from);
    let lines = "000 111 refs/heads/main\n222 333 refs/tags/v1\n";
    let hook = gather(Some(Box::new(lines.as_bytes())), &environment).unwrap();
    assert_eq!(hook.token, "secret");
    assert_eq!(
        hook.object_directory.as_deref(),
        Some(Path::new("/repo/objects/incoming-1"))
    );
    assert_eq!(
        hook.alternate_object_directories.as_deref(),
        Some("/repo/objects")
    );
    assert_eq!(hook.push_options, ["no-cache", "k=v w"]);
    let owned = |(a, b, c): (&str, &str, &str)| (a.to_owned(), b.to_owned(), c.to_owned());
    let updates = [
        ("000", "111", "refs/heads/main"),
        ("222", "333", "refs/tags/v1"),
    ];
    assert_eq!(hook.updates, updates.map(owned));

    let lost = gather(Some(Box::new(lines.as_bytes())), &|_| None).unwrap_err();
    assert!(lost.to_string().contains("SARSEN_PUSH_TOKEN"));
    let broken = gather(Some(Box::new(&b"one two"[..])), &environment).unwrap_err();
    assert!(broken.to_string().contains("one two"));
}
