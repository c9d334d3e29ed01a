//! Why there is no image. Each sentence is for the person who pushed.

use std::time::Duration;

use sarsen_domain::Invalid;
use sarsen_runtime::RuntimeError;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Something in the source or in the app's settings is not what it must be.
    #[error("{0}")]
    Invalid(#[from] Invalid),
    /// The builder ran and said no; its output says why.
    #[error("{0}")]
    Failed(String),
    /// A buildpack could not be had.
    #[error("Buildpack {name}: {why}")]
    Buildpack {
        /// As it was named.
        name: String,
        /// Its place in the list, from 0.
        place: usize,
        /// What is wrong with it.
        why: String,
    },
    /// An archive holds what must not be unpacked.
    #[error("Refused an archive: {0}")]
    Archive(String),
    /// Somebody cancelled it.
    #[error("The build was cancelled")]
    Cancelled,
    /// No output for too long.
    #[error("The build was stopped: it printed nothing for {}", minutes(.0))]
    Silent(Duration),
    /// Too long altogether.
    #[error("The build was stopped: it took longer than {}", minutes(.0))]
    TooLong(Duration),
    /// The source could not be read.
    #[error("The source cannot be read: {0}")]
    Source(String),
    /// The container engine failed us.
    #[error("{0}")]
    Engine(#[from] RuntimeError),
    /// The host failed us.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        source: std::io::Error,
    },
}

impl BuildError {
    /// For `map_err` around what the host does.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

fn minutes(duration: &Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 120 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    }
}
