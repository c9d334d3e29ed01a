//! What the lines of a script do.

use std::collections::HashMap;
use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::parse::{Line, is_like};
use super::split;
use crate::daemon::free_port;
use crate::echo;
use crate::program::{Ended, Running, eventually_within, run};
use crate::world::World;

/// A world, and what a script remembers.
pub(super) struct Stage {
    world: World,
    /// How the last program ended.
    last: Ended,
    /// For the next program.
    stdin: Vec<u8>,
    background: HashMap<String, Running>,
    names: HashMap<String, String>,
}

type Outcome = Result<(), String>;

impl Stage {
    pub(super) fn new(world: World) -> Self {
        let mut names = HashMap::new();
        for (name, value) in [
            ("owner", world.owner.clone()),
            ("http", world.daemon.http.to_string()),
            ("https", world.daemon.https.to_string()),
            ("port", world.daemon.ssh.to_string()),
            ("root", world.root.path().display().to_string()),
        ] {
            names.insert(name.to_owned(), value);
        }
        Self {
            world,
            last: Ended::default(),
            stdin: Vec::new(),
            background: HashMap::new(),
            names,
        }
    }

    pub(super) fn perform(&mut self, line: &Line) -> Outcome {
        let (verb, rest) = line.split();
        let rest = self.fill(rest);
        let block = self.fill(&line.block);
        match verb {
            "folder" => match rest.split_once(" from ") {
                Some((name, kind)) => self.world.folder(name.trim(), kind.trim()),
                None => return Err("folder NAME from KIND".to_owned()),
            },
            "write" => self.world.write(&rest, &block),
            "delete" => {
                fs::remove_file(self.world.path(&rest)).map_err(|error| error.to_string())?
            }
            "commit" => {
                let (folder, message) = split(&rest);
                let commit = self
                    .world
                    .commit(folder, if message.is_empty() { "More" } else { message });
                self.names.insert("commit".to_owned(), commit);
            }
            "key" => self.world.make_key(&rest),
            "stdin" => {
                self.stdin = match rest.strip_prefix("from ") {
                    Some(path) => {
                        fs::read(self.world.path(path)).map_err(|error| error.to_string())?
                    }
                    None => block.into_bytes(),
                }
            }
            "port" => {
                self.names.insert(rest, free_port().to_string());
            }
            "keep" => {
                self.names.insert(rest, self.last.stdout.trim().to_owned());
            }
            "background" => self.background(&rest)?,
            "signal" => self.signal(&rest)?,
            "end" => self.end(&rest)?,
            "daemon" => self.daemon(&rest)?,
            "eventually" => self.keep_trying(Duration::from_secs(30), &rest),
            "patiently" => self.keep_trying(Duration::from_secs(100), &rest),
            _ => return self.check(&format!("{verb} {rest}")),
        }
        Ok(())
    }

    /// Each try reads the same input.
    fn keep_trying(&mut self, limit: Duration, line: &str) {
        let stdin = std::mem::take(&mut self.stdin);
        eventually_within(limit, || {
            self.stdin.clone_from(&stdin);
            self.check(line)
        });
    }

    /// What can be tried again.
    fn check(&mut self, line: &str) -> Outcome {
        let (verb, rest) = split(line);
        match verb {
            "$" | "!" => self.program(verb, rest),
            "code" => equal(
                &self.last.code.to_string(),
                rest.trim_start_matches("is "),
                &self.last,
            ),
            "stdout" => holds(&self.last.stdout, rest, &self.last),
            "stderr" => holds(&self.last.stderr, rest, &self.last),
            "output" => holds(&self.last.all(), rest, &self.last),
            "log" => holds(&self.world.daemon.log_text(), rest, &Ended::default()),
            "get" => self.get(rest),
            "containers" => self.containers(rest),
            "tcp" | "udp" => echoes(verb, rest),
            "prints" => {
                let (name, text) = split(rest);
                let output = self.running(name)?.output();
                let complaint = || format!("{name} has not printed that:\n{output}");
                output.contains(text).then_some(()).ok_or_else(complaint)
            }
            "file" => {
                let (path, text) = rest.split_once(" contains ").unwrap_or((rest, ""));
                let content =
                    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
                let complaint = || format!("{path} lacks {text}:\n{content}");
                content.contains(text).then_some(()).ok_or_else(complaint)
            }
            "leftovers" => match self.world.leftovers().as_slice() {
                [] => Ok(()),
                some => Err(format!("left behind: {some:?}")),
            },
            _ => Err(format!("there is no word '{verb}' in this language")),
        }
    }

