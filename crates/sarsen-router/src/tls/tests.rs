//! Real handshakes, in memory.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use sarsen_domain::Domain;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

/// Takes any certificate; looking at it is the test's business.
#[derive(Debug)]
struct Gullible(Vec<SignatureScheme>);

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

const ECDSA: SignatureScheme = SignatureScheme::ECDSA_NISTP256_SHA256;
const RSA: SignatureScheme = SignatureScheme::RSA_PSS_SHA256;

/// What a client got to see.
struct Seen {
    hosts: Vec<String>,
    alpn: Option<Vec<u8>>,
    handshake: Option<rustls::HandshakeKind>,
}

struct Client(Arc<ClientConfig>);

impl Client {
    fn new(schemes: &[SignatureScheme], alpn: &[&[u8]]) -> Self {
        let provider = Arc::new(crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Gullible(schemes.to_vec())))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Self(Arc::new(config))
    }

    async fn connect(&self, server: &Arc<ServerConfig>, host: &str) -> Option<Seen> {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let accept = TlsAcceptor::from(Arc::clone(server)).accept(far);
        let connect = TlsConnector::from(Arc::clone(&self.0)).connect(name, near);
        let (accepted, connected) = tokio::join!(accept, connect);
        let mut accepted = accepted.ok()?;
        let mut stream = connected.ok()?;
        // The tickets come after the handshake, so the client has to read something.
        tokio::io::AsyncWriteExt::write_all(&mut accepted, b"x")
            .await
            .ok()?;
        tokio::io::AsyncReadExt::read_u8(&mut stream).await.ok()?;
        let (_, session) = stream.get_ref();
        let first = session.peer_certificates()?.first()?;
        Some(Seen {
            hosts: CertificateFacts::read(first).unwrap().hosts,
            alpn: session.alpn_protocol().map(<[u8]>::to_vec),
            handshake: session.handshake_kind(),
        })
    }
}

fn pair(host: &str) -> Arc<KeyPair> {
    let made = self_signed(&[host], 1).unwrap();
    Arc::new(KeyPair::from_pem(&made.certificate, &made.key).unwrap())
}

/// A certificate with an RSA key; ring makes none, so this one was made before.
fn rsa_pair() -> Arc<KeyPair> {
    let (chain, key) = (
        include_str!("testdata/rsa.crt"),
        include_str!("testdata/rsa.key"),
    );
    Arc::new(KeyPair::from_pem(chain, key).unwrap())
}

fn of(hosts: &[&str], pairs: Vec<Arc<KeyPair>>) -> HostCertificates {
    HostCertificates {
        hosts: hosts.iter().map(|h| Domain::parse(h).unwrap()).collect(),
        pairs,
    }
}

fn server(certificates: &Certificates) -> Arc<ServerConfig> {
    Arc::new(certificates.server_config().unwrap())
}

#[tokio::test]
async fn the_name_chooses_the_certificate_and_a_swap_is_live() {
    let certificates = Certificates::default();
    let server = server(&certificates);
    let client = Client::new(&[ECDSA], &[b"h2", b"http/1.1"]);
    assert!(client.connect(&server, "a.test").await.is_none());
    certificates.swap(CertificateSet::new(vec![
        of(&["a.test"], vec![pair("a.test")]),
        of(
            &["*.b.test", "b.test"],
            vec![pair("b.test"), pair("*.b.test")],
        ),
        of(&["c.test"], vec![]),
    ]));
    for (host, shown) in [
        ("a.test", Some("a.test")),
        ("A.TEST", Some("a.test")),
        ("b.test", Some("b.test")),
        ("x.b.test", Some("*.b.test")),
        // No certificate covers it: the first is as good as any.
        ("y.x.b.test", Some("b.test")),
        ("c.test", None),
        ("xa.test", None),
    ] {
        let seen = client.connect(&server, host).await;
        let hosts = seen.map(|seen| seen.hosts.join(" "));
        assert_eq!(hosts.as_deref(), shown, "{host}");
        assert_eq!(certificates.covers(host), shown.is_some(), "{host}");
    }
    let seen = client.connect(&server, "a.test").await.unwrap();
    assert_eq!(seen.alpn.as_deref(), Some(b"h2".as_slice()));
    certificates.swap(CertificateSet::default());
    assert!(client.connect(&server, "a.test").await.is_none());
}

#[tokio::test]
async fn the_catch_all_is_for_who_is_nobodys_guest() {
    let certificates = Certificates::default();
    certificates.swap(CertificateSet::new(vec![of(
        &["_"],
        vec![pair("any.test")],
    )]));
    let client = Client::new(&[ECDSA], &[]);
    let server = server(&certificates);
    assert!(client.connect(&server, "else.test").await.is_some());
    assert!(client.connect(&server, "127.0.0.1").await.is_some());
    assert!(!certificates.covers("else.test") && certificates.answers(None));
}

