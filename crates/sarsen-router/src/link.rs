//! One connection to an upstream, driven by the task that uses it.

use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::unconstrained;
use tokio::time::Instant;

use crate::body::{BodyWatch, RequestBody};
use crate::failure::Failure;
use crate::flat;
use crate::head;
use crate::settings::RouterSettings;
use crate::timer::LazyTimer;
use crate::upstream::UpstreamState;
use crate::workers;

mod linked_body;
mod wire;

use wire::Wire;

pub(crate) use linked_body::{BodyEnd, LinkedBody};

/// A connection to an upstream. Nothing happens on it unless somebody polls it: the request while it waits for the
/// response's head, then the response's body; at rest in the pool it is only looked at.
pub(crate) struct Link {
    wire: Wire,
    ended: bool,
    // The upstream has said that it will close the connection.
    is_last: bool,
    // The body of the last request, if it had one.
    sent: Option<Arc<BodyWatch>>,
    meter: Arc<Meter>,
    timer: LazyTimer,
    parked: Instant,
    /// The thread whose runtime watches the socket.
    pub(crate) home: usize,
}

/// Why a request got no response on a link.
#[derive(Debug)]
pub(crate) enum SendError {
    /// Nothing of it was written; here it is again.
    Unsent(Box<Request<RequestBody>>),
    /// The connection ended before the first byte of a response.
    NoByte,
    /// Anything else.
    Failed(Failure),
}

/// Bytes that went over a link.
#[derive(Debug, Default)]
struct Meter {
    read: AtomicU64,
    written: AtomicU64,
}

/// Whether an upstream has begun to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Nothing,
    Something,
}

type Unsent = hyper::client::conn::TrySendError<Request<RequestBody>>;

#[derive(Debug)]
struct MeteredIo {
    stream: TcpStream,
    meter: Arc<Meter>,
}

/// How far an exchange has come, to tell a slow one from a dead one.
#[derive(Debug)]
struct Progress {
    seen: u64,
    since: Instant,
}

// ===== impl Link =====

impl Link {
    /// Connects to an upstream.
    pub(crate) async fn connect(
        upstream: &UpstreamState,
        timeout: Duration,
    ) -> Result<Box<Self>, Failure> {
        let address = upstream.address;
        let stream = match tokio::time::timeout(timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(upstream.address = %address, %error, "an upstream cannot be reached");
                return Err(Failure::Refused);
            }
            Err(_) => return Err(Failure::ConnectTimeout),
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let meter = Arc::new(Meter::default());
        let io = MeteredIo {
            stream,
            meter: Arc::clone(&meter),
        };
        let wire = Wire::open(upstream.kind, io)
            .await
            .map_err(|_| Failure::Refused)?;
        Ok(Box::new(Self {
            wire,
            ended: false,
            is_last: false,
            sent: None,
            meter,
            timer: LazyTimer::default(),
            parked: Instant::now(),
            home: workers::current(),
        }))
    }

