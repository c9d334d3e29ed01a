//! Certificates: which one a client is shown for a host name. The set is swapped whole while connections are served.

mod facts;
mod generate;
mod pair;
mod set;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, crypto};

use crate::host;

pub use facts::CertificateFacts;
pub use generate::{Generated, challenge_pair, self_signed};
pub use pair::{CertificateError, KeyPair, order_chain};
pub use set::{CertificateSet, HostCertificates};
pub use verify::is_vouched_for;

/// What a certificate authority asks for when it looks at a TLS-ALPN-01 challenge. A connection that agreed on it
/// carries no request: close it when the handshake is done.
pub const ACME_ALPN: &[u8] = b"acme-tls/1";

/// TLS 1.2 sessions that are remembered; those of TLS 1.3, and of most TLS 1.2 clients, are in the client's ticket.
const SESSIONS: usize = 8 * 1024;

/// The certificates that are shown now. Clones are handles to the same ones.
#[derive(Debug, Clone, Default)]
pub struct Certificates(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    set: ArcSwap<CertificateSet>,
    challenges: ArcSwap<HashMap<Box<str>, Arc<CertifiedKey>>>,
    // For hosts that have none.
    strangers: ArcSwapOption<CertifiedKey>,
}

impl Certificates {
    /// Shows these from the next handshake on.
    pub fn swap(&self, set: CertificateSet) {
        self.0.set.store(Arc::new(set));
    }

    /// Whether there is a certificate of a host's own: the default one does not count.
    pub fn covers(&self, host: &str) -> bool {
        host::normalise(host).is_some_and(|host| self.0.set.load().covers(&host))
    }

    /// Whether a client that names this host, or none, is shown any certificate.
    pub fn answers(&self, host: Option<&str>) -> bool {
        self.0.set.load().find(host).is_some()
    }

    /// Whether two hosts are shown the same certificates, so that a connection made for one of them serves the other.
    pub(crate) fn are_shared(&self, one: Option<&str>, other: &str) -> bool {
        let set = self.0.set.load();
        match (set.find(one), set.find(Some(other))) {
            (Some(one), Some(other)) => one.are(other),
            (_, _) => false,
        }
    }

    /// Shows this to clients that name a host without certificate, or none, in place of refusing them.
    pub(crate) fn show_strangers(&self, pair: &KeyPair) {
        self.0.strangers.store(Some(Arc::clone(pair.certified())));
    }

    /// Answers TLS-ALPN-01 for a host until the guard is dropped.
    #[must_use = "the challenge is answered until this is dropped"]
    pub fn answer_challenge(&self, host: &str, pair: &KeyPair) -> ChallengeGuard {
        let host: Box<str> = host.to_ascii_lowercase().into();
        let key = Arc::clone(pair.certified());
        self.0.challenges.rcu(|all| {
            let mut all = HashMap::clone(all);
            all.insert(host.clone(), Arc::clone(&key));
            all
        });
        ChallengeGuard {
            certificates: self.clone(),
            host,
            key,
        }
    }

    /// Settings for a listener: these certificates, HTTP/2 and HTTP/1.1, resumption.
    pub fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let provider: Arc<CryptoProvider> = Arc::new(crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = [b"h2", b"http/1.1".as_slice(), ACME_ALPN]
            .map(<[u8]>::to_vec)
            .to_vec();
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        config.ticketer = crypto::ring::Ticketer::new()?;
        Ok(config)
    }

    fn challenge(&self, host: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let host = host?.to_ascii_lowercase();
        self.0.challenges.load().get(host.as_str()).cloned()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name();
        if is_challenge(&hello) {
            return self.challenge(host);
        }
        let set = self.0.set.load();
        let Some(own) = set.find(host) else {
            return self.0.strangers.load_full();
        };
        own.choose(host, hello.signature_schemes())
    }
}

/// The CA offers this protocol and no other.
fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello
        .alpn()
        .is_some_and(|mut offered| offered.next() == Some(ACME_ALPN) && offered.next().is_none())
}

/// A TLS-ALPN-01 challenge that is being answered.
#[derive(Debug)]
pub struct ChallengeGuard {
    certificates: Certificates,
    host: Box<str>,
    key: Arc<CertifiedKey>,
}

impl Drop for ChallengeGuard {
    fn drop(&mut self) {
        self.certificates.0.challenges.rcu(|all| {
            let mut all = HashMap::clone(all);
            // A later challenge for the same host stays.
            if all
                .get(&self.host)
                .is_some_and(|key| Arc::ptr_eq(key, &self.key))
            {
                all.remove(&self.host);
            }
            all
        });
    }
}

#[cfg(test)]
mod tests;
