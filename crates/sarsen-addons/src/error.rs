//! What can go wrong; each reads as a sentence for the person who gave the command.

use std::path::PathBuf;

use sarsen_domain::{ImageRef, Invalid};
use sarsen_runtime::RuntimeError;

/// A `service.toml` that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// The file cannot be read.
    #[error("Cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file says something that no addon can mean.
    #[error("{place}: {problem}")]
    Invalid {
        /// The file.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// Why a service cannot be made, started or used.
#[derive(Debug, thiserror::Error)]
pub enum AddonError {
    /// The engine's reason.
    #[error(transparent)]
    Engine(#[from] RuntimeError),
    /// A name that the engine would not take.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The image is neither here nor to be had.
    #[error("The image {image} is not on this host and cannot be pulled: {reason}")]
    NoImage {
        /// The image.
        image: ImageRef,
        /// Why it cannot be pulled.
        reason: String,
    },
    /// Somebody else's container has the service's name.
    #[error("There is a container {0} that is not of this installation: remove or rename it first")]
    NameTaken(String),
    /// The service ended instead of becoming ready.
    #[error("The service ended with exit code {code} instead of becoming ready:\n{output}")]
    Ended {
        /// Its exit code.
        code: i64,
        /// The last it said.
        output: String,
    },
    /// It runs but does not answer.
    #[error("The service was not ready after {seconds} s:\n{output}")]
    NotReady {
        /// How long it had.
        seconds: u64,
        /// The last it said.
        output: String,
    },
    /// A command needs a service that runs.
    #[error("Service {0} is not running: start it first")]
    NotRunning(String),
    /// A command in a service failed.
    #[error("{what} failed with exit code {code}: {output}")]
    Failed {
        /// What was to be done.
        what: &'static str,
        /// The command's exit code.
        code: i64,
        /// The last it said.
        output: String,
    },
    /// A file cannot be read, written or moved.
    #[error("{what}: {source}")]
    File {
        /// What was to be done.
        what: String,
        /// Why it cannot be.
        source: std::io::Error,
    },
    /// A storage refuses, or does not answer.
    #[error("{0}")]
    Storage(String),
    /// An import needs a copy of what it replaces, or the addon has no such command.
    #[error("{0}")]
    Unsupported(String),
}