    /// Replaces `{name}` by what is kept under it.
    fn fill(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.names {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        text
    }

    /// `PROGRAM WORDS [=> TEXT]`, after `$` or `!`.
    fn program(&mut self, verb: &str, line: &str) -> Outcome {
        let (line, expected) = match line.split_once(" => ") {
            Some((line, expected)) => (line, Some(expected.trim())),
            None => (line, None),
        };
        let command = self.command(line)?;
        self.last = run(command, &std::mem::take(&mut self.stdin));
        let expectation = if verb == "$" { "work" } else { "fail" };
        if (verb == "$") != (self.last.code == 0) {
            return Err(format!("that should {expectation}\n{}", shown(&self.last)));
        }
        match expected {
            Some(text) if !self.last.all().contains(text) => Err(format!(
                "its output should contain: {text}\n{}",
                shown(&self.last)
            )),
            _ => Ok(()),
        }
    }

    fn command(&self, line: &str) -> Result<Command, String> {
        let words = shlex::split(line).ok_or("a quote is not closed")?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let world = &self.world;
        Ok(match words.as_slice() {
            ["ssh", "as", key, rest @ ..] => world.ssh_as(key, &[], rest),
            ["ssh", rest @ ..] => world.ssh_as("ada", &[], rest),
            ["sarsen", rest @ ..] => world.local_command(rest),
            ["git", "as", key, folder, rest @ ..] => world.git_as(key, folder, rest),
            ["git", folder, rest @ ..] => world.git(folder, rest),
            ["push", folder] => world.push_command(folder),
            [program @ ("docker" | "curl"), rest @ ..] => {
                let mut command = Command::new(program);
                command.args(rest);
                command
            }
            _ => {
                return Err(
                    "after $ and ! stands ssh, git, push, sarsen, docker or curl".to_owned(),
                );
            }
        })
    }

    /// `NAME: PROGRAM WORDS`
    fn background(&mut self, rest: &str) -> Outcome {
        let (name, line) = rest.split_once(':').ok_or("background NAME: PROGRAM")?;
        let mut running = Running::start(self.command(line)?);
        let stdin = std::mem::take(&mut self.stdin);
        running.write(&stdin);
        self.background.insert(name.to_owned(), running);
        Ok(())
    }

    fn running(&self, name: &str) -> Result<&Running, String> {
        self.background
            .get(name)
            .ok_or_else(|| format!("there is no {name} in the background"))
    }

    /// `NAME INT`
    fn signal(&self, rest: &str) -> Outcome {
        let (name, signal) = split(rest);
        let signal: Signal = format!("SIG{signal}")
            .parse()
            .map_err(|_| "no such signal")?;
        self.running(name)?.signal_group(signal);
        Ok(())
    }

    /// `NAME works`, `NAME fails`
    fn end(&mut self, rest: &str) -> Outcome {
        let (name, how) = split(rest);
        self.running(name)?;
        if let Some(mut running) = self.background.remove(name) {
            running.close_stdin();
            self.last = running.wait();
        }
        match (how, self.last.code) {
            ("works", 0) | ("ends", _) => Ok(()),
            ("fails", code) if code != 0 => Ok(()),
            _ => Err(format!(
                "it should be so that {name} {how}\n{}",
                shown(&self.last)
            )),
        }
    }

    fn daemon(&mut self, rest: &str) -> Outcome {
        match rest {
            "killed" => self.world.daemon.kill(),
            "started" => self.world.start(),
            "handed over" => self.world.daemon.hand_over(),
            "stopped" => {
                let (code, took) = self.world.daemon.stop();
                println!(
                    "    the daemon ended with {code} after {:.1} s",
                    took.as_secs_f64()
                );
                if code != 0 {
                    return Err(format!("the daemon ended with {code}"));
                }
            }
            _ => return Err("daemon killed | started | stopped | handed over".to_owned()),
        }
        Ok(())
    }

    /// `APP PATH is STATUS [contains TEXT]`
    fn get(&self, rest: &str) -> Outcome {
        let usage = "get APP PATH is STATUS [contains TEXT]";
        let (request, expected) = rest.split_once(" is ").ok_or(usage)?;
        let (app, path) = split(request);
        let (status, text) = match expected.split_once(" contains ") {
            Some((status, text)) => (status.trim(), text.trim()),
            None => (expected.trim(), ""),
        };
        let answer = self
            .world
            .get(app, path)
            .map_err(|error| error.to_string())?;
        if answer.status.to_string() == status && answer.body.contains(text) {
            Ok(())
        } else {
            Err(format!("the answer is {}: {}", answer.status, answer.body))
        }
    }

    /// `APP are NAMES`, `APP count N`
    fn containers(&self, rest: &str) -> Outcome {
        let (app, rest) = split(rest);
        let (how, wanted) = split(rest);
        let found = self.world.containers(app);
        let mut names: Vec<&str> = wanted
            .split_whitespace()
            .filter(|name| *name != "none")
            .collect();
        names.sort_unstable();
        let holds = match how {
            "are" => found == names,
            "count" => found.len().to_string() == wanted,
            _ => return Err("containers APP are NAMES | count N".to_owned()),
        };
        if holds {
            Ok(())
        } else {
            Err(format!("{app} has the containers {found:?}"))
        }
    }
}

fn equal(found: &str, expected: &str, last: &Ended) -> Outcome {
    if found == expected {
        Ok(())
    } else {
        Err(format!("it is {found}\n{}", shown(last)))
    }
}

/// `contains TEXT`, `lacks TEXT`, `is TEXT`, `like PATTERN`
fn holds(found: &str, expectation: &str, last: &Ended) -> Outcome {
    let (how, text) = split(expectation);
    let holds = match how {
        "contains" => found.contains(text),
        "lacks" => !found.contains(text),
        "is" => found.trim() == text,
        "like" => is_like(found.trim(), text),
        _ => return Err(format!("'{how}' is none of contains, lacks, is, like")),
    };
    if holds {
        Ok(())
    } else {
        Err(format!("it is not so:\n{found}\n{}", shown(last)))
    }
}

fn shown(ended: &Ended) -> String {
    format!(
        "exit code {}\n--- stdout\n{}\n--- stderr\n{}",
        ended.code, ended.stdout, ended.stderr
    )
}

/// `PORT TEXT`: whoever listens there sends it back.
fn echoes(protocol: &str, rest: &str) -> Outcome {
    let (port, text) = split(rest);
    let port: u16 = port.parse().map_err(|_| "tcp|udp PORT TEXT")?;
    let answer = match protocol {
        "tcp" => echo::tcp(port, text.as_bytes()),
        _ => echo::udp(port, text.as_bytes()),
    };
    let answer = answer.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&answer);
    (answer == text)
        .then_some(())
        .ok_or(format!("the answer is {answer:?}"))
}
