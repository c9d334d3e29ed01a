//! A client's socket with a watch on it: slow heads, idle connections, clients that do not read.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::flat;
use crate::timer::LazyTimer;

const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nx-sarsen-error: H28\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The socket as the HTTP parser sees it.
#[derive(Debug)]
pub(crate) struct ClientIo {
    stream: TcpStream,
    seat: Arc<Seat>,
    limits: ClientLimits,
    timer: LazyTimer,
    wait: Wait,
    // How many requests had been served when `wait` was last looked at.
    served: u32,
    stuck_since: Option<Instant>,
}

/// The timeouts that are watched here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientLimits {
    pub(crate) head: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) write_idle: Duration,
}

/// What the socket and the requests on it know of each other.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    busy: AtomicBool,
    served: AtomicU32,
    // The bytes of the head that arrived last, for checks that the parsed head does not allow.
    head: Mutex<Vec<u8>>,
}

/// Held while a request is being served; says so to the socket.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Seat>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    Further,
}

#[derive(Debug, Clone, Copy)]
enum Wait {
    Fresh,
    ForHead(Instant),
    ForRestOfHead(Instant),
}

// ===== impl Seat =====

impl Seat {
    /// A request's head is complete; its answer is under way until the guard is dropped.
    pub(crate) fn sit(self: &Arc<Self>) -> Busy {
        self.busy.store(true, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Whether the head that arrived last carries a `Content-Length`, even if the parser let it fall for the sake of
    /// `Transfer-Encoding`.
    pub(crate) fn head_has_content_length(&self) -> bool {
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        has_content_length(&head)
    }

    // The head's bytes so far; a new head replaces the one before.
    fn note_head(&self, bytes: &[u8], part: Part) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if part == Part::First {
            head.clear();
        }
        head.extend_from_slice(bytes);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.served.fetch_add(1, Ordering::Relaxed);
        self.0.busy.store(false, Ordering::Relaxed);
    }
}

// ===== impl ClientIo =====

impl ClientIo {
    pub(crate) fn new(stream: TcpStream, seat: Arc<Seat>, limits: ClientLimits) -> Self {
        Self {
            stream,
            seat,
            limits,
            timer: LazyTimer::default(),
            wait: Wait::Fresh,
            served: 0,
            stuck_since: None,
        }
    }

    /// The bare socket, for a tunnel.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn between_requests(&mut self) -> bool {
        let served = self.seat.served.load(Ordering::Relaxed);
        if served != self.served {
            self.served = served;
            self.wait = Wait::Fresh;
        }
        !self.seat.busy.load(Ordering::Relaxed)
    }

    fn note_arrival(&mut self, bytes: &[u8]) {
        if matches!(self.wait, Wait::ForRestOfHead(_)) {
            self.seat.note_head(bytes, Part::Further);
        } else {
            self.seat.note_head(bytes, Part::First);
            self.wait = Wait::ForRestOfHead(Instant::now());
        }
    }

    // Ready when the client kept us waiting for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = match self.wait {
            Wait::ForRestOfHead(since) => since + self.limits.head,
            Wait::ForHead(since) => since + self.limits.keep_alive,
            Wait::Fresh => {
                let now = Instant::now();
                self.wait = Wait::ForHead(now);
                now + self.limits.keep_alive
            }
        };
        std::task::ready!(self.timer.poll(cx, deadline));
        if matches!(self.wait, Wait::ForRestOfHead(_))
            && self.stream.try_write(REQUEST_TIMEOUT).is_err()
        {
            tracing::debug!("a client that was too slow is gone already");
        }
        Poll::Ready(())
    }

    fn poll_progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.stuck_since = None;
            return wrote;
        }
        let since = *self.stuck_since.get_or_insert_with(Instant::now);
        std::task::ready!(self.timer.poll(cx, since + self.limits.write_idle));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if !this.between_requests() {
            return read;
        }
        match read {
            Poll::Ready(Ok(())) => {
                if let Some(bytes) = buf.filled().get(before..).filter(|b| !b.is_empty()) {
                    this.note_arrival(bytes);
                }
                read
            }
            Poll::Ready(Err(_)) => read,
            // No bytes: the parser takes it for the end of the connection.
            Poll::Pending => this.poll_patience(cx).map(Ok),
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.poll_progress(cx, wrote)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = flat::poll_write(&mut self.stream, cx, bufs);
        self.poll_progress(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn has_content_length(head: &[u8]) -> bool {
    head.split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.get(..15))
        .any(|name| name.eq_ignore_ascii_case(b"content-length:"))
}
