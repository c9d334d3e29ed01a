//! Connections that changed their protocol: bytes both ways until one side is done.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client_io::ClientIo;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::proxy::Peer;

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

#[derive(Debug)]
struct Traffic {
    start: Instant,
    // Milliseconds after `start`.
    last: AtomicU64,
    bytes: AtomicU64,
}

/// Runs a tunnel to its end: one side closed, silence for too long, its container retired, or the router stopping.
pub(crate) async fn run(tunnel: Tunnel, peer: Arc<Peer>) {
    let Tunnel {
        client,
        mut upstream,
        early,
        mut exchange,
    } = tunnel;
    let Some(in_flight) = exchange.take_in_flight() else {
        return;
    };
    let in_flight = in_flight.into_tunnel();
    let (mut client, late) = match client.await.map(|c| c.downcast::<TokioIo<ClientIo>>()) {
        Ok(Ok(parts)) => (parts.io.into_inner().into_stream(), parts.read_buf),
        Ok(Err(_)) | Err(_) => return,
    };
    let traffic = Traffic::new();
    let patience = exchange.settings().tunnel_patience;
    let idle = exchange.settings().tunnel_idle_timeout;
    let (from_client, to_client) = client.split();
    let (from_upstream, to_upstream) = upstream.split();
    let both = async {
        tokio::try_join!(
            pump(late, from_client, to_upstream, &traffic),
            pump(early, from_upstream, to_client, &traffic),
        )
    };
    let failure = tokio::select! {
        done = both => done.err().map(|_| Failure::Interrupted),
        () = traffic.silence(idle) => Some(Failure::Idle),
        () = in_flight.cut().cancelled_owned() => Some(Failure::Interrupted),
        () = stopped(&peer.front.stop, patience) => Some(Failure::Interrupted),
    };
    exchange.add_bytes(traffic.bytes.load(Ordering::Relaxed));
    match failure {
        None => exchange.finish(),
        Some(failure) => exchange.fail(failure),
    }
    drop(in_flight);
}

async fn stopped(stop: &CancellationToken, patience: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(patience).await;
}

// Passes on what was read already, then the rest, then the end.
async fn pump(
    first: Bytes,
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
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
    fn new() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
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
