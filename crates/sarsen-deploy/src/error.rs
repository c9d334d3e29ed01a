//! Why a deploy did not work. Every display is a sentence that says what to change.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sarsen_domain::{ContainerName, Invalid, ProcessType};
use sarsen_runtime::{ContainerInfo, RuntimeError};

use crate::Phase;

/// Why something this crate was asked to do did not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeployError {
    /// A new container did not become ready. Nothing of the candidate is left.
    #[error("{dyno} did not start: {cause}")]
    NotReady { dyno: String, cause: Cause },
    /// A phase task failed.
    #[error("Execution of {phase} task failed: {command}: {cause}")]
    Phase {
        phase: Phase,
        command: String,
        cause: Cause,
    },
    /// A process type has no command.
    #[error("There is no command for '{0}': name it in the Procfile, or give the image a CMD")]
    NoCommand(ProcessType),
    /// A one-off container did not start.
    #[error("The command did not start: {0}")]
    CannotRun(Cause),
    /// The caller gave up.
    #[error("The deploy was cancelled")]
    Cancelled,
    /// Nothing runs in it.
    #[error("Container {0} is not running")]
    NotRunning(String),
    /// Somebody else's container has the name.
    #[error(
        "The container name {0} is taken by a container that is not Sarsen's: rename or remove that one"
    )]
    NameTaken(ContainerName),
    /// What was created could not be written down.
    #[error("A new container could not be recorded: {0}")]
    NotRecorded(String),
    /// A value cannot be used.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] RuntimeError),
}

/// Why a container is of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The engine could not start it; the engine's reason.
    CannotStart(String),
    /// It ended.
    Exited(i64),
    /// The kernel killed it for its memory; its limit in bytes if it has one.
    OutOfMemory(Option<i64>),
    /// The engine started it again while it should have been running.
    Restarted,
    /// Nothing listens on PORT after this time; where it listens instead.
    NotListening {
        port: u16,
        within: Duration,
        found: Vec<SocketAddr>,
    },
    /// Its own HEALTHCHECK fails; the last output.
    Unhealthy(Option<String>),
    /// A check of app.json failed.
    CheckFailed { check: String, problem: String },
    /// It took too long.
    TimedOut(Duration),
    /// The engine does not know, in its words.
    Engine(String),
}

impl Cause {
    /// Why a container that does not run any more ended. `memory` is its limit.
    pub(crate) fn of_end(info: &ContainerInfo, memory: Option<i64>) -> Self {
        match info.error.as_deref().filter(|text| !text.is_empty()) {
            _ if info.oom_killed => Self::OutOfMemory(memory),
            Some(text) => Self::CannotStart(text.to_owned()),
            None => Self::Exited(info.exit_code.unwrap_or(0)),
        }
    }

    /// The same while there is time left. It changes only when what is seen does.
    pub(crate) fn so_far(&self) -> String {
        if let Self::NotListening { port, found, .. } = self
            && found.is_empty()
        {
            return format!("nothing listens on PORT={port}");
        }
        self.to_string()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotStart(text) => f.write_str(&start_problem(text)),
            Self::Exited(code) => f.write_str(&exit_meaning(*code)),
            Self::OutOfMemory(Some(limit)) => write!(
                f,
                "it ran out of memory and was killed: its limit is {} MB, raise it with resource:limit --memory",
                limit / 1_048_576
            ),
            Self::OutOfMemory(None) => {
                f.write_str("it was killed because the host ran out of memory")
            }
            Self::Restarted => f.write_str("it crashed and had to be started again"),
            Self::NotListening {
                port,
                within,
                found,
            } => f.write_str(&listening_problem(*port, *within, found)),
            Self::Unhealthy(output) => {
                f.write_str("the HEALTHCHECK of its image says that it is unhealthy")?;
                match output.as_deref().map(str::trim) {
                    None | Some("") => Ok(()),
                    Some(output) => write!(f, ": {output}"),
                }
            }
            Self::CheckFailed { check, problem } => write!(f, "{check} failed: {problem}"),
            Self::TimedOut(limit) => write!(f, "it was not done after {}", seconds(*limit)),
            Self::Engine(text) => write!(f, "the container engine says: {text}"),
        }
    }
}

/// `60 s`, `0.2 s`
pub(crate) fn seconds(time: Duration) -> String {
    let seconds = (time.as_secs_f64() * 10.0).round() / 10.0;
    format!("{seconds} s")
}

