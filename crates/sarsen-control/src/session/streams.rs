//! A command's standard output and error as one queue, so that a front door sends them on in the order they were written.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// A larger write is cut, so that the queue's length in bytes is bounded as well.
const CHUNK: usize = 32 * 1024;

/// What a command wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To its standard output.
    Stdout(Bytes),
    /// To its standard error.
    Stderr(Bytes),
}

/// The writing end of one of the two streams. A write waits while the queue is full and fails once nobody reads it.
pub struct Outlet {
    queue: PollSender<Output>,
    label: fn(Bytes) -> Output,
}

/// Standard output, standard error, and the queue both end in. `length` chunks may wait in it.
pub fn outlets(length: usize) -> (Outlet, Outlet, mpsc::Receiver<Output>) {
    let (sender, receiver) = mpsc::channel(length);
    let outlet = |label| Outlet {
        queue: PollSender::new(sender.clone()),
        label,
    };
    (outlet(Output::Stdout), outlet(Output::Stderr), receiver)
}

impl AsyncWrite for Outlet {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let reserved = ready!(self.queue.poll_reserve(context));
        let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
        let item = (self.label)(Bytes::copy_from_slice(chunk));
        let sent = reserved.and_then(|()| self.queue.send_item(item));
        Poll::Ready(match sent {
            Ok(()) => Ok(chunk.len()),
            Err(_) => Err(io::Error::new(ErrorKind::BrokenPipe, "the caller is gone")),
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue.close();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn both_streams_keep_their_common_order() {
        let (mut out, mut err, mut queue) = outlets(4);
        out.write_all(b"one").await.unwrap();
        err.write_all(b"two").await.unwrap();
        out.write_all(b"three").await.unwrap();
        assert_eq!(queue.recv().await, Some(Output::Stdout("one".into())));
        assert_eq!(queue.recv().await, Some(Output::Stderr("two".into())));
        assert_eq!(queue.recv().await, Some(Output::Stdout("three".into())));
        drop((out, err));
        assert_eq!(queue.recv().await, None);
    }

    #[tokio::test]
    async fn a_full_queue_holds_the_writer_up_and_a_dropped_one_fails_it() {
        let (mut out, _err, mut queue) = outlets(1);
        let writer = out.write_all(&[7; 3 * CHUNK]);
        tokio::pin!(writer);
        assert!(futures_util::poll!(&mut writer).is_pending());
        assert_eq!(
            queue.recv().await,
            Some(Output::Stdout(vec![7; CHUNK].into()))
        );
        drop(queue);
        assert_eq!(writer.await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }
}
