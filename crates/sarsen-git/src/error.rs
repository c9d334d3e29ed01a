//! What can go wrong with a repository, as sentences.

use sarsen_domain::{AppName, CommitId};

/// A failure of git or of a repository.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// A git process ended badly, or could not be started.
    #[error("git could not {action}: {detail}")]
    Command {
        /// What was attempted: `start receive-pack`, `create the repository`.
        action: String,
        /// The last words of git, or of the operating system.
        detail: String,
    },
    /// A file or folder of ours could not be used.
    #[error("Could not {action}: {source}")]
    Io {
        /// What was attempted.
        action: String,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// An object or a ref could not be read.
    #[error("The repository could not be read: {0}")]
    Object(#[from] git2::Error),
    /// The commit is in neither the repository nor the push.
    #[error("Commit {0} is not in the repository; push it first")]
    NoCommit(CommitId),
    /// The app has no repository.
    #[error("{0} has no repository")]
    NoRepository(AppName),
    /// A name is in use.
    #[error("{0} has a repository already")]
    Taken(AppName),
    /// The folder to build from is not in the commit.
    #[error("The folder '{0}' is not in the commit; check the build directory")]
    NoDirectory(String),
    /// A tree holds what no honest tree holds, or more than the limits allow.
    #[error("The source cannot be used: {0}")]
    Refused(String),
    /// A submodule could not be filled in.
    #[error("Submodule '{path}' could not be fetched: {reason}")]
    Submodule {
        /// Where it belongs in the tree.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The person at the other end is gone, or the work was stopped.
    #[error("The connection ended before git was done")]
    Gone,
}

impl GitError {
    /// An `Io` error of this action.
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.into();
        move |source| Self::Io { action, source }
    }
}