/// The engine's sentence is a chain of its inner parts' names; the end of it is what matters.
fn start_problem(text: &str) -> String {
    let quoted = text
        .split_once("exec: \"")
        .and_then(|(_, rest)| rest.split_once('"'));
    let Some((program, rest)) = quoted else {
        return format!("its container could not be started: {}", text.trim());
    };
    if rest.contains("permission denied") {
        return format!("its command '{program}' cannot be executed: permission denied");
    }
    if rest.contains("not found") || rest.contains("no such file") {
        return format!("its command '{program}' was not found in the image");
    }
    format!(
        "its command '{program}' could not be started{}",
        rest.trim_end()
    )
}

fn exit_meaning(code: i64) -> String {
    let meaning = match code {
        0 => return "it ended by itself with exit code 0, but a process of an app must go on running".to_owned(),
        126 => "its command cannot be executed",
        127 => "its command was not found",
        134 => "it aborted: SIGABRT",
        137 => "it was killed: SIGKILL",
        139 => "it crashed: SIGSEGV",
        143 => "it was asked to stop: SIGTERM",
        _ => return format!("it exited with code {code}"),
    };
    format!("it exited with code {code} ({meaning})")
}

fn listening_problem(port: u16, within: Duration, found: &[SocketAddr]) -> String {
    if let Some(local) = found.iter().find(|address| address.port() == port) {
        return format!(
            "the app listens on {local}, which only its own container can reach: make it listen on 0.0.0.0:{port} (all interfaces)"
        );
    }
    let mut ports: Vec<_> = found.iter().map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    let list: Vec<_> = ports.iter().map(u16::to_string).collect();
    match list.as_slice() {
        [] => format!(
            "the app does not listen on PORT={port}: nothing did within {}",
            seconds(within)
        ),
        [one] => format!("the app listens on port {one}, not on PORT={port}"),
        many => format!(
            "the app listens on ports {}, not on PORT={port}",
            many.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_listening(found: &[&str]) -> String {
        Cause::NotListening {
            port: 5000,
            within: Duration::from_secs(60),
            found: found.iter().map(|a| a.parse().unwrap()).collect(),
        }
        .to_string()
    }

    #[test]
    fn where_it_listens_instead() {
        assert_eq!(
            not_listening(&["0.0.0.0:3000", "[::]:3000"]),
            "the app listens on port 3000, not on PORT=5000"
        );
        assert_eq!(
            not_listening(&["127.0.0.1:5000"]),
            "the app listens on 127.0.0.1:5000, which only its own container can reach: make it listen on 0.0.0.0:5000 (all interfaces)"
        );
        assert_eq!(
            not_listening(&[]),
            "the app does not listen on PORT=5000: nothing did within 60 s"
        );
        assert!(not_listening(&["[::]:81", "0.0.0.0:80"]).contains("ports 80, 81,"));
    }

    #[test]
    fn while_there_is_time_no_time_is_told() {
        let seen = |found: &[&str], after| {
            Cause::NotListening {
                port: 5000,
                within: Duration::from_secs(after),
                found: found.iter().map(|a| a.parse().unwrap()).collect(),
            }
            .so_far()
        };
        assert_eq!(seen(&[], 5), "nothing listens on PORT=5000");
        assert_eq!(seen(&[], 5), seen(&[], 9));
        let other = "the app listens on port 3000, not on PORT=5000";
        assert_eq!(seen(&["0.0.0.0:3000"], 5), other);
    }

    #[test]
    fn the_engines_words_are_shortened() {
        let runc = |end: &str| {
            Cause::CannotStart(format!(
                "OCI runtime create failed: container_linux.go:367: starting container process caused: {end}: unknown"
            ))
            .to_string()
        };
        for (end, sentence) in [
            (
                r#"exec: "nope": executable file not found in $PATH"#,
                "its command 'nope' was not found in the image",
            ),
            (
                r#"exec: "/start": stat /start: no such file or directory"#,
                "its command '/start' was not found in the image",
            ),
            (
                r#"exec: "./x": permission denied"#,
                "its command './x' cannot be executed: permission denied",
            ),
        ] {
            assert_eq!(runc(end), sentence);
        }
        assert!(runc("mount failed").contains("mount failed"));
    }

    #[test]
    fn exit_codes_are_explained() {
        assert_eq!(Cause::Exited(3).to_string(), "it exited with code 3");
        assert!(Cause::Exited(137).to_string().contains("SIGKILL"));
        assert!(Cause::Exited(143).to_string().contains("SIGTERM"));
        assert!(Cause::Exited(0).to_string().contains("must go on running"));
        let limit = Cause::OutOfMemory(Some(64 << 20)).to_string();
        assert!(limit.contains("64 MB"), "{limit}");
    }
}
