//! The vocabulary of these tests: a site, its backends, a wire to speak on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{
    AppRoute, AppState, PortKind, RoutePort, RouteTable, Router, RouterSettings, Upstream,
};

/// A bound for everything that should happen at once.
pub(super) const SOON: Duration = Duration::from_secs(5);

/// A router that serves on a port of its own.
pub(super) struct Site {
    pub(super) router: Router,
    pub(super) port: u16,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
}

/// A server that does with every connection what the test says.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    stop: CancellationToken,
}

/// One end of a connection.
pub(super) struct Wire {
    pub(super) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A message as it came over the wire.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) start: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

// ===== impl Site =====

impl Site {
    pub(super) async fn start(settings: RouterSettings) -> Self {
        Self::start_by(settings, |router, listener, stop| async move {
            router.serve(listener, stop).await.unwrap();
        })
        .await
    }

    /// A site whose port is served in another way.
    pub(super) async fn start_by<F>(
        settings: RouterSettings,
        serve: impl FnOnce(Router, TcpListener, CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let router = Router::new(settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(serve(router.clone(), listener, stop.clone()));
        Self {
            router,
            port,
            stop,
            tasks,
        }
    }

    pub(super) async fn in_front_of(backend: &Backend) -> Self {
        let site = Self::start(RouterSettings::default()).await;
        site.route(&[(1, backend.address)]);
        site
    }

    /// Routes `app.test` to these instances.
    pub(super) fn route(&self, instances: &[(i64, SocketAddr)]) {
        self.route_as(AppState::Serving, instances);
    }

    pub(super) fn route_as(&self, state: AppState, instances: &[(i64, SocketAddr)]) {
        self.route_kind(PortKind::Http, state, instances);
    }

    pub(super) fn route_kind(
        &self,
        kind: PortKind,
        state: AppState,
        instances: &[(i64, SocketAddr)],
    ) {
        let upstream = |&(instance, address): &(i64, SocketAddr)| Upstream {
            instance,
            dyno: format!("web.{instance}"),
            ip: address.ip(),
        };
        self.router.swap(RouteTable::new(vec![AppRoute {
            app: "app".parse().unwrap(),
            hosts: vec!["app.test".parse().unwrap()],
            ports: vec![RoutePort {
                kind,
                ..RoutePort::http(
                    self.port,
                    instances.first().map_or(1, |(_, address)| address.port()),
                )
            }],
            upstreams: instances.iter().map(upstream).collect(),
            state,
            policy: Arc::default(),
        }]));
    }

    pub(super) async fn connect(&self) -> Wire {
        Wire::new(TcpStream::connect(("127.0.0.1", self.port)).await.unwrap())
    }

    /// Whether a new connection is closed without a word; that may come before it is complete here.
    pub(super) async fn hangs_up(&self) -> bool {
        match TcpStream::connect(("127.0.0.1", self.port)).await {
            Ok(stream) => Wire::new(stream).is_over().await,
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Sends one request on a new connection; `\n` stands for the line end.
    pub(super) async fn ask(&self, request: &str) -> Message {
        let mut wire = self.connect().await;
        wire.say(request).await;
        wire.hear_response(request).await
    }

    pub(super) async fn get(&self, path: &str) -> Message {
        self.ask(&format!("GET {path} HTTP/1.1\nHost: app.test\n\n"))
            .await
    }

    pub(super) async fn in_flight_becomes(&self, instance: i64, count: usize) {
        eventually(|| self.router.in_flight(instance) == count).await;
    }
}

/// Waits until a condition holds.
pub(super) async fn eventually(condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + SOON;
    while !condition() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "did not happen in {SOON:?}"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

// ===== impl Backend =====

impl Backend {
    /// Hands every connection, with its number from 0, to `serve`.
    pub(super) async fn start<F>(serve: impl Fn(Wire, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_at("127.0.0.1:0".parse().unwrap(), serve).await
    }

    pub(super) async fn start_at<F>(
        address: SocketAddr,
        serve: impl Fn(Wire, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        let (count, stopped, tasks) = (Arc::clone(&connections), stop.clone(), TaskTracker::new());
        TaskTracker::new().spawn(async move {
            while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let served = serve(Wire::new(stream), count.fetch_add(1, Ordering::SeqCst));
                let stopped = stopped.clone();
                tasks.spawn(async move { stopped.run_until_cancelled(served).await });
            }
        });
        Self {
            address,
            connections,
            stop,
        }
    }

    /// Answers every request with a text.
    pub(super) async fn saying(text: &'static str) -> Self {
        Self::saying_at("127.0.0.1:0".parse().unwrap(), text).await
    }

    pub(super) async fn saying_at(address: SocketAddr, text: &'static str) -> Self {
        Self::start_at(address, move |mut wire, _| async move {
            while wire.hear().await.is_some() {
                wire.answer(text).await;
            }
        })
        .await
    }

    /// Answers every request with the request, as text.
    pub(super) async fn echoing() -> Self {
        Self::start(|mut wire, _| async move {
            while let Some(message) = wire.hear().await {
                wire.answer(&message.to_string()).await;
            }
        })
        .await
    }

    /// A second backend on the same port, on another address of this machine.
    pub(super) fn neighbour(&self, last_byte: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, last_byte], self.address.port()))
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes the listener and all connections.
    pub(super) fn die(&self) {
        self.stop.cancel();
    }
}

// ===== impl Wire =====

impl Wire {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Sends a text in which `\n` stands for the line end.
    pub(super) async fn say(&mut self, text: &str) {
        self.send(text.replace('\n', "\r\n").as_bytes()).await;
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(super) async fn answer(&mut self, body: &str) {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        self.send(format!("{head}{body}").as_bytes()).await;
    }

    /// The next request; `None` at the end of the connection.
    pub(super) async fn hear(&mut self) -> Option<Message> {
        let mut message = self.hear_head().await?;
        message.body = self.hear_body(&message, 0).await;
        Some(message)
    }

    /// The response to a request.
    pub(super) async fn hear_response(&mut self, request: &str) -> Message {
        let mut message = self.hear_head().await.expect("no response");
        let is_empty = request.starts_with("HEAD") || matches!(message.status(), 101 | 204 | 304);
        if !is_empty {
            message.body = self.hear_body(&message, usize::MAX).await;
        }
        message
    }

    pub(super) async fn hear_head(&mut self) -> Option<Message> {
        let text = self.hear_until("\r\n\r\n").await?;
        let mut lines = text.trim_end().split("\r\n");
        let start = lines.next().unwrap().to_owned();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').expect("no header");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Some(Message {
            start,
            headers: lines.map(header).collect(),
            body: String::new(),
        })
    }

    async fn hear_body(&mut self, head: &Message, otherwise: usize) -> String {
        if head.header("transfer-encoding") == Some("chunked") {
            return self.hear_chunks().await;
        }
        let length = head
            .header("content-length")
            .map_or(otherwise, |l| l.parse().unwrap());
        self.hear_bytes(length).await
    }

    async fn hear_chunks(&mut self) -> String {
        let mut body = String::new();
        loop {
            let size = self.hear_until("\r\n").await.expect("no chunk");
            let size = usize::from_str_radix(size.trim(), 16).unwrap();
            if size == 0 {
                while self.hear_until("\r\n").await.expect("no end") != "\r\n" {}
                return body;
            }
            body += &self.hear_bytes(size).await;
            self.hear_until("\r\n").await;
        }
    }

    /// Reads up to and including a mark; `None` at the end of the connection.
    pub(super) async fn hear_until(&mut self, mark: &str) -> Option<String> {
        loop {
            if let Some(at) = find(&self.buffer, mark.as_bytes()) {
                return Some(self.take(at + mark.len()));
            }
            if self.more().await == 0 {
                return None;
            }
        }
    }

    /// Reads so many bytes, or to the end of the connection.
    pub(super) async fn hear_bytes(&mut self, count: usize) -> String {
        while self.buffer.len() < count && self.more().await > 0 {}
        self.take(count.min(self.buffer.len()))
    }

    /// Whatever comes until the end of the connection, text or not.
    pub(super) async fn raw_to_end(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether the other end has closed the connection, with nothing more to say.
    pub(super) async fn is_over(&mut self) -> bool {
        self.hear_bytes(1).await.is_empty()
    }

    async fn more(&mut self) -> usize {
        let read = tokio::time::timeout(SOON, self.stream.read_buf(&mut self.buffer)).await;
        read.expect("silence on the wire").unwrap_or(0)
    }

    fn take(&mut self, count: usize) -> String {
        String::from_utf8(self.buffer.drain(..count).collect()).unwrap()
    }
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w == needle)
}

// ===== impl Message =====

impl Message {
    pub(super) fn status(&self) -> u16 {
        self.start.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The code of a page of the router's own.
    pub(super) fn code(&self) -> &str {
        self.header("x-sarsen-error").unwrap_or("none")
    }
}

impl std::fmt::Display for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.start)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        write!(f, "\n{}", self.body)
    }
}
