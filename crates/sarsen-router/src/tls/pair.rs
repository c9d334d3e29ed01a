//! A certificate with its private key, read from PEM and checked.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::InconsistentKeys;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use crate::tls::CertificateFacts;

/// A chain that is longer than this is somebody's whole trust store.
const MAX_CHAIN: usize = 16;

/// Why a certificate or key is of no use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is none in the text.
    #[error(
        "There is no certificate in the .crt file: it must hold PEM, from -----BEGIN CERTIFICATE----- on"
    )]
    NoCertificate,
    /// Not readable.
    #[error("The certificate cannot be read: {0}")]
    Unreadable(String),
    /// More of them than any chain has.
    #[error(
        "The .crt file holds more than {MAX_CHAIN} certificates: put in the app's own and its intermediates only"
    )]
    TooMany,
    /// The first one is not for servers.
    #[error(
        "The first certificate of the .crt file is a certificate authority's: put the app's own first"
    )]
    Authority,
    /// No key in the text.
    #[error(
        "There is no private key in the .key file that can be used: it must hold PEM, without a passphrase"
    )]
    NoKey,
    /// A kind of key that we cannot sign with.
    #[error(
        "The private key cannot be used: give an RSA key of 2048 to 8192 bits, or an ECDSA key on P-256 or P-384, or Ed25519"
    )]
    UnusableKey,
    /// Certificates that don't vouch for each other.
    #[error("The certificates do not form one chain: leave out what does not belong to it")]
    BrokenChain,
    /// They don't belong together.
    #[error("The private key does not belong to the certificate")]
    Mismatch,
}

/// A certificate, what vouches for it, and its key.
pub struct KeyPair {
    certified: Arc<CertifiedKey>,
    facts: CertificateFacts,
}

impl KeyPair {
    /// Reads PEM: the certificate with its intermediates behind it, and the key.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, CertificateError> {
        let chain = certificates(chain)?;
        let key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| CertificateError::NoKey)?;
        let pair = Self::from_der(chain, &key)?;
        match pair.certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
            Err(rustls::Error::InconsistentKeys(_)) => Err(CertificateError::Mismatch),
            Err(error) => Err(CertificateError::Unreadable(error.to_string())),
        }
    }

    /// For what was just made: whether the two belong together is not looked at.
    pub(crate) fn from_der(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
    ) -> Result<Self, CertificateError> {
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        let facts = CertificateFacts::read(first)?;
        let key = any_supported_type(key).map_err(|_| CertificateError::UnusableKey)?;
        Ok(Self {
            certified: Arc::new(CertifiedKey::new(chain, key)),
            facts,
        })
    }

    /// What the certificate says.
    pub fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// How many certificates there are, the app's own included.
    pub fn chain_length(&self) -> usize {
        self.certified.cert.len()
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyPair").field(&self.facts.hosts).finish()
    }
}

pub(crate) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        if chain.len() == MAX_CHAIN {
            return Err(CertificateError::TooMany);
        }
        chain.push(certificate.map_err(|error| CertificateError::Unreadable(error.to_string()))?);
    }
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    Ok(chain)
}

/// Puts the certificates of a PEM text into the order that servers send them in: one that vouches for no other first,
/// then, each time, the one that vouches for the last.
pub fn order_chain(pem: &str) -> Result<String, CertificateError> {
    let all = certificates(pem)?;
    let mut rest = Vec::new();
    for der in &all {
        rest.push((Link::read(der)?, der));
    }
    let is_leaf = |link: &Link| !all_links(&rest).any(|other| other.vouched_for_by(link));
    let start = rest.iter().position(|(link, _)| is_leaf(link));
    let mut ordered = Vec::new();
    let mut next = Some(start.ok_or(CertificateError::BrokenChain)?);
    while let Some(at) = next {
        let (link, der) = rest.swap_remove(at);
        ordered.push(der);
        next = rest
            .iter()
            .position(|(other, _)| link.vouched_for_by(other));
    }
    if !rest.is_empty() {
        return Err(CertificateError::BrokenChain);
    }
    Ok(ordered.into_iter().map(|der| to_pem(der)).collect())
}

fn all_links<'a>(rest: &'a [(Link, &CertificateDer<'_>)]) -> impl Iterator<Item = &'a Link> {
    rest.iter().map(|(link, _)| link)
}

/// What ties a certificate to the one that vouches for it.
#[derive(PartialEq)]
struct Link {
    subject: Vec<u8>,
    issuer: Vec<u8>,
}

impl Link {
    fn read(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| CertificateError::Unreadable(error.to_string()))?;
        Ok(Self {
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
        })
    }

    fn vouched_for_by(&self, other: &Self) -> bool {
        self.issuer == other.subject && self.subject != other.subject
    }
}

fn to_pem(der: &CertificateDer<'_>) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let text = BASE64.encode(der);
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