#[tokio::test]
async fn a_client_gets_the_kind_of_key_that_it_understands() {
    let certificates = Certificates::default();
    let both = vec![pair("a.test"), rsa_pair()];
    certificates.swap(CertificateSet::new(vec![of(&["a.test"], both)]));
    let server = server(&certificates);
    for (schemes, shown) in [(&[ECDSA, RSA][..], "a.test"), (&[RSA], "rsa.test")] {
        let seen = Client::new(schemes, &[]).connect(&server, "a.test").await;
        assert_eq!(seen.unwrap().hosts, [shown]);
    }
    let ed25519 = Client::new(&[SignatureScheme::ED25519], &[]);
    assert!(ed25519.connect(&server, "a.test").await.is_none());
}

#[tokio::test]
async fn a_second_visit_resumes_the_session() {
    let certificates = Certificates::default();
    certificates.swap(CertificateSet::new(vec![of(
        &["a.test"],
        vec![pair("a.test")],
    )]));
    let (server, client) = (server(&certificates), Client::new(&[ECDSA], &[]));
    let first = client.connect(&server, "a.test").await.unwrap();
    assert_eq!(first.handshake, Some(rustls::HandshakeKind::Full));
    let second = client.connect(&server, "a.test").await.unwrap();
    assert_eq!(second.handshake, Some(rustls::HandshakeKind::Resumed));
    // A host whose certificate was removed is not served from memory.
    certificates.swap(CertificateSet::default());
    assert!(client.connect(&server, "a.test").await.is_none());
}

#[tokio::test]
async fn the_authority_alone_sees_the_challenge() {
    let certificates = Certificates::default();
    certificates.swap(CertificateSet::new(vec![of(
        &["a.test"],
        vec![pair("own.test")],
    )]));
    let server = server(&certificates);
    let authority = Client::new(&[ECDSA], &[ACME_ALPN]);
    assert!(authority.connect(&server, "a.test").await.is_none());
    let challenge = challenge_pair("a.test", &[7; 32]).unwrap();
    let guard = certificates.answer_challenge("A.test", &challenge);
    let seen = authority.connect(&server, "a.test").await.unwrap();
    assert_eq!(
        (seen.hosts, seen.alpn.as_deref()),
        (vec!["a.test".to_owned()], Some(ACME_ALPN))
    );
    let visitor = Client::new(&[ECDSA], &[b"http/1.1"]);
    assert_eq!(
        visitor.connect(&server, "a.test").await.unwrap().hosts,
        ["own.test"]
    );
    drop(guard);
    assert!(authority.connect(&server, "a.test").await.is_none());
}

#[test]
fn what_is_no_pair_is_refused_with_the_reason() {
    let (one, two) = (
        self_signed(&["a.test"], 1).unwrap(),
        self_signed(&["b.test"], 1).unwrap(),
    );
    let refused = |chain: &str, key: &str| KeyPair::from_pem(chain, key).unwrap_err();
    assert_eq!(
        refused(&one.certificate, &two.key),
        CertificateError::Mismatch
    );
    assert_eq!(refused("", &one.key), CertificateError::NoCertificate);
    assert_eq!(refused(&one.key, &one.key), CertificateError::NoCertificate);
    assert_eq!(
        refused(&one.certificate, "nonsense"),
        CertificateError::NoKey
    );
    let many = one.certificate.repeat(17);
    assert_eq!(refused(&many, &one.key), CertificateError::TooMany);
    let cut = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    assert!(matches!(
        refused(cut, &one.key),
        CertificateError::Unreadable(_)
    ));
    let text = format!(
        "{:?}",
        KeyPair::from_pem(&one.certificate, &one.key).unwrap()
    );
    assert_eq!(text, r#"KeyPair(["a.test"])"#, "no key in logs");
}

#[test]
fn facts_are_what_openssl_says() {
    let pair = rsa_pair();
    let facts = pair.facts();
    assert_eq!(facts.subject, "C=DE; O=Test; CN=rsa.test");
    assert_eq!(facts.issuer, "C=DE, O=Test, CN=rsa.test");
    assert!(facts.is_self_signed && facts.expires_at > facts.starts_at);
    assert!(facts.covers("RSA.test") && !facts.covers("x.rsa.test"));
}

#[test]
fn a_chain_is_put_in_order() {
    let (leaf, middle, root) = (
        include_str!("testdata/leaf.crt"),
        include_str!("testdata/middle.crt"),
        include_str!("testdata/root.crt"),
    );
    let ordered = order_chain(&format!("{root}{leaf}{middle}")).unwrap();
    let plain = |text: &str| text.replace("\r\n", "\n");
    assert_eq!(ordered, plain(&format!("{leaf}{middle}{root}")));
    assert_eq!(
        order_chain(&format!("{leaf}{root}")),
        Err(CertificateError::BrokenChain)
    );
    assert_eq!(order_chain(leaf).unwrap(), plain(leaf));
}
