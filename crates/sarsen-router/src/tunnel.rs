//! Connections that changed their protocol: bytes both ways until one side is done.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client_io::ClientIo;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::listener::Front;
use crate::proxy::Peer;
use crate::stream::Stream;

const CHUNK: usize = 16 * 1024;

/// The two ends of a tunnel.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) client: OnUpgrade,
    pub(crate) upstream: TcpStream,
    /// What the upstream sent right behind its 101.
    pub(crate) early: Bytes,
    pub(crate) exchange: Box<Exchange>,
}

/// What ends a tunnel that does not end by itself.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The longest silence.
    pub(crate) idle: Duration,
    /// How long it may go on when the router stops.
    pub(crate) patience: Duration,
    pub(crate) cut: CancellationToken,
    /// Where it came in.
    pub(crate) front: Arc<Front>,
}

/// What passed through a tunnel, and when.
#[derive(Debug)]
pub(crate) struct Traffic {
    start: Instant,
    // Milliseconds after `start`.
    last: AtomicU64,
    bytes: AtomicU64,
}

/// Runs a tunnel to its end: one side closed, silence for too long, its container retired, or the router stopping.
pub(crate) async fn run(tunnel: Tunnel, peer: Arc<Peer>) {
    let Tunnel {
        client,
        upstream,
        early,
        mut exchange,
    } = tunnel;
    let Some(in_flight) = exchange.take_in_flight() else {
        return;
    };
    let in_flight = in_flight.into_tunnel();
    let traffic = Traffic::new();
    let limits = Limits {
        idle: exchange.settings().tunnel_idle_timeout,
        patience: exchange.settings().tunnel_patience,
        cut: in_flight.cut(),
        front: Arc::clone(&peer.front),
    };
    let upstream = (upstream, early);
    let Ok(client) = client.await else {
        return;
    };
    let failure = match client.downcast::<TokioIo<ClientIo>>() {
        Ok(parts) => match parts.io.into_inner().into_stream() {
            Stream::Plain(client) => {
                bridge((client, parts.read_buf), upstream, &traffic, limits).await
            }
            client @ Stream::Tls(_) => {
                bridge((client, parts.read_buf), upstream, &traffic, limits).await
            }
        },
        // A stream of HTTP/2.
        Err(stream) => {
            let client = (TokioIo::new(stream), Bytes::new());
            bridge(client, upstream, &traffic, limits).await
        }
    };
    exchange.add_bytes(traffic.bytes());
    match failure {
        None => exchange.finish(),
        Some(failure) => exchange.fail(failure),
    }
    drop(in_flight);
}

/// Passes bytes both ways, each side's first ones first, until both sides are done or a limit is reached.
pub(crate) async fn bridge(
    (client, late): (impl AsyncRead + AsyncWrite, Bytes),
    (mut upstream, early): (TcpStream, Bytes),
    traffic: &Traffic,
    limits: Limits,
) -> Option<Failure> {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_upstream, to_upstream) = upstream.split();
    let both = async {
        tokio::try_join!(
            pump(late, from_client, to_upstream, traffic),
            pump(early, from_upstream, to_client, traffic),
        )
    };
    tokio::select! {
        done = both => done.err().map(|_| Failure::Interrupted),
        () = traffic.silence(limits.idle) => Some(Failure::Idle),
        () = limits.cut.cancelled_owned() => Some(Failure::Interrupted),
        () = stopped(&limits.front, limits.patience) => Some(Failure::Interrupted),
    }
}

async fn stopped(front: &Front, patience: Duration) {
    front.stop.cancelled().await;
    tokio::time::sleep(front.inner.patience(patience)).await;
}

// Passes on what was read already, then the rest, then the end.
async fn pump(
    first: Bytes,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    traffic: &Traffic,
) -> io::Result<()> {
    if !first.is_empty() {
        to.write_all(&first).await?;
        traffic.note(first.len());
    }
    let mut buffer = vec![0; CHUNK];
    loop {
        let bytes = from.read(&mut buffer).await?;
        let Some(chunk) = buffer.get(..bytes).filter(|c| !c.is_empty()) else {
            return to.shutdown().await;
        };
        to.write_all(chunk).await?;
        traffic.note(bytes);
    }
}

// ===== impl Traffic =====

impl Traffic {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Bytes of both directions.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn note(&self, bytes: usize) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    async fn silence(&self, limit: Duration) {
        loop {
            let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
            let end = self.start + last + limit;
            if Instant::now() >= end {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}
