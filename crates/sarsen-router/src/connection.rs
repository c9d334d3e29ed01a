//! One connection of a client, from its greeting to its end.

use std::future::poll_fn;
use std::io;
use std::net::{self, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;

use http::HeaderValue;
use hyper::server::conn::{http1, http2 as hyper2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::client_io::{ClientIo, ClientLimits};
use crate::exchange;
use crate::greet::{self, Greeted, Version};
use crate::head::Voucher;
use crate::http2::{self, Keeper, Streams, Verdict};
use crate::listener::{Admission, Front};
use crate::proxy::{self, Peer};
use crate::workers::Place;

/// A connection that was accepted, and nothing of it read.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) front: Arc<Front>,
    pub(crate) address: SocketAddr,
    /// Counts the connection, or the tunnel that it becomes.
    pub(crate) admission: Admission,
    pub(crate) place: Place,
}

/// Its stream, between the thread that accepted it and the one that serves it.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// They are the same.
    Here(TcpStream),
    /// A runtime's own streams stay with it.
    Elsewhere(net::TcpStream),
}

impl Accepted {
    pub(crate) fn on_the_way(stream: TcpStream, place: &Place) -> Option<Self> {
        if place.is_here() {
            return Some(Self::Here(stream));
        }
        let stream = stream.into_std().inspect_err(lost);
        stream.map(Self::Elsewhere).ok()
    }

    /// Gives the stream to this thread's runtime.
    pub(crate) fn adopt(self) -> Option<TcpStream> {
        let stream = match self {
            Self::Here(stream) => stream,
            Self::Elsewhere(stream) => TcpStream::from_std(stream).inspect_err(lost).ok()?,
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        Some(stream)
    }
}

fn lost(error: &io::Error) {
    tracing::warn!(%error, "cannot serve a connection");
}

/// Serves requests until one side is done.
pub(crate) async fn serve(arrival: Arrival, http: http1::Builder, stream: Accepted) {
    let Some(stream) = stream.adopt() else {
        return;
    };
    let front = Arc::clone(&arrival.front);
    // Boxed: a handshake's state is large, and gone when the first request comes.
    let greeting = Box::pin(greet::greet(&front, stream, arrival.address));
    let greeted = tokio::select! {
        biased;
        greeted = greeting => greeted,
        // Nothing was asked yet.
        () = front.is_deaf() => return,
    };
    match greeted {
        Ok(Some(greeted)) => serve_greeted(arrival, http, greeted).await,
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "a connection ended before its first request"),
    }
}

#[expect(
    clippy::significant_drop_tightening,
    reason = "the connection counts until its end"
)]
async fn serve_greeted(arrival: Arrival, http: http1::Builder, greeted: Greeted) {
    let front = arrival.front;
    let peer = Arc::new(Peer {
        voucher: vouch(&front, greeted.address),
        seat: Arc::default(),
        server_name: greeted.server_name,
        front,
        _admission: arrival.admission,
        _place: arrival.place,
    });
    let settings = &peer.front.inner.settings;
    let hurry = hurry(&peer.front);
    let limits = ClientLimits {
        head: settings.head_timeout / hurry,
        keep_alive: settings.keep_alive_timeout / hurry,
        write_idle: settings.idle_timeout,
    };
    let bytes = (greeted.stream, greeted.early);
    let seat = Arc::clone(&peer.seat);
    let io = TokioIo::new(ClientIo::new(bytes, greeted.version, seat, limits));
    let service = service_fn(|request| proxy::handle(Arc::clone(&peer), request));
    match greeted.version {
        Version::Http1 => {
            let connection = http.serve_connection(io, service).with_upgrades();
            drive(&peer, None, pin!(connection)).await;
        }
        Version::Http2 => {
            let tasks = peer.front.tasks.clone();
            let streams = Streams::new(tasks, Arc::clone(&peer.seat), settings.idle_timeout);
            let http = http2::builder(settings, streams);
            let connection = Box::pin(http.serve_connection(io, service));
            drive(&peer, Some(Keeper::default()), pin!(connection)).await;
        }
    }
}

/// Where three quarters of the places are taken, those who come now have a quarter of the time to say something: slow
/// and silent clients make way for each other, and not for those who ask.
fn hurry(front: &Front) -> u32 {
    let free = front.inner.connections.available_permits();
    if free < front.inner.settings.max_connections / 4 {
        4
    } else {
        1
    }
}

fn vouch(front: &Front, address: SocketAddr) -> Voucher {
    let ip = address.ip().to_canonical();
    let text = HeaderValue::from_str(&ip.to_string());
    Voucher {
        client: text.unwrap_or(HeaderValue::from_static("unknown")),
        is_trusted: front.inner.settings.trusted_proxies.contains(ip),
        proto: HeaderValue::from_static(if front.tls.is_some() { "https" } else { "http" }),
        port: HeaderValue::from(front.port),
        via: front.inner.via.clone(),
    }
}

/// A connection that can be asked to end after the request under way.
trait Graceful: Future<Output = hyper::Result<()>> {
    fn finish_up(self: Pin<&mut Self>);
}

impl<S, B> Graceful for http1::UpgradeableConnection<TokioIo<ClientIo>, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Self: Future<Output = hyper::Result<()>>,
{
    fn finish_up(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<S, B, E> Graceful for Pin<Box<hyper2::Connection<TokioIo<ClientIo>, S, E>>>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    E: hyper::rt::bounds::Http2ServerConnExec<S::Future, B>,
    Self: Future<Output = hyper::Result<()>>,
{
    fn finish_up(self: Pin<&mut Self>) {
        self.get_mut().as_mut().graceful_shutdown();
    }
}

// The two tokens are shared by all connections and take a lock to look at, so each is polled once, to be woken by it,
// and from then on only the flag is read.
async fn drive(peer: &Peer, keeper: Option<Keeper>, mut connection: Pin<&mut impl Graceful>) {
    let front = &*peer.front;
    let keep_alive = front.inner.settings.keep_alive_timeout;
    let mut keeper = keeper;
    let mut stop = pin!(front.stop.cancelled());
    let mut abort = pin!(front.abort.cancelled());
    let mut is_registered = false;
    let mut is_finishing = false;
    let ended: hyper::Result<()> = poll_fn(|cx| {
        if !is_registered {
            is_registered = true;
            let _ = stop.as_mut().poll(cx).is_ready();
        }
        if front.stopping.load(Ordering::Acquire) {
            // HTTP/2 has a word for it; with HTTP/1 the next answer says that it is the last.
            if !is_finishing && (keeper.is_some() || !front.is_leaving()) {
                is_finishing = true;
                connection.as_mut().finish_up();
            }
            if abort.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
        }
        if connection.as_mut().poll(cx)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        let verdict = keeper
            .as_mut()
            .map(|keeper| keeper.judge(cx, &peer.seat, keep_alive));
        match verdict {
            None | Some(Verdict::Stays) => Poll::Pending,
            Some(Verdict::Idle) if !is_finishing => {
                is_finishing = true;
                connection.as_mut().finish_up();
                Poll::Pending
            }
            Some(Verdict::Idle | Verdict::Abusive) => Poll::Ready(Ok(())),
        }
    })
    .await;
    if let Err(error) = ended {
        if error.is_parse() {
            exchange::unreadable(&front.inner, &peer.voucher.client, &error);
        }
        tracing::debug!(%error, "a client's connection ended");
    }
}
