//! TLS in front: who is let in, what the app gets to know, which protocol is agreed on.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme,
    WantsVerifier,
};
use sarsen_domain::Domain;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::kit::{Backend, SOON, Site};
use crate::tls::{CertificateSet, HostCertificates, KeyPair, self_signed};
use crate::{RouterSettings, TrustedProxies, UnknownName};

/// A site with a certificate that `app.test` and `www.test` share, and another one for `own.test`.
pub(super) struct Secure {
    pub(super) site: Site,
    roots: RootCertStore,
}

impl Secure {
    pub(super) async fn in_front_of(backend: &Backend, settings: RouterSettings) -> Self {
        let mut roots = RootCertStore::empty();
        let mut sets = Vec::new();
        for (name, hosts) in [
            ("app.test", ["app.test", "www.test"].as_slice()),
            ("own.test", &["own.test"]),
        ] {
            let made = self_signed(&[name], 1).unwrap();
            let pair = KeyPair::from_pem(&made.certificate, &made.key).unwrap();
            roots.add(pair.certified().cert[0].clone()).unwrap();
            sets.push(HostCertificates {
                hosts: hosts.iter().map(|h| Domain::parse(h).unwrap()).collect(),
                pairs: vec![Arc::new(pair)],
            });
        }
        let site = Site::start_by(settings, |router, listener, stop| async move {
            router.serve_tls(listener, stop).await.unwrap();
        })
        .await;
        site.router.certificates().swap(CertificateSet::new(sets));
        site.route(&[(1, backend.address)]);
        Self { site, roots }
    }

    pub(super) async fn try_connect(
        &self,
        name: &str,
        alpn: &[&str],
        first: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = builder()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
        let mut stream = TcpStream::connect(("127.0.0.1", self.site.port)).await?;
        stream.write_all(first.as_bytes()).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        tokio::time::timeout(SOON, connecting).await.unwrap()
    }

    /// A client that takes any certificate.
    async fn connect_blindly(&self, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let config = builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Blind))
            .with_no_client_auth();
        let stream = TcpStream::connect(("127.0.0.1", self.site.port)).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
        tokio::time::timeout(SOON, connecting).await.unwrap()
    }

    pub(super) async fn connect(&self, name: &str, alpn: &[&str]) -> TlsStream<TcpStream> {
        self.try_connect(name, alpn, "").await.unwrap()
    }
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
}

/// Takes any certificate for any name.
#[derive(Debug)]
struct Blind;

