//! Sending lines to a place.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Codec, DrainLine, Sink, Transport};

/// A place that takes longer does not take it.
const LIMIT: Duration = Duration::from_secs(15);
/// A file that would grow past this is renamed to FILE.1, replacing the one before.
const FILE_MAX: u64 = 100 << 20;
/// Datagrams are cut.
const DATAGRAM_MAX: usize = 8 * 1024;
/// local7.info, as Heroku's drains have it.
const PRIORITY: &str = "<190>1";

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What sending needs: one HTTP client for all, and the folder of files.
#[derive(Clone)]
pub struct Senders {
    client: HttpClient,
    tls: TlsConnector,
    folder: PathBuf,
    /// The key of JSON objects that holds the app's name.
    app_key: String,
}

/// A place that lines are being sent to.
pub(super) struct Connection {
    senders: Senders,
    sink: Sink,
    stream: Option<Box<dyn Stream>>,
}

/// A connection that messages go down.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Senders {
    /// Files go to this folder. The certificates that this host trusts are trusted.
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(io::Error::other("there are none on this host"));
        }
        Self::trusting(folder, roots)
    }

    /// The same with other certificates to trust.
    pub(super) fn trusting(folder: PathBuf, roots: RootCertStore) -> io::Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config.clone())
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            tls: TlsConnector::from(Arc::new(config)),
            folder,
            app_key: "com.dokku.app-name".to_owned(),
        })
    }

    /// The same, with another key for the app's name.
    #[must_use]
    pub fn with_app_key(&self, key: &str) -> Self {
        Self {
            app_key: key.to_owned(),
            ..self.clone()
        }
    }

    pub(super) fn open(&self, sink: Sink) -> Connection {
        Connection {
            senders: self.clone(),
            sink,
            stream: None,
        }
    }

    async fn post(&self, uri: &Uri, codec: Codec, lines: &[DrainLine]) -> Result<(), String> {
        let (content_type, body) = self.body(codec, lines);
        let request = Request::builder()
            .method(Method::POST)
            .uri(without_user(uri)?)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::USER_AGENT, "sarsen");
        let request = match user_of(uri) {
            Some(user) => request.header(header::AUTHORIZATION, basic(user)),
            None => request,
        };
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|error| reason(&error))?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
        let body = http_body_util::Limited::new(answer.into_body(), 1 << 20);
        body.collect().await.map_err(|error| error.to_string())?;
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("it answered {status}"))
        }
    }

    async fn connect(
        &self,
        transport: Transport,
        host: &str,
        port: u16,
    ) -> io::Result<Box<dyn Stream>> {
        let stream = TcpStream::connect((host, port)).await?;
        if transport != Transport::Tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(self.tls.connect(name, stream).await?))
    }

    fn body(&self, codec: Codec, lines: &[DrainLine]) -> (&'static str, String) {
        let objects = lines.iter().map(|line| self.object(line));
        match codec {
            Codec::Json => {
                let list = serde_json::Value::Array(objects.collect());
                ("application/json", list.to_string())
            }
            Codec::NdJson => {
                let text = objects.map(|object| format!("{object}\n")).collect();
                ("application/x-ndjson", text)
            }
            Codec::Text => ("text/plain; charset=utf-8", plain(lines)),
        }
    }

    fn object(&self, line: &DrainLine) -> serde_json::Value {
        let mut object = serde_json::json!({
            "timestamp": line.time, "message": line.text, "dyno": line.dyno,
            "source_type": "docker_logs",
        });
        if let Some(object) = object.as_object_mut() {
            object.insert(self.app_key.clone(), line.app.as_str().into());
        }
        object
    }
}

