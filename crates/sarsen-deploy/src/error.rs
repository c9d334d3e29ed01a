//! Why a deploy did not work. Every display is a sentence that says what to change.

use std::net::SocketAddr;
use std::time::Duration;

use sarsen_domain::{Invalid, ProcessType};
use sarsen_runtime::RuntimeError;

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
    /// The caller gave up.
    #[error("The deploy was cancelled")]
    Cancelled,
    /// Nothing runs in it.
    #[error("Container {0} is not running")]
    NotRunning(String),
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
    /// The kernel killed it for its memory; the limit in bytes if there is one.
    OutOfMemory(Option<i64>),
    /// It was started again by the engine while it should have been running.
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
    /// The engine stopped answering; its words.
    Engine(String),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
