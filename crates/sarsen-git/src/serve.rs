//! The wire protocol: `git receive-pack`, `upload-pack` and `upload-archive` between a client and a repository.

use std::path::PathBuf;

use sarsen_domain::AppName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::error::GitError;
use crate::repos::Repos;

/// The client's streams.
pub struct GitIo {
    /// What the client sends.
    pub stdin: Box<dyn AsyncRead + Send + Unpin>,
    /// What it reads.
    pub stdout: Box<dyn AsyncWrite + Send + Unpin>,
    /// What is shown to the person.
    pub stderr: Box<dyn AsyncWrite + Send + Unpin>,
    /// Cancelled when the client is gone.
    pub gone: CancellationToken,
}

/// What the hook of a push is told.
#[derive(Debug, Clone, Default)]
pub struct ReceiveOptions {
    /// Names this push to the daemon: the hook's `SARSEN_PUSH_TOKEN`.
    pub token: String,
    /// Where the hook reaches the daemon: `SARSEN_SOCKET`.
    pub socket: PathBuf,
    /// The client's `GIT_PROTOCOL`.
    pub git_protocol: Option<String>,
    /// More variables for the hook.
    pub env: Vec<(String, String)>,
}

impl Repos {
    /// Takes a push; the exit code is git's. `GitError::Gone` when the client left in the middle.
    pub async fn receive_pack(
        &self,
        _app: &AppName,
        _options: &ReceiveOptions,
        _io: GitIo,
    ) -> Result<i32, GitError> {
        Ok(0)
    }

    /// Serves a fetch or a clone.
    pub async fn serve_upload_pack(
        &self,
        _app: &AppName,
        _git_protocol: Option<&str>,
        _io: GitIo,
    ) -> Result<i32, GitError> {
        Ok(0)
    }

    /// Serves `git archive --remote`.
    pub async fn upload_archive(&self, _app: &AppName, _io: GitIo) -> Result<i32, GitError> {
        Ok(0)
    }
}
