//! The ports of the fake's containers: real listeners on loopback addresses.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{Result, RuntimeError};

/// How many addresses are tried before the ports are called taken.
const ATTEMPTS: u32 = 64;

/// Counts addresses given out by this process.
static GIVEN: AtomicU32 = AtomicU32::new(0);

/// A loopback address that nobody has, with listeners on these ports of it.
pub(super) fn bind(ports: &[u16]) -> Result<(Ipv4Addr, Vec<TcpListener>)> {
    let mut problem = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..ATTEMPTS {
        let address = next_address();
        match bind_all(address, ports) {
            Ok(listeners) => return Ok((address, listeners)),
            Err(error) => problem = error,
        }
    }
    Err(RuntimeError::Engine(format!(
        "no loopback address with free ports: {problem}"
    )))
}

/// Tests run side by side in processes of their own: the process id keeps their addresses apart, mostly.
fn next_address() -> Ipv4Addr {
    let serial = GIVEN.fetch_add(1, Ordering::Relaxed);
    let [_, high, middle, low] = std::process::id()
        .wrapping_mul(1009)
        .wrapping_add(serial)
        .to_be_bytes();
    // Not 127.0.0.x, where everything else on the machine listens.
    Ipv4Addr::new(127, high.max(1), middle, low.clamp(1, 254))
}

fn bind_all(address: Ipv4Addr, ports: &[u16]) -> io::Result<Vec<TcpListener>> {
    let bind = |port: &u16| {
        let listener = StdListener::bind(SocketAddr::from((address, *port)))?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    ports.iter().map(bind).collect()
}

/// A whole HTTP answer.
pub(super) fn answer(status: u16, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Scripted\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Gives this answer to every request until the container ends.
pub(super) async fn serve(listener: TcpListener, answer: String, running: CancellationToken) {
    let answer: Arc<str> = answer.into();
    let talks = TaskTracker::new();
    let accept = async {
        loop {
            // A failed accept concerns that connection only.
            if let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                talks.spawn(async move { talk(stream, &answer).await.ok() });
            }
        }
    };
    running.run_until_cancelled(accept).await;
}

async fn talk(mut stream: TcpStream, answer: &str) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