impl Connection {
    /// Sends all of these lines, or says why not.
    pub(super) async fn send(&mut self, lines: &[DrainLine]) -> Result<(), String> {
        let sent = timeout(LIMIT, self.try_to_send(lines)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("no answer within {} s", LIMIT.as_secs())));
        if sent.is_err() {
            self.stream = None;
        }
        sent
    }

    async fn try_to_send(&mut self, lines: &[DrainLine]) -> Result<(), String> {
        match &self.sink {
            Sink::Http { uri, codec } => self.senders.post(uri, *codec, lines).await,
            Sink::Syslog {
                transport: Transport::Udp,
                host,
                port,
            } => datagrams(host, *port, lines)
                .await
                .map_err(|error| error.to_string()),
            Sink::Syslog {
                transport,
                host,
                port,
            } => {
                let stream = match self.stream.take() {
                    Some(stream) => Ok(stream),
                    None => self.senders.connect(*transport, host, *port).await,
                };
                let sent = match stream {
                    Ok(stream) => frames(stream, lines).await,
                    Err(error) => Err(error),
                };
                self.stream = Some(sent.map_err(|error| reason(&error))?);
                Ok(())
            }
            Sink::File { name } => append(&self.senders.folder, name, lines)
                .await
                .map_err(|error| error.to_string()),
        }
    }
}

async fn datagrams(host: &str, port: u16, lines: &[DrainLine]) -> io::Result<()> {
    let socket = UdpSocket::bind(if host.contains(':') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    })
    .await?;
    socket.connect((host, port)).await?;
    for line in lines {
        let message = syslog(line);
        let bytes = message.as_bytes();
        socket
            .send(bytes.get(..DATAGRAM_MAX).unwrap_or(bytes))
            .await?;
    }
    Ok(())
}

/// Octet counting: `LEN MESSAGE`.
async fn frames(mut stream: Box<dyn Stream>, lines: &[DrainLine]) -> io::Result<Box<dyn Stream>> {
    // One that the other side has closed takes the first bytes all the same.
    if is_closed(&mut stream) {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let mut bytes = Vec::new();
    for line in lines {
        let message = format!("{}\n", syslog(line));
        bytes.extend_from_slice(format!("{} {message}", message.len()).as_bytes());
    }
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(stream)
}

/// Looks once, without waiting. A receiver of syslog has nothing to say, and what it says is passed over.
fn is_closed(stream: &mut Box<dyn Stream>) -> bool {
    let mut probe = [0_u8; 256];
    let look = stream.read(&mut probe).now_or_never();
    matches!(look, Some(Ok(0) | Err(_)))
}

/// `<190>1 TIME APP app DYNO - - TEXT`
fn syslog(line: &DrainLine) -> String {
    let DrainLine {
        time,
        app,
        dyno,
        text,
    } = line;
    format!("{PRIORITY} {time} {app} app {dyno} - - {text}")
}

fn plain(lines: &[DrainLine]) -> String {
    lines
        .iter()
        .map(|line| format!("{} {}[{}]: {}\n", line.time, line.app, line.dyno, line.text))
        .collect()
}

async fn append(folder: &Path, name: &str, lines: &[DrainLine]) -> io::Result<()> {
    tokio::fs::create_dir_all(folder).await?;
    let path = folder.join(name);
    let bytes = plain(lines);
    let size = match tokio::fs::metadata(&path).await {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    if size > 0 && size + bytes.len() as u64 > FILE_MAX {
        tokio::fs::rename(&path, folder.join(format!("{name}.1"))).await?;
    }
    let mut file = tokio::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(&path)
        .await?;
    file.write_all(bytes.as_bytes()).await?;
    file.flush().await
}

fn user_of(uri: &Uri) -> Option<&str> {
    let (user, _) = uri.authority()?.as_str().rsplit_once('@')?;
    Some(user)
}

fn without_user(uri: &Uri) -> Result<Uri, String> {
    let mut parts = uri.clone().into_parts();
    if let Some(authority) = &parts.authority
        && let Some((_, host)) = authority.as_str().rsplit_once('@')
    {
        let host = host
            .parse()
            .map_err(|_| "the address is wrong".to_owned())?;
        parts.authority = Some(host);
    }
    Uri::from_parts(parts).map_err(|error| error.to_string())
}

fn basic(user: &str) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(user);
    format!("Basic {encoded}")
}

/// The innermost reason: "connection refused" rather than "client error".
fn reason(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
