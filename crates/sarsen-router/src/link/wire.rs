//! The two protocols that upstreams are spoken to in. One request at a time goes over a connection in either, and
//! whoever uses it drives it: there is no task behind it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::header::{CONNECTION, HOST, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio_util::either::Either;

use super::MeteredIo;
use crate::body::RequestBody;
use crate::table::PortKind;

/// Per stream, and as there is one stream only, per connection: what an app may send ahead of the client.
const WINDOW: u32 = 256 * 1024;

type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;
type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection and the way to send requests on it.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one, and links are boxed"
)]
pub(super) enum Wire {
    Http1 {
        sender: http1::SendRequest<RequestBody>,
        connection: http1::Connection<TokioIo<MeteredIo>, RequestBody>,
    },
    Http2(Box<Http2>),
}

/// The connection and the pieces of work that it consists of, which the library would have as tasks.
pub(super) struct Http2 {
    sender: http2::SendRequest<RequestBody>,
    connection: http2::Connection<TokioIo<MeteredIo>, RequestBody, Work>,
    work: FuturesUnordered<Task>,
    new: Work,
}

/// Work that was not begun yet.
#[derive(Clone, Default)]
pub(super) struct Work(Arc<Mutex<Vec<Task>>>);

// ===== impl Wire =====

impl Wire {
    pub(super) async fn open(kind: PortKind, io: MeteredIo) -> hyper::Result<Self> {
        let io = TokioIo::new(io);
        if kind == PortKind::Http2 {
            let new = Work::default();
            let (sender, connection) = http2::Builder::new(new.clone())
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .handshake(io)
                .await?;
            return Ok(Self::Http2(Box::new(Http2 {
                sender,
                connection,
                work: FuturesUnordered::new(),
                new,
            })));
        }
        let (sender, connection) = http1::Builder::new().handshake(io).await?;
        Ok(Self::Http1 { sender, connection })
    }

    /// Moves bytes both ways; true once the connection has ended, and then not to be called again.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Http1 { connection, .. } => connection.poll_without_shutdown(cx).is_ready(),
            Self::Http2(http2) => http2.drive(cx),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Http1 { sender, .. } => sender.is_ready(),
            Self::Http2(http2) => http2.sender.is_ready(),
        }
    }

    /// Begins a request. Only driving the connection brings the answer.
    pub(super) fn send(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> impl Future<Output = Sent> + use<> {
        match self {
            Self::Http1 { sender, .. } => Either::Left(sender.try_send_request(request)),
            Self::Http2(http2) => {
                into_http2(&mut request);
                Either::Right(http2.sender.try_send_request(request))
            }
        }
    }

    /// Whether nothing of the last exchange is left to be done.
    pub(super) fn is_settled(&mut self) -> bool {
        match self {
            Self::Http1 { .. } => true,
            Self::Http2(http2) => {
                let ended = http2.drive(&mut Context::from_waker(Waker::noop()));
                // What is left is the connection itself.
                !ended && http2.work.len() <= 1
            }
        }
    }
}

// ===== impl Http2 =====

impl Http2 {
    fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let ended = Pin::new(&mut self.connection).poll(cx).is_ready();
            self.work.extend(self.new.take());
            while let Poll::Ready(Some(())) = self.work.poll_next_unpin(cx) {}
            if ended || self.new.is_empty() {
                return ended;
            }
        }
    }
}

// ===== impl Work =====

impl Work {
    fn take(&self) -> Vec<Task> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_empty(&self) -> bool {
        let new = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        new.is_empty()
    }
}

impl<F> Executor<F> for Work
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, work: F) {
        let mut new = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        new.push(Box::pin(work));
    }
}

// The host goes into the target, and what concerns one connection of HTTP/1.1 goes away.
fn into_http2(request: &mut Request<RequestBody>) {
    let headers = request.headers_mut();
    for name in [CONNECTION, UPGRADE, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let authority = headers
        .get(HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let Some(authority) = authority else {
        return;
    };
    headers.remove(HOST);
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(authority);
    target
        .path_and_query
        .get_or_insert(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    *request.version_mut() = Version::HTTP_2;
}

/// A request that was not sent, as it was before.
pub(super) fn from_http2(request: &mut Request<RequestBody>) {
    let host = request
        .uri()
        .authority()
        .and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    let Some(host) = host else {
        return;
    };
    request.headers_mut().insert(HOST, host);
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    *request.version_mut() = Version::HTTP_11;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_change_of_words() {
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = "/pkg.Service/Call?x".parse().unwrap();
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_static("app.test:50051"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        into_http2(&mut request);
        assert_eq!(request.uri(), "http://app.test:50051/pkg.Service/Call?x");
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers().len(), 1);
        from_http2(&mut request);
        assert_eq!(request.uri(), "/pkg.Service/Call?x");
        assert_eq!(request.headers()[HOST], "app.test:50051");
        assert_eq!(request.version(), Version::HTTP_11);
    }
}
