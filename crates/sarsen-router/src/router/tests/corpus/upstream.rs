//! The two apps behind the router.

use std::net::SocketAddr;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::super::kit::SOON;
use super::loopback;
use super::sight::{self, Seen};

const CARELESS: &str = include_str!("careless.py");

/// An app that tells which requests it got.
pub(super) enum App {
    Strict {
        address: SocketAddr,
        told: mpsc::Receiver<Result<Seen, String>>,
        _stop: DropGuard,
    },
    Careless {
        address: SocketAddr,
        told: Lines<BufReader<ChildStdout>>,
        child: Box<Child>,
    },
}

impl App {
    pub(super) async fn strict() -> Self {
        let listener = TcpListener::bind(loopback()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, told) = mpsc::channel(1024);
        let stop = CancellationToken::new();
        let (stopped, tasks) = (stop.clone(), TaskTracker::new());
        TaskTracker::new().spawn(async move {
            while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
                tasks.spawn(listen_to(stream, tell.clone()));
            }
        });
        Self::Strict {
            address,
            told,
            _stop: stop.drop_guard(),
        }
    }

    pub(super) async fn careless() -> Self {
        let mut child = Command::new("python3")
            .args(["-I", "-c", CARELESS])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 is needed for this test");
        let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = tokio::time::timeout(SOON * 4, told.next_line()).await;
        let port = port.unwrap().unwrap().expect("no port");
        Self::Careless {
            address: SocketAddr::new(loopback().ip(), port.parse().unwrap()),
            told,
            child: Box::new(child),
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::Strict { address, .. } | Self::Careless { address, .. } => *address,
        }
    }

    /// What it got before a request with this line, which is to come.
    pub(super) async fn seen_until(&mut self, line: &str) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let next = tokio::time::timeout(SOON, self.next()).await;
            let seen = next.expect("the app tells nothing").expect("it ended");
            if seen.line == line {
                return all;
            }
            all.push(seen);
        }
    }

    /// Ends it; whatever it has still to tell is wrong.
    pub(super) async fn end(mut self) {
        match &mut self {
            Self::Strict { told, .. } => told.close(),
            Self::Careless { child, .. } => drop(child.stdin.take()),
        }
        let rest = tokio::time::timeout(SOON, self.next()).await;
        let more = rest.expect("the app does not end");
        assert!(more.is_none(), "the app got more than was sent: {more:?}");
    }

    async fn next(&mut self) -> Option<Seen> {
        match self {
            Self::Strict { told, .. } => {
                let seen = told.recv().await?;
                Some(seen.unwrap_or_else(|wrong| panic!("what the app got is {wrong}")))
            }
            Self::Careless { told, .. } => {
                let line = told.next_line().await.unwrap()?;
                let told: serde_json::Value = serde_json::from_str(&line).unwrap();
                let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
                let pairs = told["headers"].as_array().unwrap().iter();
                Some(Seen {
                    line: text(&told["line"]),
                    body: text(&told["body"]),
                    headers: pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
                    trailers: Vec::new(),
                })
            }
        }
    }
}

/// Takes requests until there is one that is not strictly right. What never becomes whole is not told of.
async fn listen_to(mut stream: TcpStream, tell: mpsc::Sender<Result<Seen, String>>) {
    let mut bytes = Vec::new();
    loop {
        match sight::read(&mut bytes) {
            Ok(None) => match stream.read_buf(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
            Ok(Some(seen)) => {
                let body = if seen.line.starts_with("HEAD ") {
                    ""
                } else {
                    &seen.line
                };
                let length = seen.line.len();
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
                if tell.send(Ok(seen)).await.is_err()
                    || stream.write_all(answer.as_bytes()).await.is_err()
                {
                    return;
                }
            }
            Err(wrong) => {
                tell.send(Err(wrong)).await.ok();
                return;
            }
        }
    }
}
