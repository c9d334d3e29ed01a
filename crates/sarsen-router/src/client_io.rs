//! A client's socket with a watch on it: slow heads, idle connections, clients that do not read.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::Method;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::greet::Version;
use crate::stream::Stream;
use crate::timer::LazyTimer;

const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nx-sarsen-error: H28\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// The socket as the HTTP parser sees it.
#[derive(Debug)]
pub(crate) struct ClientIo {
    stream: Stream,
    // What was read before there was a parser.
    early: Bytes,
    version: Version,
    seat: Arc<Seat>,
    limits: ClientLimits,
    timer: LazyTimer,
    wait: Wait,
    // How many requests had been served when `wait` was last looked at.
    served: u32,
    stuck_since: Option<Instant>,
    farewell: Option<Farewell>,
}

/// A client that is still sending when it has its answer would lose the answer if the socket were closed at once.
#[derive(Debug)]
struct Farewell {
    since: Instant,
    last: Instant,
    is_sending: bool,
}

/// How long such a client is listened to in all, and in silence.
pub(crate) const FAREWELL: Duration = Duration::from_secs(30);
pub(crate) const FAREWELL_SILENCE: Duration = Duration::from_secs(2);

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
    // Requests being served: one at most, but in HTTP/2.
    busy: AtomicU32,
    served: AtomicU32,
    // Some request had a body, and may have had its answer before that was all there.
    had_body: AtomicBool,
    // A body that nobody wanted was listened to for long enough.
    is_heard_out: AtomicBool,
    // Streams of HTTP/2 that got their whole answer, and those that were given up.
    completed: AtomicU32,
    given_up: AtomicU32,
    // The bytes of the head that arrived last, for checks that the parsed head does not allow; and how many requests
    // were made of what arrived since it began.
    head: Mutex<Vec<u8>>,
    heads: AtomicU32,
    // The connection ends with the request under way.
    is_last: AtomicBool,
}

