//! The bodies that pass through: a request's on its way to the app, a response's on its way to the client.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::client_body::ClientBody;
use crate::client_io::Busy;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::head;
use crate::http2::Pace;
use crate::link::{BodyEnd, LinkedBody};
use crate::policy::squeeze::Squeezer;

/// A request's body.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    Stream {
        incoming: ClientBody,
        watch: Arc<BodyWatch>,
        // The most that the app accepts.
        limit: u64,
    },
}

/// Why a request's body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestEnd {
    #[error("the client's body failed")]
    Client(#[source] hyper::Error),
    #[error("the body is larger than the app accepts")]
    TooLarge,
}

/// What is known of a request's body while another connection is reading it.
#[derive(Debug, Default)]
pub(crate) struct BodyWatch {
    bytes: AtomicU64,
    state: AtomicU8,
}

const FLOWING: u8 = 0;
const WAITING: u8 = 1;
const BROKEN: u8 = 2;
const DONE: u8 = 3;
const TOO_LARGE: u8 = 4;

/// A response's body, and with it all that ends when the response ends.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    content: Content,
    // Where it is a stream of HTTP/2.
    pace: Option<Arc<Pace>>,
    // Dropped last: from then on the connection counts as waiting for the next request.
    _busy: Busy,
}

#[derive(Debug)]
enum Content {
    Page(Option<Bytes>),
    App(Answer),
}

#[derive(Debug)]
struct Answer {
    body: LinkedBody,
    exchange: Box<Exchange>,
    // Told to the connection one turn late, so that what came before is sent first.
    end: Option<BodyEnd>,
    squeezer: Option<Box<Squeezer>>,
    // The last squeezed piece is out.
    finished: bool,
}

// ===== impl RequestBody =====

impl RequestBody {
    /// A body of at most `limit` bytes.
    pub(crate) fn new(incoming: ClientBody, limit: Option<u64>) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        Self::Stream {
            incoming,
            watch: Arc::default(),
            limit: limit.unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    pub(crate) fn watch(&self) -> Option<Arc<BodyWatch>> {
        match self {
            Self::Empty => None,
            Self::Stream { watch, .. } => Some(Arc::clone(watch)),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestEnd;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestEnd>>> {
        let Self::Stream {
            incoming,
            watch,
            limit,
        } = &mut *self
        else {
            return Poll::Ready(None);
        };
        let mut polled = Pin::new(&mut *incoming).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            head::prepare_trailers(trailers);
        }
        match &polled {
            Poll::Pending => watch.set(WAITING),
            Poll::Ready(Some(Ok(frame))) => {
                watch.note(frame);
                if incoming.is_end_stream() {
                    watch.set(DONE);
                }
            }
            Poll::Ready(Some(Err(_))) => watch.set(BROKEN),
            Poll::Ready(None) => watch.set(DONE),
        }
        if watch.bytes() > *limit {
            watch.set(TOO_LARGE);
            return Poll::Ready(Some(Err(RequestEnd::TooLarge)));
        }
        polled.map_err(RequestEnd::Client)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream { incoming, .. } => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream { incoming, .. } => incoming.size_hint(),
        }
    }
}

// ===== impl BodyWatch =====

impl BodyWatch {
    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }

    fn note(&self, frame: &Frame<Bytes>) {
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.set(FLOWING);
    }

    /// Bytes of the body that arrived so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The client has sent all that it has sent, and more is expected.
    pub(crate) fn is_waiting(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WAITING
    }

    /// All of the body has been passed on.
    pub(crate) fn is_done(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DONE
    }

    /// The client sent more than the app accepts.
    pub(crate) fn is_too_large(&self) -> bool {
        self.state.load(Ordering::Relaxed) == TOO_LARGE
    }

    /// The client went away in the middle, or what it sent is not a body.
    pub(crate) fn is_broken(&self) -> bool {
        self.state.load(Ordering::Relaxed) == BROKEN
    }
}

// ===== impl ResponseBody =====

impl ResponseBody {
    /// A page of our own.
    pub(crate) fn page(page: Bytes, busy: Busy) -> Self {
        Self {
            content: Content::Page(Some(page).filter(|p| !p.is_empty())),
            pace: None,
            _busy: busy,
        }
    }

