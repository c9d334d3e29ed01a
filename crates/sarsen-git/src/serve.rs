//! The wire protocol: `git receive-pack`, `upload-pack` and `upload-archive` between a client and a repository.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use sarsen_domain::AppName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::child::{Git, Process};
use crate::error::GitError;
use crate::quarantine::Active;
use crate::repos::Repos;

/// How long output may still come after git itself has ended: a hook may leave somebody behind who holds the pipe.
const DRAIN: Duration = Duration::from_secs(5);
const CHUNK: usize = 32 * 1024;

/// Faults of old, honest histories. Everything else that git's check knows is an error.
const HARMLESS: [&str; 6] = [
    "zeroPaddedFilemode",
    "missingSpaceBeforeDate",
    "badTimezone",
    "missingNameBeforeEmail",
    "missingTaggerEntry",
    "badTagName",
];

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
        app: &AppName,
        options: &ReceiveOptions,
        io: GitIo,
    ) -> Result<i32, GitError> {
        let mut git = self
            .git("take the push", "receive-pack")
            .config("core.hooksPath", self.hooks().to_string_lossy())
            .config(
                "receive.maxInputSize",
                self.settings().max_pack_bytes.to_string(),
            )
            .config("receive.advertisePushOptions", "true")
            .config("receive.autogc", "false")
            // CI clones are shallow, and a deploy needs no history.
            .config("receive.shallowUpdate", "true")
            // Which branches may go is our rule: `plan_push`.
            .config("receive.denyDeleteCurrent", "ignore")
            .config("transfer.unpackLimit", "100");
        let path = self.needed(app)?;
        git = checked(git, "receive").arg(&path);
        for (key, value) in &options.env {
            git = git.env(key, value);
        }
        git = git
            .env("SARSEN_PUSH_TOKEN", &options.token)
            .env("SARSEN_SOCKET", &options.socket);
        let git = with_protocol(git, options.git_protocol.as_deref());
        let active = self.pushes().begin(&path);
        converse(&git, io, Some(active)).await
    }

    /// Serves a fetch or a clone.
    pub async fn serve_upload_pack(
        &self,
        app: &AppName,
        git_protocol: Option<&str>,
        io: GitIo,
    ) -> Result<i32, GitError> {
        let git = self
            .git("serve the fetch", "upload-pack")
            .config("uploadpack.allowFilter", "true")
            .arg("--strict")
            .arg(self.needed(app)?);
        converse(&with_protocol(git, git_protocol), io, None).await
    }

    /// Serves `git archive --remote`.
    pub async fn upload_archive(&self, app: &AppName, io: GitIo) -> Result<i32, GitError> {
        let git = self
            .git("serve the archive", "upload-archive")
            .arg(self.needed(app)?);
        converse(&git, io, None).await
    }
}

/// Has every object checked that comes in, by `receive.fsck…` or `fetch.fsck…`.
pub(crate) fn checked(git: Git, section: &str) -> Git {
    HARMLESS.iter().fold(
        git.config(&format!("{section}.fsckObjects"), "true"),
        |git, fault| git.config(&format!("{section}.fsck.{fault}"), "ignore"),
    )
}

/// The variable comes from the client: only what git's clients say is passed on.
fn with_protocol(git: Git, protocol: Option<&str>) -> Git {
    let known = |text: &&str| {
        text.len() <= 64
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"=:._-".contains(&b))
    };
    match protocol.filter(known) {
        Some(protocol) => git.env("GIT_PROTOCOL", protocol),
        None => git,
    }
}

/// Lets the client and git talk until git ends or the client leaves.
async fn converse(git: &Git, io: GitIo, active: Option<Active>) -> Result<i32, GitError> {
    let gone = io.gone.clone();
    let mut process = git.start(Stdio::piped())?;
    process.active = active;
    let end = tokio::select! {
        biased;
        () = gone.cancelled() => None,
        end = relay(&mut process, io) => end.map_err(|error| git.failed(&error.to_string()))?,
    };
    let Some(status) = end else {
        process.stop().await;
        return Err(GitError::Gone);
    };
    process.ended();
    Ok(exit_code(status))
}

/// Copies in all three directions; None when the client no longer reads.
async fn relay(process: &mut Process, io: GitIo) -> io::Result<Option<ExitStatus>> {
    let child = process.child()?;
    let lost = || io::Error::other("a pipe is missing");
    let to_git = child.stdin.take().ok_or_else(lost)?;
    let out = child.stdout.take().ok_or_else(lost)?;
    let err = child.stderr.take().ok_or_else(lost)?;
    let mut input = pin!(copy(io.stdin, to_git));
    let mut output = pin!(async { tokio::try_join!(copy(out, io.stdout), copy(err, io.stderr)) });
    let (mut reading, mut writing) = (true, true);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            done = &mut output, if writing => match done {
                Ok(_) => writing = false,
                Err(_) => return Ok(None),
            },
            // Git closes its end when it has read enough, and sees ours closed when the client is done.
            _ = &mut input, if reading => reading = false,
        }
    };
    if writing && tokio::time::timeout(DRAIN, &mut output).await.is_err() {
        process.kill_rest();
    }
    Ok(Some(status))
}

/// Passes on each piece as it comes.
async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = from.read(&mut buffer).await?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
            return Ok(());
        };
        to.write_all(chunk).await?;
        to.flush().await?;
    }
}

/// What a shell would say: 128 and the signal's number for one that was killed.
fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

#[cfg(test)]
mod tests;