/// How the length of a request in chunks is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Once,
    /// By a `Content-Length` as well, even if the parser let it fall.
    Twice,
    /// Its head came along with something else, and was not looked at.
    Unknown,
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
        self.busy.fetch_add(1, Ordering::Relaxed);
        self.heads.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// The request was answered, and the rest of its body is taken to nowhere until the guard is dropped.
    pub(crate) fn linger(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(self))
    }

    /// Nothing more is expected of this client.
    pub(crate) fn hear_no_more(&self) {
        self.is_heard_out.store(true, Ordering::Relaxed);
    }

    /// The request has a body.
    pub(crate) fn note_body(&self) {
        self.had_body.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// A stream of HTTP/2 got its whole answer.
    pub(crate) fn note_completed(&self) {
        self.completed.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream of HTTP/2 ended without its whole answer.
    pub(crate) fn note_given_up(&self) {
        self.given_up.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn completed(&self) -> u32 {
        self.completed.load(Ordering::Relaxed)
    }

    pub(crate) fn given_up(&self) -> u32 {
        self.given_up.load(Ordering::Relaxed)
    }

    /// What the head of the request under way says about its length, beside that it comes in chunks.
    pub(crate) fn framing(&self, method: &Method) -> Framing {
        if self.heads.load(Ordering::Relaxed) != 1 {
            return Framing::Unknown;
        }
        let head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        framing(&head, method)
    }

    /// Nothing that comes after the request under way is read.
    pub(crate) fn end_with_this(&self) {
        self.is_last.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_last(&self) -> bool {
        self.is_last.load(Ordering::Relaxed)
    }

    // The head's bytes so far; a new head replaces the one before.
    fn note_head(&self, bytes: &[u8], part: Part) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if part == Part::First {
            self.heads.store(0, Ordering::Relaxed);
            head.clear();
        }
        head.extend_from_slice(bytes);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.served.fetch_add(1, Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

// ===== impl ClientIo =====

impl ClientIo {
    pub(crate) fn new(
        (stream, early): (Stream, Bytes),
        version: Version,
        seat: Arc<Seat>,
        limits: ClientLimits,
    ) -> Self {
        Self {
            stream,
            early,
            version,
            seat,
            limits,
            timer: LazyTimer::default(),
            wait: Wait::Fresh,
            served: 0,
            stuck_since: None,
            farewell: None,
        }
    }

    /// The bare socket, for a tunnel.
    pub(crate) fn into_stream(self) -> Stream {
        self.stream
    }

    fn between_requests(&mut self) -> bool {
        let served = self.seat.served.load(Ordering::Relaxed);
        if served != self.served {
            self.served = served;
            self.wait = Wait::Fresh;
        }
        !self.seat.is_busy()
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
        if matches!(self.wait, Wait::ForRestOfHead(_)) {
            // As far as it goes at once: nobody waits for a client that is too slow.
            let sent = Pin::new(&mut self.stream).poll_write(cx, REQUEST_TIMEOUT);
            if sent.is_ready() && Pin::new(&mut self.stream).poll_flush(cx).is_pending() {
                tracing::debug!("a client that was too slow does not read either");
            }
        }
        Poll::Ready(())
    }

    // Takes what the client is still sending to nowhere, until it has noticed that nobody listens.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let now = Instant::now();
        let farewell = self.farewell.get_or_insert(Farewell {
            since: now,
            last: now,
            is_sending: self.seat.had_body.load(Ordering::Relaxed),
        });
        let is_heard_out = self.seat.is_heard_out.load(Ordering::Relaxed);
        // Of several streams it was only one.
        if is_heard_out && self.version == Version::Http1 {
            return Poll::Ready(Ok(()));
        }
        let mut space = [MaybeUninit::uninit(); 4096];
        loop {
            let mut space = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut space) {
                Poll::Ready(Ok(())) if !space.filled().is_empty() => {
                    farewell.is_sending = true;
                    farewell.last = Instant::now();
                    if farewell.since.elapsed() > FAREWELL {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending if farewell.is_sending => {
                    let end = farewell.last + FAREWELL_SILENCE;
                    return self.timer.poll(cx, end).map(Ok);
                }
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
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
        let read = if this.early.is_empty() {
            Pin::new(&mut this.stream).poll_read(cx, buf)
        } else {
            let first = this.early.len().min(buf.remaining());
            buf.put_slice(this.early.get(..first).unwrap_or_default());
            this.early.advance(first);
            Poll::Ready(Ok(()))
        };
        // Connections of HTTP/2 are watched as a whole, and their streams one by one.
        if this.version == Version::Http2 || !this.between_requests() {
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
        if self.farewell.is_none() {
            std::task::ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        self.poll_farewell(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.poll_progress(cx, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

fn framing(head: &[u8], method: &Method) -> Framing {
    let mut lines = head
        .split(|b| *b == b'\n')
        .map(<[u8]>::trim_ascii_end)
        .skip_while(|line| line.is_empty())
        .take_while(|line| !line.is_empty());
    // Else it is not the beginning of this request that was seen.
    let first = lines.next().unwrap_or_default();
    let rest = first.strip_prefix(method.as_str().as_bytes());
    if !rest.is_some_and(|rest| rest.starts_with(b" ")) {
        return Framing::Unknown;
    }
    let is_length = |line: &[u8]| {
        let name = line.get(..15);
        name.is_some_and(|name| name.eq_ignore_ascii_case(b"content-length:"))
    };
    if lines.any(is_length) {
        Framing::Twice
    } else {
        Framing::Once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beside_chunks_is_found_in_the_right_head_only() {
        for (head, said) in [
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Framing::Once,
            ),
            (
                "\r\n\nPOST / HTTP/1.1\nX: a\ncontent-LENGTH: 1\n\n",
                Framing::Twice,
            ),
            // What the body says does not count.
            (
                "POST / HTTP/1.1\r\nX: a\r\n\r\nContent-Length: 1\r\n",
                Framing::Once,
            ),
            ("Transfer-Encoding: chunked\r\n\r\n", Framing::Unknown),
            ("GET / HTTP/1.1\r\n\r\n", Framing::Unknown),
            ("", Framing::Unknown),
        ] {
            assert_eq!(framing(head.as_bytes(), &Method::POST), said, "{head:?}");
        }
    }
}
