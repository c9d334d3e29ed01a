//! What scripts read: nothing, or one stream that all scripts of a chain share.

use std::io::{self, PipeReader, pipe};
use std::os::fd::OwnedFd;

use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::unix::pipe::Sender;

/// What scripts read.
pub enum Stdin {
    /// Nothing.
    Empty,
    /// This; what one script leaves, the next one reads.
    From(Box<dyn AsyncRead + Send + Unpin>),
}

/// The reading end, to be handed to each script.
pub(crate) struct Shared(Option<PipeReader>);

impl Shared {
    pub(crate) const fn empty() -> Self {
        Self(None)
    }

    pub(crate) const fn pipe(&self) -> Option<&PipeReader> {
        self.0.as_ref()
    }
}

/// Runs `work` with the shared input, which is filled at the pace at which it is read.
pub(crate) async fn feeding<T, F>(stdin: Stdin, work: impl FnOnce(Shared) -> F) -> io::Result<T>
where
    F: Future<Output = T>,
{
    let Stdin::From(mut source) = stdin else {
        return Ok(work(Shared(None)).await);
    };
    let (reader, writer) = pipe()?;
    let mut writer = Sender::from_owned_fd(OwnedFd::from(writer))?;
    let feed = async move {
        // A script may leave its input unread; what it does still counts.
        if let Err(error) = tokio::io::copy(&mut source, &mut writer).await {
            tracing::debug!(%error, "the input of a script ended");
        }
        writer.shutdown().await.ok();
        drop(writer);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = work(Shared(Some(reader))) => Ok(done),
        () = feed => Err(io::Error::other("unreachable: the feed never ends")),
    }
}
