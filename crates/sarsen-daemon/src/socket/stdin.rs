//! A command's standard input, asked for chunk by chunk when the command reads.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// The command's end.
pub(super) struct Stdin {
    pulls: mpsc::Sender<()>,
    chunks: mpsc::Receiver<Vec<u8>>,
    chunk: Vec<u8>,
    taken: usize,
    pulled: bool,
}

/// The client's end; dropped at the end of the input.
pub(super) struct Source(mpsc::Sender<Vec<u8>>);

/// Both ends. Never more than one pull is open, hence the capacities.
/// The receiver gets the wishes for a chunk.
pub(super) fn pulled() -> (Stdin, Source, mpsc::Receiver<()>) {
    let (pulls, wishes) = mpsc::channel(1);
    let (source, chunks) = mpsc::channel(1);
    let stdin = Stdin {
        pulls,
        chunks,
        chunk: Vec::new(),
        taken: 0,
        pulled: false,
    };
    (stdin, Source(source), wishes)
}

impl Source {
    /// A chunk from the client. False when nobody asked for it.
    pub(super) fn give(&self, chunk: Vec<u8>) -> bool {
        match self.0.try_send(chunk) {
            // Closed: the command reads no more, so the chunk interests nobody.
            Ok(()) | Err(TrySendError::Closed(_)) => true,
            Err(TrySendError::Full(_)) => false,
        }
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.taken >= self.chunk.len() {
            if !self.pulled {
                // Full: a pull is open already. Closed: the end is near, and the chunks' channel says so.
                self.pulled = self.pulls.try_send(()).is_ok();
            }
            let Some(chunk) = ready!(self.chunks.poll_recv(context)) else {
                return Poll::Ready(Ok(()));
            };
            self.chunk = chunk;
            self.taken = 0;
            self.pulled = false;
        }
        let left = self.chunk.get(self.taken..).unwrap_or_default();
        let length = left.len().min(buffer.remaining());
        buffer.put_slice(left.get(..length).unwrap_or_default());
        self.taken += length;
        Poll::Ready(Ok(()))
    }
}