    /// Sends a request and waits for the response's head.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
        settings: &RouterSettings,
    ) -> Result<Response<Incoming>, SendError> {
        let watch = request.body().watch();
        self.sent.clone_from(&watch);
        let read_before = self.meter.read();
        let mut progress = Progress::new();
        // Only driving the connection can bring the answer, so nobody need be woken by it; and a budget that runs out
        // must not hide it.
        let mut sending = pin!(unconstrained(self.wire.send(request)));
        let answer = std::future::poll_fn(|cx| {
            self.drive(cx);
            let mut nobody = Context::from_waker(Waker::noop());
            if let Poll::Ready(answer) = sending.as_mut().poll(&mut nobody) {
                return Poll::Ready(Some(answer));
            }
            let patience = match watch.as_deref().filter(|w| w.is_waiting()) {
                Some(_) => settings.idle_timeout,
                None => settings.first_byte_timeout,
            };
            progress.note(self.meter.total() + watch.as_deref().map_or(0, BodyWatch::bytes));
            self.timer
                .poll(cx, progress.since + patience)
                .map(|()| None)
        })
        .await;
        match answer {
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) => Err(SendError::diagnose(
                error,
                watch.as_deref(),
                self.meter.heard_since(read_before),
            )),
            None if watch.is_some_and(|w| w.is_waiting()) => {
                Err(SendError::Failed(Failure::ClientIdle))
            }
            None => Err(SendError::Failed(Failure::Timeout)),
        }
    }

    /// Moves bytes both ways; true once the connection has ended.
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.ended && self.wire.drive(cx) {
            self.ended = true;
        }
        self.ended
    }

    /// Whether the connection can take a request, as far as can be told without asking the upstream.
    pub(crate) fn is_alive(&mut self) -> bool {
        // Nobody waits for a connection at rest; the waker of its last user is let go.
        let mut cx = Context::from_waker(Waker::noop());
        !self.drive(&mut cx) && self.wire.is_ready()
    }

    /// Notes what the head of a response says about the connection.
    pub(crate) fn after(mut self: Box<Self>, head: &http::response::Parts) -> Box<Self> {
        self.is_last = head::is_last(head.version, &head.headers);
        self
    }

    /// Gets ready for the pool; false when the connection is of no more use.
    ///
    /// It is not polled, which would cost a system call for each request: a close that the upstream did not announce
    /// shows at the next use or at the sweep.
    pub(crate) fn park(&mut self) -> bool {
        self.parked = Instant::now();
        // An app may answer before it has heard everything; then the rest is in the way of the next request.
        let is_sent = self.sent.take().is_none_or(|sent| sent.is_done());
        is_sent && !self.ended && !self.is_last && self.wire.is_settled()
    }

    /// How long the connection has been in the pool.
    pub(crate) fn rested(&self) -> Duration {
        self.parked.elapsed()
    }

    /// Whether the connection can change its protocol.
    pub(crate) fn can_tunnel(&self) -> bool {
        matches!(self.wire, Wire::Http1 { .. })
    }

    /// The bare socket after a 101, and what has been read from it already. None where [`Self::can_tunnel`] said so.
    pub(crate) async fn into_tunnel(mut self: Box<Self>) -> Option<(TcpStream, Bytes)> {
        if !self.can_tunnel() {
            return None;
        }
        std::future::poll_fn(|cx| {
            if self.drive(cx) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        let Wire::Http1 { connection, .. } = self.wire else {
            return None;
        };
        let parts = connection.into_parts();
        Some((parts.io.into_inner().stream, parts.read_buf))
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("meter", &self.meter)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

// The client's body failed: because the client left, or because it was no body.
fn blame_client(error: &hyper::Error) -> Failure {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            let is_malformed = matches!(
                io.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
            );
            return if is_malformed {
                Failure::BadRequest
            } else {
                Failure::ClientGone
            };
        }
        source = cause.source();
    }
    Failure::BadRequest
}

// ===== impl SendError =====

impl SendError {
    fn diagnose(mut error: Unsent, watch: Option<&BodyWatch>, heard: Heard) -> Self {
        if let Some(mut request) = error.take_message() {
            wire::from_http2(&mut request);
            return Self::Unsent(Box::new(request));
        }
        let error = error.into_error();
        if watch.is_some_and(BodyWatch::is_too_large) {
            return Self::Failed(Failure::TooLarge);
        }
        if watch.is_some_and(BodyWatch::is_broken) {
            return Self::Failed(blame_client(&error));
        }
        if error.is_parse() {
            return Self::Failed(Failure::BadResponse);
        }
        match heard {
            Heard::Nothing => Self::NoByte,
            Heard::Something => Self::Failed(Failure::Closed),
        }
    }

    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::Unsent(_) | Self::NoByte => Failure::Closed,
            Self::Failed(failure) => *failure,
        }
    }
}

// ===== impl Progress =====

impl Progress {
    fn new() -> Self {
        Self {
            seen: 0,
            since: Instant::now(),
        }
    }

    fn note(&mut self, total: u64) {
        if total != self.seen {
            self.seen = total;
            self.since = Instant::now();
        }
    }
}

// ===== impl Meter =====

impl Meter {
    fn heard_since(&self, before: u64) -> Heard {
        if self.read() > before {
            Heard::Something
        } else {
            Heard::Nothing
        }
    }

    fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    fn total(&self) -> u64 {
        self.read() + self.written.load(Ordering::Relaxed)
    }
}

// ===== impl MeteredIo =====

impl MeteredIo {
    fn note_written(&self, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = wrote {
            self.meter
                .written
                .fetch_add(bytes as u64, Ordering::Relaxed);
        }
        wrote
    }
}

impl AsyncRead for MeteredIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let bytes = buf.filled().len() - before;
        if bytes > 0 {
            self.meter.read.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for MeteredIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_written(wrote)
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
        self.note_written(wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
