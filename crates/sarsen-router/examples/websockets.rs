//! `websockets echo LISTEN` answers upgrades and sends back what it gets; `websockets load ADDRESS CONNECTIONS SECONDS` plays
//! ping-pong with it, directly or through a proxy, and prints a line of JSON. For measuring.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

type Failed = Box<dyn std::error::Error + Send + Sync>;

const ASK: &[u8] =
    b"GET / HTTP/1.1\r\nHost: bench.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// The answer to that key.
const YES: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A binary frame of 128 bytes, masked with zeros.
const FRAME: usize = 128;

fn frame() -> [u8; FRAME] {
    let mut frame = [b'x'; FRAME];
    let head = [0x82, 0x80 | 122, 0, 0, 0, 0];
    for (place, byte) in frame.iter_mut().zip(head) {
        *place = byte;
    }
    frame
}

async fn head(stream: &mut TcpStream) -> Result<Vec<u8>, Failed> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}

async fn echo(listen: SocketAddr) -> Result<(), Failed> {
    let listener = TcpListener::bind(listen).await?;
    let tasks = TaskTracker::new();
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tasks.spawn_local(async move {
            if head(&mut stream).await.is_err() || stream.write_all(YES).await.is_err() {
                return;
            }
            let mut bytes = vec![0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                let Some(heard) = bytes.get(..count) else {
                    return;
                };
                if stream.write_all(heard).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Microseconds of each round.
async fn play(address: SocketAddr, end: Instant) -> Result<Vec<u32>, Failed> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(ASK).await?;
    if !head(&mut stream).await?.starts_with(b"HTTP/1.1 101 ") {
        return Err("no upgrade".into());
    }
    let (sent, mut heard, mut rounds) = (frame(), [0; FRAME], Vec::new());
    loop {
        let start = Instant::now();
        if start >= end {
            return Ok(rounds);
        }
        stream.write_all(&sent).await?;
        stream.read_exact(&mut heard).await?;
        if heard != sent {
            return Err("another message came back".into());
        }
        rounds.push(u32::try_from(start.elapsed().as_micros())?);
    }
}

#[expect(clippy::print_stdout, reason = "that is its result")]
async fn load(address: SocketAddr, connections: usize, seconds: f64) -> Result<(), Failed> {
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let tasks: Vec<_> = (0..connections)
        .map(|_| TaskTracker::new().spawn_local(play(address, end)))
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    let took = begin.elapsed().as_secs_f64();
    all.sort_unstable();
    let at = |share: usize| all.get(all.len() * share / 100).copied().unwrap_or(0);
    println!(
        "{{\"messages\": {}, \"seconds\": {took:.3}, \"p50_us\": {}, \"p99_us\": {}}}",
        all.len(),
        at(50),
        at(99)
    );
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    tokio::task::LocalSet::new()
        .run_until(async {
            match *words {
                ["echo", listen] => echo(listen.parse()?).await,
                ["load", address, connections, seconds] => {
                    load(address.parse()?, connections.parse()?, seconds.parse()?).await
                }
                _ => Err("usage: websockets echo LISTEN | load ADDRESS CONNECTIONS SECONDS".into()),
            }
        })
        .await
}
