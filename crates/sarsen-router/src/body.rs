//! The bodies that pass through: a request's on its way to the app, a response's on its way to the client.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::client_io::Busy;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::link::{BodyEnd, LinkedBody};

/// A request's body.
#[derive(Debug)]
pub(crate) enum RequestBody {
    Empty,
    Stream {
        incoming: Incoming,
        watch: Arc<BodyWatch>,
    },
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

/// A response's body, and with it all that ends when the response ends.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    content: Content,
    // Dropped last: from then on the connection counts as waiting for the next request.
    _busy: Busy,
}

#[derive(Debug)]
enum Content {
    Page(Option<Bytes>),
    App {
        body: LinkedBody,
        exchange: Box<Exchange>,
        // Told to the connection one turn late, so that what came before is sent first.
        end: Option<BodyEnd>,
    },
}

// ===== impl RequestBody =====

impl RequestBody {
    pub(crate) fn new(incoming: Incoming) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        Self::Stream {
            incoming,
            watch: Arc::default(),
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
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Stream { incoming, watch } = &mut *self else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(incoming).poll_frame(cx);
        match &polled {
            Poll::Pending => watch.set(WAITING),
            Poll::Ready(Some(Ok(frame))) => watch.note(frame),
            Poll::Ready(Some(Err(_))) => watch.set(BROKEN),
            Poll::Ready(None) => watch.set(DONE),
        }
        polled
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
            _busy: busy,
        }
    }

    /// What the app sends.
    pub(crate) fn app(body: LinkedBody, mut exchange: Box<Exchange>, busy: Busy) -> Self {
        if body.is_end_stream() {
            exchange.finish();
        }
        Self {
            content: Content::App {
                body,
                exchange,
                end: None,
            },
            _busy: busy,
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
        let (body, exchange, end) = match &mut self.content {
            Content::Page(page) => return Poll::Ready(page.take().map(|p| Ok(Frame::data(p)))),
            Content::App {
                body,
                exchange,
                end,
            } => (body, exchange, end),
        };
        if let Some(end) = end.take() {
            return Poll::Ready(Some(Err(end)));
        }
        match std::task::ready!(body.poll_frame(cx)) {
            Some(Ok(frame)) => {
                exchange.add_bytes(frame.data_ref().map_or(0, Bytes::len) as u64);
                if body.is_end_stream() {
                    exchange.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(broken)) => {
                exchange.fail(match broken {
                    BodyEnd::Timeout => Failure::Idle,
                    BodyEnd::Cut => Failure::Interrupted,
                });
                *end = Some(broken);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                exchange.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Page(page) => page.is_none(),
            Content::App { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Page(page) => SizeHint::with_exact(page.as_ref().map_or(0, Bytes::len) as u64),
            Content::App { body, .. } => body.size_hint(),
        }
    }
}
