//! Accepting connections, and ending them decently.

use std::future::poll_fn;
use std::io;
use std::net::{self, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client_io::{ClientIo, ClientLimits, Seat};
use crate::exchange;
use crate::head::Voucher;
use crate::proxy::{self, Peer};
use crate::router::Inner;
use crate::workers::Workers;

/// Between two looks at the pooled connections.
const SWEEP: Duration = Duration::from_secs(2);

/// After a failed accept, which mostly means that the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The parser's buffers; it takes no less than 8 KiB.
const MIN_BUFFER: usize = 64 * 1024;

/// What the connections of one listener have in common.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) inner: Arc<Inner>,
    pub(crate) port: u16,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the listener stops.
    pub(crate) stop: CancellationToken,
    // The same as a flag, which costs nothing to look at.
    stopping: AtomicBool,
    // Cancelled when the patience with the last requests is over.
    abort: CancellationToken,
}

pub(crate) async fn serve(
    inner: Arc<Inner>,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    let workers = inner.workers().await?;
    let deadline = inner.settings.shutdown_deadline;
    let front = Arc::new(Front {
        inner: Arc::clone(&inner),
        port,
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        stopping: AtomicBool::new(false),
        abort: CancellationToken::new(),
    });
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept(&front, workers, &listener) => {}
        () = sweep(&front.inner) => {}
    }
    drop(listener);
    front.stopping.store(true, Ordering::Release);
    front.stop.cancel();
    front.tasks.close();
    if tokio::time::timeout(deadline, front.tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("{} connections were cut at shutdown", front.tasks.len());
        front.abort.cancel();
        front.tasks.wait().await;
    }
    Ok(())
}

// Never returns: an error concerns one connection, or passes.
async fn accept(front: &Arc<Front>, workers: &Workers, listener: &TcpListener) {
    let http = http_settings(front);
    loop {
        match accept_one(listener).await {
            Ok((stream, address)) => {
                let Ok(permit) = Arc::clone(&front.inner.connections).acquire_owned().await else {
                    return;
                };
                let seat = Arc::<Seat>::default();
                let (worker, place) = workers.assign();
                let peer = Arc::new(Peer {
                    front: Arc::clone(front),
                    seat,
                    voucher: vouch(front, address),
                    _permit: permit,
                    _place: place,
                });
                front
                    .tasks
                    .spawn_on(connection(peer, http.clone(), stream), &worker);
            }
            Err(error) if is_the_clients(&error) => {
                tracing::debug!(%error, "a client left before it was accepted")
            }
            Err(error) => {
                tracing::warn!(%error, port = front.port, "cannot accept connections on port {}", front.port);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

// The connection is for another runtime than the listener's.
async fn accept_one(listener: &TcpListener) -> io::Result<(net::TcpStream, SocketAddr)> {
    let (stream, address) = listener.accept().await?;
    Ok((stream.into_std()?, address))
}

fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

// Closes pooled connections that nobody will want any more.
async fn sweep(inner: &Inner) {
    loop {
        tokio::time::sleep(SWEEP).await;
        for upstream in inner.live.load().upstreams() {
            upstream.sweep(inner.settings.pool_idle_timeout);
        }
    }
}

fn http_settings(front: &Front) -> http1::Builder {
    let max_head = front.inner.settings.max_head_bytes;
    let mut http = http1::Builder::new();
    // The socket itself watches the time, and can tell an idle client from a slow one.
    http.header_read_timeout(None)
        .max_header_size(max_head)
        .max_buf_size(max_head.max(MIN_BUFFER));
    http
}

async fn connection(peer: Arc<Peer>, http: http1::Builder, stream: net::TcpStream) {
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%error, "cannot serve a connection");
            return;
        }
    };
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let settings = &peer.front.inner.settings;
    let limits = ClientLimits {
        head: settings.head_timeout,
        keep_alive: settings.keep_alive_timeout,
        write_idle: settings.idle_timeout,
    };
    let io = TokioIo::new(ClientIo::new(stream, Arc::clone(&peer.seat), limits));
    let service = service_fn(|request| proxy::handle(Arc::clone(&peer), request));
    let connection = http.serve_connection(io, service).with_upgrades();
    drive(&peer, pin!(connection)).await;
}

fn vouch(front: &Front, address: SocketAddr) -> Voucher {
    let ip = address.ip().to_canonical();
    let text = HeaderValue::from_str(&ip.to_string());
    Voucher {
        client: text.unwrap_or(HeaderValue::from_static("unknown")),
        is_trusted: front.inner.settings.trusted_proxies.contains(ip),
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

// The two tokens are shared by all connections and take a lock to look at, so each is polled once, to be woken by it,
// and from then on only the flag is read.
async fn drive(peer: &Peer, mut connection: Pin<&mut impl Graceful>) {
    let front = &*peer.front;
    let mut stop = pin!(front.stop.cancelled());
    let mut abort = pin!(front.abort.cancelled());
    let mut is_registered = false;
    let mut is_finishing = false;
    let ended = poll_fn(|cx| {
        if !is_registered {
            is_registered = true;
            let _ = stop.as_mut().poll(cx).is_ready();
        }
        if front.stopping.load(Ordering::Acquire) {
            if !is_finishing {
                is_finishing = true;
                connection.as_mut().finish_up();
            }
            if abort.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
        }
        connection.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = ended {
        if error.is_parse() {
            exchange::unreadable(&front.inner, &peer.voucher.client, &error);
        }
        tracing::debug!(%error, "a client's connection ended");
    }
}
