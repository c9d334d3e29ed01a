//! One HTTP request at a time, each over a connection of its own: over TCP, TLS or a unix socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{BackendError, TlsFiles};

/// For one request, from connecting to the last byte. Nobody waits for a registry that hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lists of thousands of services are far smaller.
const BODY_MAX: usize = 64 << 20;
/// Of an error's text so much is shown.
const ERROR_MAX: usize = 300;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// A server that speaks HTTP, at one or several places that are equally good.
pub(super) struct HttpClient {
    places: Vec<Place>,
    tls: Option<TlsConnector>,
    headers: HeaderMap,
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl HttpClient {
    pub(super) fn new(places: Vec<Place>, tls: Option<&TlsFiles>) -> Result<Self, BackendError> {
        Ok(Self {
            places,
            tls: tls.map(connector).transpose()?,
            headers: HeaderMap::new(),
        })
    }

    /// Sends this header with every request; nobody sees it in a log.
    pub(super) fn set_secret(
        &mut self,
        name: &'static str,
        value: &str,
    ) -> Result<(), BackendError> {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| BackendError::Refused(format!("what {name} is to say is no header")))?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }

    /// Asks one place after the other until one answers.
    pub(super) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, BackendError> {
        self.request(&method, path, body, &HeaderMap::new()).await
    }

    /// The same with more headers.
    pub(super) async fn request(
        &self,
        method: &Method,
        path: &str,
        body: Bytes,
        more: &HeaderMap,
    ) -> Result<Answer, BackendError> {
        let mut why = BackendError::Unreachable("no address is known".to_owned());
        for place in &self.places {
            let attempt = self.ask(place, self.message(place, method, path, &body, more)?);
            let failure = match timeout(PATIENCE, attempt).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => failure,
                Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
            };
            why = BackendError::Unreachable(failure);
        }
        Err(why)
    }

    fn message(
        &self,
        place: &Place,
        method: &Method,
        path: &str,
        body: &Bytes,
        more: &HeaderMap,
    ) -> Result<Request<Full<Bytes>>, BackendError> {
        let host = match place {
            Place::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp { host, port } => format!("{host}:{port}"),
            Place::Unix(_) => "localhost".to_owned(),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.clone()))
            .map_err(|error| {
                BackendError::Refused(format!("{path} cannot be asked for: {error}"))
            })?;
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        headers.extend(more.clone());
        Ok(request)
    }

    async fn ask(&self, place: &Place, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        match (place, &self.tls) {
            (Place::Unix(path), _) => {
                let stream = UnixStream::connect(path).await.map_err(text)?;
                exchange(stream, request).await
            }
            (Place::Tcp { host, port }, None) => {
                let stream = tcp(host, *port).await?;
                exchange(stream, request).await
            }
            (Place::Tcp { host, port }, Some(tls)) => {
                let stream = tcp(host, *port).await?;
                let name = ServerName::try_from(host.clone()).map_err(text)?;
                let stream = tls.connect(name, stream).await.map_err(text)?;
                exchange(stream, request).await
            }
        }
    }
}

impl Answer {
    /// The body of a success; else what the failure means.
    pub(super) fn good(self) -> Result<Bytes, BackendError> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let text = String::from_utf8_lossy(&self.body);
        let text: String = text.trim().chars().take(ERROR_MAX).collect();
        let said = format!("it answers {}: {text}", self.status.as_u16());
        // Consul says 500 for a write that its rules forbid as well as for a lost leader: only 4xx is final.
        let is_final = self.status.is_client_error()
            && !matches!(
                self.status,
                StatusCode::TOO_MANY_REQUESTS
                    | StatusCode::REQUEST_TIMEOUT
                    | StatusCode::UNAUTHORIZED
            );
        Err(if is_final {
            BackendError::Refused(said)
        } else {
            BackendError::Unreachable(said)
        })
    }
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, String> {
    let stream = TcpStream::connect((host, port)).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    Ok(stream)
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(text)?;
    // The sender goes with the end of the block, and the connection with the sender.
    let asking = async move {
        let answer = sender.send_request(request).await.map_err(text)?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), BODY_MAX);
        let body = body.collect().await.map_err(text)?.to_bytes();
        Ok(Answer { status, body })
    };
    // How the connection ends does not matter once the answer is whole.
    let (answer, _) = tokio::join!(asking, connection);
    answer
}

fn connector(files: &TlsFiles) -> Result<TlsConnector, BackendError> {
    let wrong = |what: String| BackendError::Refused(what);
    let mut roots = RootCertStore::empty();
    match &files.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| wrong(format!("{}: {error}", path.display())))?;
            }
        }
        // One that cannot be read is told of by the handshake that misses it.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots);
    let config = match &files.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let secret = PrivateKeyDer::from_pem_file(key)
                .map_err(|error| wrong(format!("{}: {error}", key.display())))?;
            builder
                .with_client_auth_cert(certificates(certificate)?, secret)
                .map_err(|error| wrong(format!("{}: {error}", certificate.display())))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, BackendError> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| BackendError::Refused(format!("{}: {error}", path.display())))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A path's part with everything escaped that means something in a URL.
pub(super) fn escaped(part: &str) -> String {
    let mut text = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}
