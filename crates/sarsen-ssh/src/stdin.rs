//! What the client sends to a command, kept until the command reads it. Filling it never waits: see `Feed::window`.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;
use tokio::time::timeout;

/// What a client may send ahead of a command that reads.
pub(crate) const WINDOW: u32 = 2 * 1024 * 1024;
/// Above this the client is slowed down.
const FULL: usize = 1024 * 1024;
/// Above this (several channels of one connection can get there together) the whole connection waits.
const TOO_FULL: usize = 32 * 1024 * 1024;
/// What a slowed down client may send at a time.
const TRICKLE: u32 = 2;
const TRICKLE_PAUSE: Duration = Duration::from_millis(20);

/// The filling end.
#[derive(Debug, Clone)]
pub(crate) struct Feed(Arc<Shared>);

/// The command's end.
#[derive(Debug)]
pub(crate) struct Stdin(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    space: Notify,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    ended: bool,
    abandoned: bool,
    reader: Option<Waker>,
}

/// Both ends of an empty standard input.
pub(crate) fn pipe() -> (Feed, Stdin) {
    let shared = Arc::new(Shared::default());
    (Feed(Arc::clone(&shared)), Stdin(shared))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Keeps the bytes, or throws them away when nobody will read them.
    pub(crate) fn push(&self, bytes: &[u8]) {
        let mut state = self.0.state();
        if state.abandoned || state.ended {
            return;
        }
        state.bytes.extend(bytes);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        let mut state = self.0.state();
        state.ended = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// How much the client may send after what it sent so far.
    ///
    /// The protocol library refills a channel's window whenever data arrives, read or not; all it lets us choose is how far.
    /// Refusing to take data would block every channel of the connection, window updates for our own output among them, which can
    /// lock both sides for good. So a command that does not read makes its client trickle: two bytes, a pause, two bytes, until
    /// there is room again. Memory stays bounded, and the connection lives.
    pub(crate) fn window(&self) -> u32 {
        if self.0.state().bytes.len() > FULL {
            TRICKLE
        } else {
            WINDOW
        }
    }

    /// To be awaited after each push of `length` bytes.
    pub(crate) async fn pace(&self, length: usize) {
        let waiting = self.0.state().bytes.len();
        if waiting > TOO_FULL {
            self.room(TOO_FULL).await;
        } else if waiting > FULL && length <= TRICKLE as usize {
            // Either way the next packet is taken.
            timeout(TRICKLE_PAUSE, self.room(FULL)).await.ok();
        }
    }

    async fn room(&self, limit: usize) {
        loop {
            let space = self.0.space.notified();
            if self.0.state().bytes.len() <= limit {
                return;
            }
            space.await;
        }
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        if state.bytes.is_empty() {
            if state.ended {
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        let (front, _) = state.bytes.as_slices();
        let length = front.len().min(buffer.remaining());
        buffer.put_slice(front.get(..length).unwrap_or(front));
        state.bytes.drain(..length);
        drop(state);
        self.0.space.notify_one();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.abandoned = true;
        state.bytes = VecDeque::new();
        drop(state);
        self.0.space.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn bytes_come_in_order_and_end() {
        let (feed, mut stdin) = pipe();
        feed.push(b"one ");
        feed.push(b"two");
        feed.end();
        feed.push(b"late");
        let mut text = String::new();
        stdin.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "one two");
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let (feed, mut stdin) = pipe();
        let mut byte = [0];
        let (read, ()) = tokio::join!(stdin.read_exact(&mut byte), async { feed.push(b"x") });
        read.unwrap();
        assert_eq!(&byte, b"x");
    }

    #[tokio::test]
    async fn an_idle_reader_slows_the_client_down_and_a_gone_one_does_not() {
        let (feed, stdin) = pipe();
        assert_eq!(feed.window(), WINDOW);
        feed.push(&vec![0; FULL + 1]);
        assert_eq!(feed.window(), TRICKLE);
        let paced = timeout(Duration::from_secs(5), feed.pace(1)).await;
        assert!(paced.is_ok(), "a trickle only pauses");
        drop(stdin);
        assert_eq!(feed.window(), WINDOW);
        feed.push(&vec![0; FULL + 1]);
        assert_eq!(feed.window(), WINDOW);
    }

    #[tokio::test]
    async fn far_too_much_waits_for_the_reader() {
        let (feed, stdin) = pipe();
        feed.push(&vec![0; TOO_FULL + 1]);
        let waiting = feed.pace(32 * 1024);
        tokio::pin!(waiting);
        let early = timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err());
        drop(stdin);
        timeout(Duration::from_secs(5), waiting).await.unwrap();
    }
}
