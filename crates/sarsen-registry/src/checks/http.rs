//! One request, with its redirects on the same server, judged as Consul does.

use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

use super::Said;
use crate::check::{CheckStatus, HttpProbe};

/// So much of an answer is kept, for people.
pub(super) const OUTPUT_MAX: usize = 4096;
const REDIRECTS_MAX: usize = 5;

/// The TLS settings of requests, made when first needed.
#[derive(Clone, Default)]
pub(super) struct HttpClient {
    strict: Arc<OnceCell<Arc<ClientConfig>>>,
    lax: Arc<OnceCell<Arc<ClientConfig>>>,
}

struct Answer {
    status: StatusCode,
    location: Option<String>,
    body: String,
}

impl HttpClient {
    /// Asks once: 2xx passes, 429 warns, everything else is critical.
    pub(super) async fn look(&self, probe: &HttpProbe) -> Said {
        let what = format!("HTTP {} {}", probe.method, probe.url);
        match self.ask(probe).await {
            Ok(answer) => {
                let status = match answer.status {
                    status if status.is_success() => CheckStatus::Passing,
                    StatusCode::TOO_MANY_REQUESTS => CheckStatus::Warning,
                    _ => CheckStatus::Critical,
                };
                let text = format!("{what}: {} Output: {}", answer.status, answer.body);
                (status, short(&text))
            }
            Err(problem) => (CheckStatus::Critical, short(&format!("{what}: {problem}"))),
        }
    }

    async fn ask(&self, probe: &HttpProbe) -> Result<Answer, String> {
        let mut target: Uri = probe.url.parse().map_err(|_| "no URL".to_owned())?;
        for _ in 0..=REDIRECTS_MAX {
            let answer = self.send(probe, &target).await?;
            let location = answer.location.as_deref();
            match location.filter(|_| answer.status.is_redirection()) {
                None => return Ok(answer),
                Some(location) => {
                    target = redirected(&target, location).ok_or_else(|| {
                        format!("{} leads to another server: {location}", answer.status)
                    })?;
                }
            }
        }
        Err(format!("more than {REDIRECTS_MAX} redirects"))
    }

    async fn send(&self, probe: &HttpProbe, target: &Uri) -> Result<Answer, String> {
        let host = target.host().ok_or("the URL has no host")?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = match target.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err("only http and https can be asked".to_owned()),
        };
        let port = target.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let request = request(probe, target)?;
        let connection = TcpStream::connect((bare, port)).await.map_err(text)?;
        if !is_tls {
            return exchange(connection, request).await;
        }
        let name = ServerName::try_from(bare.to_owned()).map_err(text)?;
        let config = match probe.skip_verify {
            true => self.lax.get_or_init(|| async { Arc::new(lax()) }).await,
            false => self.strict.get_or_init(strict).await,
        };
        let connector = TlsConnector::from(Arc::clone(config));
        let connection = connector.connect(name, connection).await.map_err(text)?;
        exchange(connection, request).await
    }
}

/// Cut to what is kept.
pub(super) fn short(text: &str) -> String {
    let end = (0..=OUTPUT_MAX.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    let kept = text.get(..end.unwrap_or(0)).unwrap_or_default();
    kept.trim_end().to_owned()
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn request(probe: &HttpProbe, target: &Uri) -> Result<Request<Full<Bytes>>, String> {
    let method: Method = probe.method.parse().map_err(text)?;
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    let host = target.authority().map_or("", |host| host.as_str());
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, host)
        .header(USER_AGENT, "Sarsen Health Check")
        .header(CONNECTION, "close")
        .body(Full::new(Bytes::from(probe.body.clone())))
        .map_err(text)?;
    for (name, value) in &probe.headers {
        let name: HeaderName = name.parse().map_err(text)?;
        let value = HeaderValue::from_str(value).map_err(text)?;
        if name == HOST {
            request.headers_mut().insert(name, value);
        } else {
            request.headers_mut().append(name, value);
        }
    }
    Ok(request)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(text)?;
    let exchange = pin!(async move {
        let response = sender.send_request(request).await.map_err(text)?;
        Ok(read(response).await)
    });
    // The connection may end first, with the rest of the body already here.
    match select(exchange, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        Either::Right((_, exchange)) => exchange.await,
    }
}

async fn read(response: Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let location = head.headers.get(LOCATION);
    let location = location.and_then(|value| value.to_str().ok());
    // A longer answer is as good; its words are not needed.
    let body = Limited::new(body, OUTPUT_MAX).collect().await;
    let body = body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned());
    Answer {
        status: head.status,
        location: location.map(str::to_owned),
        body: body.unwrap_or_default(),
    }
}

/// Where a redirect leads, when that is the same server.
fn redirected(from: &Uri, location: &str) -> Option<Uri> {
    let to: Uri = if location.starts_with('/') && !location.starts_with("//") {
        let scheme = from.scheme_str()?;
        format!("{scheme}://{}{location}", from.authority()?)
            .parse()
            .ok()?
    } else {
        location.parse().ok()?
    };
    (to.authority() == from.authority() && to.scheme() == from.scheme()).then_some(to)
}

async fn strict() -> Arc<ClientConfig> {
    let roots = tokio::task::spawn_blocking(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    });
    let roots = roots.await.unwrap_or_else(|_| RootCertStore::empty());
    Arc::new(with_ring(|builder| {
        builder.with_root_certificates(roots).with_no_client_auth()
    }))
}

fn lax() -> ClientConfig {
    with_ring(|builder| {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider())))
            .with_no_client_auth()
    })
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn with_ring(finish: impl FnOnce(Builder) -> ClientConfig) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider());
    match builder.with_safe_default_protocol_versions() {
        Ok(builder) => finish(builder),
        // Ring has both versions.
        Err(error) => unreachable!("{error}"),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// For checks that ask for it (`SERVICE_CHECK_TLS_SKIP_VERIFY`): whoever answers is believed, and told nothing.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
