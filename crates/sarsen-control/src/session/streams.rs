//! A command's standard output and error as one queue, so that a front door sends them on in the order they were written.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use sarsen_runtime::StdStream;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::{Terminal, TerminalMode};

/// A larger write is cut, so that the queue's length in bytes is bounded as well.
const CHUNK: usize = 32 * 1024;

/// What a command wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where to.
    pub stream: StdStream,
    /// How the terminal, if there is one, was when it wrote.
    pub mode: TerminalMode,
    pub bytes: Bytes,
}

/// The writing end of one of the two streams. A write waits while the queue is full and fails once nobody reads it.
pub struct Outlet {
    queue: PollSender<Output>,
    stream: StdStream,
    terminal: Option<Terminal>,
}

/// Standard output, standard error, and the queue both end in. `length` chunks may wait in it.
pub fn outlets(
    length: usize,
    terminal: Option<&Terminal>,
) -> (Outlet, Outlet, mpsc::Receiver<Output>) {
    let (sender, receiver) = mpsc::channel(length);
    let outlet = |stream| Outlet {
        queue: PollSender::new(sender.clone()),
        stream,
        terminal: terminal.cloned(),
    };
    (
        outlet(StdStream::Stdout),
        outlet(StdStream::Stderr),
        receiver,
    )
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
        let item = Output {
            stream: self.stream,
            mode: self
                .terminal
                .as_ref()
                .map_or(TerminalMode::Line, Terminal::mode),
            bytes: Bytes::copy_from_slice(chunk),
        };
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
    use sarsen_runtime::TtySize;
    use tokio::io::AsyncWriteExt;
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn both_streams_keep_their_common_order() {
        let (mut out, mut err, mut queue) = outlets(4, None);
        out.write_all(b"one").await.unwrap();
        err.write_all(b"two").await.unwrap();
        out.write_all(b"three").await.unwrap();
        drop((out, err));
        let mut seen = Vec::new();
        while let Some(output) = queue.recv().await {
            seen.push((output.stream, output.bytes));
        }
        let (out, err) = (StdStream::Stdout, StdStream::Stderr);
        let written = [
            (out, "one".into()),
            (err, "two".into()),
            (out, "three".into()),
        ];
        assert_eq!(seen, written);
    }

    #[tokio::test]
    async fn a_full_queue_holds_the_writer_up_and_a_dropped_one_fails_it() {
        let (mut out, _err, mut queue) = outlets(1, None);
        let writer = out.write_all(&[7; 3 * CHUNK]);
        tokio::pin!(writer);
        assert!(futures_util::poll!(&mut writer).is_pending());
        assert_eq!(queue.recv().await.unwrap().bytes, [7; CHUNK][..]);
        drop(queue);
        assert_eq!(writer.await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn output_remembers_its_mode() {
        let (_size, sizes) = watch::channel(TtySize {
            columns: 80,
            rows: 24,
        });
        let (terminal, _changes) = Terminal::new("xterm".to_owned(), sizes);
        let (mut out, _err, mut queue) = outlets(4, Some(&terminal));
        out.write_all(b"line").await.unwrap();
        let raw = terminal.raw();
        out.write_all(b"raw").await.unwrap();
        drop(raw);
        out.write_all(b"line").await.unwrap();
        for mode in [TerminalMode::Line, TerminalMode::Raw, TerminalMode::Line] {
            assert_eq!(queue.recv().await.unwrap().mode, mode);
        }
    }
}