    /// Tells the stream of HTTP/2 that this is the body of how it gets on.
    pub(crate) fn paced(mut self, pace: Option<Arc<Pace>>) -> Self {
        if let Some(pace) = &pace
            && self.is_end_stream()
        {
            pace.done();
        }
        self.pace = pace;
        self
    }

    /// What the app sends.
    pub(crate) fn app(
        body: LinkedBody,
        mut exchange: Box<Exchange>,
        busy: Busy,
        squeezer: Option<Box<Squeezer>>,
    ) -> Self {
        // An empty stream of gzip is not empty.
        if body.is_end_stream() && squeezer.is_none() {
            exchange.finish();
        }
        Self {
            content: Content::App(Answer {
                body,
                exchange,
                end: None,
                squeezer,
                finished: false,
            }),
            pace: None,
            _busy: busy,
        }
    }

    fn poll_content(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        match &mut self.content {
            Content::Page(page) => Poll::Ready(page.take().map(|p| Ok(Frame::data(p)))),
            Content::App(answer) if answer.squeezer.is_some() => answer.poll_squeezed(cx),
            Content::App(answer) => answer.poll_plain(cx),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyEnd;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        let polled = self.poll_content(cx);
        if let Some(pace) = &self.pace {
            match &polled {
                Poll::Pending => pace.awaited(),
                Poll::Ready(Some(_)) if !self.is_end_stream() => pace.sent(),
                Poll::Ready(_) => pace.done(),
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Page(page) => page.is_none(),
            Content::App(answer) => answer.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Page(page) => SizeHint::with_exact(page.as_ref().map_or(0, Bytes::len) as u64),
            Content::App(answer) if answer.squeezer.is_some() => SizeHint::default(),
            Content::App(answer) => answer.body.size_hint(),
        }
    }
}

// ===== impl Answer =====

impl Answer {
    fn is_end_stream(&self) -> bool {
        match self.squeezer {
            Some(_) => self.finished,
            None => self.body.is_end_stream(),
        }
    }

    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        if let Some(end) = self.end.take() {
            return Poll::Ready(Some(Err(end)));
        }
        match std::task::ready!(self.body.poll_frame(cx)) {
            Some(Ok(frame)) => {
                self.exchange
                    .add_bytes(frame.data_ref().map_or(0, Bytes::len) as u64);
                if self.body.is_end_stream() {
                    self.exchange.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(broken)) => {
                self.break_off(broken);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                self.exchange.finish();
                Poll::Ready(None)
            }
        }
    }

    fn break_off(&mut self, broken: BodyEnd) {
        self.exchange.fail(match broken {
            BodyEnd::Timeout => Failure::Idle,
            BodyEnd::Cut => Failure::Interrupted,
        });
        self.end = Some(broken);
    }

    // Gathers while there is something to gather; what a streaming app says goes out before it says more.
    fn poll_squeezed(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        let Some(squeezer) = &mut self.squeezer else {
            return Poll::Ready(None);
        };
        if let Some(end) = self.end.take() {
            return Poll::Ready(Some(Err(end)));
        }
        if self.finished {
            return Poll::Ready(None);
        }
        loop {
            let ready = match self.body.poll_frame(cx) {
                // Trailers speak of the plain body.
                Poll::Ready(Some(Ok(frame))) => {
                    frame.data_ref().and_then(|piece| squeezer.push(piece))
                }
                Poll::Ready(Some(Err(broken))) => {
                    self.break_off(broken);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(None) => {
                    self.finished = true;
                    let last = squeezer.finish();
                    self.exchange
                        .add_bytes(last.as_ref().map_or(0, Bytes::len) as u64);
                    self.exchange.finish();
                    return Poll::Ready(last.map(|piece| Ok(Frame::data(piece))));
                }
                Poll::Pending => match squeezer.flush() {
                    Some(piece) => Some(piece),
                    None => return Poll::Pending,
                },
            };
            if let Some(piece) = ready {
                self.exchange.add_bytes(piece.len() as u64);
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
        }
    }
}
