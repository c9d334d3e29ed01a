//! Commands with a terminal, as a person has one; and many commands at the same time.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{Ended, Running, eventually, run};
use crate::world::World;

/// An ssh command in a terminal of this size; `first` is what the terminal's shell does before.
pub(crate) fn in_terminal(ssh: &Command, size: &str, first: &str) -> Command {
    let words = std::iter::once(ssh.get_program()).chain(ssh.get_args());
    let line = shlex::try_join(words.map(|word| word.to_str().unwrap())).unwrap();
    let mut script = Command::new("script");
    script.args([
        "--quiet",
        "--flush",
        "--return",
        "--command",
        &format!("stty {size}; {first} exec {line}"),
        "/dev/null",
    ]);
    script.env("TERM", "xterm-256color").env("SHELL", "/bin/sh");
    script
}

/// What was typed has to be waited for: a terminal that is not there yet loses it.
pub(crate) fn type_line(running: &mut Running, line: &str) {
    running.write(format!("{line}\r").as_bytes());
}

pub(crate) fn wait_for(running: &Running, text: &str) {
    eventually(|| {
        let output = running.output();
        output
            .contains(text)
            .then_some(())
            .ok_or_else(|| format!("no {text:?} in:\n{output}"))
    });
}

#[test]
fn a_shell_in_a_terminal() {
    let world = World::new();
    world.folder("pty-shop", "hello");
    world.push("pty-shop").succeeded();
    for words in [
        ["run", "pty-shop", "sh"].as_slice(),
        &["enter", "pty-shop", "web", "sh"],
    ] {
        let ssh = world.ssh_as("ada", &["-tt"], words);
        let mut shell = Running::start(in_terminal(&ssh, "cols 123 rows 45", ""));
        wait_for(&shell, "# ");
        // The engine sizes a terminal when its command runs already, perhaps after the first prompt.
        eventually(|| {
            type_line(&mut shell, "stty size");
            thread::sleep(Duration::from_millis(300));
            let output = shell.output();
            output.contains("45 123").then_some(()).ok_or(output)
        });
        type_line(
            &mut shell,
            "echo $TERM; test -t 0 && test -t 1 && echo it is a $((40 + 2)) terminal",
        );
        wait_for(&shell, "it is a 42 terminal");
        wait_for(&shell, "xterm-256color");
        // Ctrl-C ends the command, and not the session.
        type_line(&mut shell, "echo asleep $((3 + 3)); sleep 100");
        wait_for(&shell, "asleep 6");
        // A shell that is just about to start the command does not hear it: a person would press again.
        eventually(|| {
            shell.write(b"\x03");
            type_line(&mut shell, "echo still $((1 + 1))");
            thread::sleep(Duration::from_millis(300));
            let output = shell.output();
            output.contains("still 2").then_some(()).ok_or(output)
        });
        type_line(&mut shell, "exit 7");
        let ended = shell.wait();
        assert_eq!(ended.code, 7, "{}", ended.all());
    }
    world.settles_on("pty-shop", &["pty-shop.web.1"]);
}

#[test]
fn questions_are_asked_in_a_terminal() {
    let world = World::new();
    world.ssh(&["apps:create", "ask-shop"]).succeeded();
    let ssh = world.ssh_as("ada", &["-tt"], &["apps:destroy", "ask-shop"]);
    let mut question = Running::start(in_terminal(&ssh, "cols 80 rows 24", ""));
    wait_for(&question, "ask-shop");
    type_line(&mut question, "no");
    assert_ne!(question.wait().code, 0);
    world.ssh(&["apps:exists", "ask-shop"]).succeeded();

    let mut question = Running::start(in_terminal(&ssh, "cols 80 rows 24", ""));
    wait_for(&question, "ask-shop");
    type_line(&mut question, "ask-shop");
    question.wait().succeeded();
    world.ssh(&["apps:exists", "ask-shop"]).failed();
}

#[test]
fn fifty_commands_at_once() {
    let world = World::new();
    world.ssh(&["apps:create", "crowd-shop"]).succeeded();
    let begun = Instant::now();
    world.ssh(&["apps:list"]).succeeded();
    let alone = begun.elapsed();
    let begun = Instant::now();
    let crowd: Vec<Running> = (0..50)
        .map(|number| {
            let pair = format!("KEY_{number}={number}");
            let words = ["config:set", "--no-restart", "crowd-shop", &pair];
            let words = if number % 2 == 0 {
                words.as_slice()
            } else {
                &["apps:list"]
            };
            Running::start(world.ssh_as("ada", &[], words))
        })
        .collect();
    let ended: Vec<Ended> = crowd.into_iter().map(Running::wait).collect();
    println!(
        "one command over ssh: {} ms; 50 at once: {} ms",
        alone.as_millis(),
        begun.elapsed().as_millis()
    );
    for one in ended {
        one.succeeded();
    }
    let keys = world.ssh(&["config:keys", "crowd-shop"]).succeeded().stdout;
    assert_eq!(keys.lines().count(), 25, "{keys}");
    let begun = Instant::now();
    for _ in 0..20 {
        run(world.local_command(&["apps:list"]), b"").succeeded();
    }
    println!(
        "one command over the socket: {:.1} ms",
        begun.elapsed().as_secs_f64() * 50.0
    );
}
