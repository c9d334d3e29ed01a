//! Accepting connections, and ending them decently.

use std::io;
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use tokio::net::TcpListener;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::connection::{self, Accepted, Arrival};
use crate::crowd::Guest;
use crate::router::Inner;
use crate::tcp;
use crate::tls::Certificates;
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
    pub(crate) tls: Option<Tls>,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the listener stops.
    pub(crate) stop: CancellationToken,
    /// The same as a flag, which costs nothing to look at.
    pub(crate) stopping: AtomicBool,
    /// Cancelled when the patience with the last requests is over.
    pub(crate) abort: CancellationToken,
}

/// What an encrypted port needs.
pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) certificates: Certificates,
}

/// What comes in on a port.
#[derive(Debug)]
pub(crate) enum Port {
    /// Requests in the clear.
    Http,
    /// Requests inside TLS.
    Https(Tls),
    /// Connections that are passed on as they are.
    Tcp,
}

/// A connection's right to be here, given back at its end.
#[derive(Debug)]
pub(crate) struct Admission {
    _permit: OwnedSemaphorePermit,
    _guest: Option<Guest>,
}

/// The address has as many connections as it may have.
#[derive(Debug, Clone, Copy)]
struct TooMany;

/// How a connection is served.
#[derive(Debug, Clone, Copy)]
enum How {
    Http,
    Raw,
}

impl Front {
    /// Whether this listener has stopped because another process goes on with it: then whoever is connected here is served
    /// here once more, and told to come anew.
    pub(crate) fn is_leaving(&self) -> bool {
        self.stopping.load(Ordering::Acquire) && self.inner.has_successor()
    }

    /// The moment from which on nobody is listened to who has not asked for anything yet; when another process goes on, whoever
    /// has been accepted here may ask.
    pub(crate) async fn is_deaf(&self) {
        self.stop.cancelled().await;
        if self.inner.has_successor() {
            self.abort.cancelled().await;
        }
    }
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("certificates", &self.certificates)
            .finish_non_exhaustive()
    }
}

pub(crate) async fn serve(
    inner: Arc<Inner>,
    listener: TcpListener,
    what: Port,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let port = listener.local_addr()?.port();
    let (how, tls) = match what {
        Port::Http => (How::Http, None),
        Port::Https(tls) => (How::Http, Some(tls)),
        Port::Tcp => (How::Raw, None),
    };
    let door = inner.workers().await?.door();
    let listener = listener.into_std()?;
    let front = Arc::new(Front {
        inner: Arc::clone(&inner),
        port,
        tls,
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        stopping: AtomicBool::new(false),
        abort: CancellationToken::new(),
    });
    // Beside those who are served, so that most of them are not handed to another thread.
    let open = open(Arc::clone(&front), listener, how, shutdown);
    let open = AbortOnDropHandle::new(door.spawn(open));
    tokio::select! {
        outcome = open => outcome??,
        () = sweep(&front.inner) => {}
    }
    let deadline = inner.patience(inner.settings.shutdown_deadline);
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

/// Lets connections in until told to stop; then the listener is closed.
async fn open(
    front: Arc<Front>,
    listener: net::TcpListener,
    how: How,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let workers = front.inner.workers().await?;
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept(&front, workers, &listener, how) => {}
    }
    Ok(())
}

// Never returns: an error concerns one connection, or passes.
async fn accept(front: &Arc<Front>, workers: &Workers, listener: &TcpListener, how: How) {
    let http = http_settings(front);
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(came) => came,
            Err(error) if is_the_clients(&error) => {
                tracing::debug!(%error, "a client left before it was accepted");
                continue;
            }
            Err(error) => {
                tracing::warn!(%error, port = front.port, "cannot accept connections on port {}", front.port);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(guest) = let_in(&front.inner, address) else {
            continue;
        };
        let Ok(permit) = Arc::clone(&front.inner.connections).acquire_owned().await else {
            return;
        };
        let (worker, place) = workers.assign();
        let Some(stream) = Accepted::on_the_way(stream, &place) else {
            continue;
        };
        let arrival = Arrival {
            front: Arc::clone(front),
            address,
            admission: Admission {
                _permit: permit,
                _guest: guest,
            },
            place,
        };
        match how {
            How::Http => front
                .tasks
                .spawn_on(connection::serve(arrival, http.clone(), stream), &worker),
            How::Raw => front.tasks.spawn_on(tcp::serve(arrival, stream), &worker),
        };
    }
}

// Proxies come on behalf of many.
fn let_in(inner: &Inner, address: SocketAddr) -> Result<Option<Guest>, TooMany> {
    let (ip, settings) = (address.ip(), &inner.settings);
    if settings.trusted_proxies.contains(ip) || settings.proxy_protocol.contains(ip) {
        return Ok(None);
    }
    let guest = inner.crowd.enter(ip);
    if guest.is_none() {
        tracing::debug!(client = %ip, "{ip} has too many connections: this one is closed");
    }
    guest.map(Some).ok_or(TooMany)
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