impl ServerCertVerifier for Blind {
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
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>, request: &str) -> String {
    let request = request.replace('\n', "\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    // A connection that is closed without goodbye has still said what it said.
    tokio::time::timeout(SOON, reading).await.unwrap().ok();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_request_inside_tls_is_told_to_the_app_as_such() {
    let backend = Backend::echoing().await;
    let secure = Secure::in_front_of(&backend, RouterSettings::default()).await;
    for alpn in [[].as_slice(), &["http/1.1"]] {
        let mut stream = secure.connect("app.test", alpn).await;
        let answer = ask(
            &mut stream,
            "GET /x HTTP/1.1\nHost: app.test\nX-Forwarded-Proto: http\nConnection: close\n\n",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("\nx-forwarded-proto: https\n"), "{answer}");
        let port = format!("\nx-forwarded-port: {}\n", secure.site.port);
        assert!(answer.contains(&port), "{answer}");
    }
}

#[tokio::test]
async fn a_host_without_certificate_gets_no_handshake() {
    let backend = Backend::echoing().await;
    let secure = Secure::in_front_of(&backend, RouterSettings::default()).await;
    assert!(
        secure
            .try_connect("stranger.example", &[], "")
            .await
            .is_err()
    );
    assert!(secure.try_connect("127.0.0.1", &[], "").await.is_err());
    // Somebody who speaks in the clear, or nothing that is known.
    let reply = secure.site.connect().await.hear_bytes(0).await;
    assert!(reply.is_empty());
    let mut wire = secure.site.connect().await;
    wire.say("GET / HTTP/1.1\nHost: app.test\n\n").await;
    let answer = wire.raw_to_end().await;
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    assert!(
        secure
            .try_connect("app.test", &["spdy/3"], "")
            .await
            .is_err()
    );
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn a_connection_serves_the_host_of_its_handshake_and_those_that_share_its_certificate() {
    let backend = Backend::echoing().await;
    let secure = Secure::in_front_of(&backend, RouterSettings::default()).await;
    for (named, host, status) in [
        ("app.test", "app.test", "200"),
        ("app.test", "APP.test.:443", "200"),
        // Shared, so the router looks for it, and there is no such app.
        ("app.test", "www.test", "404"),
        ("own.test", "app.test", "421"),
        ("app.test", "own.test", "421"),
        ("app.test", "127.0.0.1", "421"),
    ] {
        let mut stream = secure.connect(named, &[]).await;
        let request = format!("GET / HTTP/1.1\nHost: {host}\nConnection: close\n\n");
        let answer = ask(&mut stream, &request).await;
        let start = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&start), "{named} {host}: {answer}");
    }
}

/// Asks on a connection that was made for `named`, whatever certificate is shown.
async fn status(secure: &Secure, named: &str, host: &str) -> String {
    let mut stream = secure.connect_blindly(named).await.unwrap();
    let request = format!("GET / HTTP/1.1\nHost: {host}\nConnection: close\n\n");
    let answer = ask(&mut stream, &request).await;
    answer.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn strangers_are_shown_a_certificate_of_nobodys_and_no_app_if_so_wanted() {
    let backend = Backend::echoing().await;
    let settings = RouterSettings {
        unknown_name: UnknownName::SelfSigned,
        ..RouterSettings::default()
    };
    let secure = Secure::in_front_of(&backend, settings).await;
    for (named, host, expected) in [
        ("stranger.example", "stranger.example", "404"),
        ("stranger.example", "app.test", "421"),
        // Addresses are not named in handshakes.
        ("127.0.0.1", "127.0.0.1", "421"),
        ("127.0.0.1", "app.test", "421"),
        ("app.test", "stranger.example", "421"),
    ] {
        let got = status(&secure, named, host).await;
        assert_eq!(got, expected, "{named} {host}");
    }
    let stream = secure.connect_blindly("stranger.example").await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let (_, shown) = x509_parser::parse_x509_certificate(&shown).unwrap();
    let name = format!("{:?}", shown.subject_alternative_name().unwrap());
    assert!(name.contains("unknown.invalid"), "{name}");
    // Who checks certificates sees that this is not the one.
    let checked = secure.try_connect("stranger.example", &[], "").await;
    assert!(checked.is_err());
    assert_eq!(backend.connections(), 0);
    assert_eq!(status(&secure, "app.test", "app.test").await, "200");
}

#[tokio::test]
async fn who_names_no_host_in_the_handshake_gets_the_app_of_the_certificate_that_is_shown() {
    let backend = Backend::echoing().await;
    let secure = Secure::in_front_of(&backend, RouterSettings::default()).await;
    let set = |name: &str, hosts: &[&str]| {
        let made = self_signed(&[name], 1).unwrap();
        let pair = KeyPair::from_pem(&made.certificate, &made.key).unwrap();
        HostCertificates {
            hosts: hosts.iter().map(|h| Domain::parse(h).unwrap()).collect(),
            pairs: vec![Arc::new(pair)],
        }
    };
    let sets = vec![
        set("app.test", &["_", "app.test"]),
        set("own.test", &["own.test"]),
    ];
    let certificates = secure.site.router.certificates();
    certificates.swap(CertificateSet::new(sets));
    for (named, host, expected) in [
        ("127.0.0.1", "app.test", "200"),
        ("127.0.0.1", "127.0.0.1", "404"),
        ("127.0.0.1", "own.test", "421"),
        ("stranger.example", "stranger.example", "404"),
        ("stranger.example", "app.test", "200"),
        ("stranger.example", "own.test", "421"),
    ] {
        let got = status(&secure, named, host).await;
        assert_eq!(got, expected, "{named} {host}");
    }
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_not_waited_for() {
    let backend = Backend::echoing().await;
    let settings = RouterSettings {
        handshake_timeout: Duration::from_millis(100),
        ..RouterSettings::default()
    };
    let secure = Secure::in_front_of(&backend, settings).await;
    let mut wire = secure.site.connect().await;
    wire.send(b"\x16\x03\x01").await;
    assert!(wire.is_over().await);
}

#[tokio::test]
async fn a_websocket_passes_inside_tls() {
    let backend = Backend::start(|mut wire, _| async move {
        wire.hear().await.unwrap();
        wire.say(
            "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\n\nhello\n",
        )
        .await;
        let line = wire.hear_until("\r\n").await.unwrap();
        wire.say(&format!("> {line}").replace('\r', "")).await;
    })
    .await;
    let secure = Secure::in_front_of(&backend, RouterSettings::default()).await;
    let mut stream = secure.connect("app.test", &["http/1.1"]).await;
    let upgrade =
        "GET / HTTP/1.1\nHost: app.test\nConnection: Upgrade\nUpgrade: websocket\n\nbye\n";
    let answer = ask(&mut stream, upgrade).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello\r\n> bye\r\n"), "{answer}");
}

#[tokio::test]
async fn a_trusted_balancer_names_the_client_ahead_of_the_handshake() {
    let backend = Backend::echoing().await;
    let settings = RouterSettings {
        proxy_protocol: TrustedProxies::parse(["127.0.0.1"]).unwrap(),
        ..RouterSettings::default()
    };
    let secure = Secure::in_front_of(&backend, settings).await;
    let header = "PROXY TCP4 192.0.2.7 10.0.0.1 5555 443\r\n";
    let mut stream = secure.try_connect("app.test", &[], header).await.unwrap();
    let request = "GET / HTTP/1.1\nHost: app.test\nConnection: close\n\n";
    let answer = ask(&mut stream, request).await;
    assert!(
        answer.contains("\nx-forwarded-for: 192.0.2.7\n"),
        "{answer}"
    );
    assert!(secure.try_connect("app.test", &[], "").await.is_err());
}
