//! Which certificates belong to which host names. A value: built whole, never changed.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use sarsen_domain::Domain;

use crate::tls::KeyPair;

/// Certificates of hosts that belong together, mostly the hosts of one app.
#[derive(Debug, Clone)]
pub struct HostCertificates {
    /// The names; a wildcard stands for any number of labels, as it does in routes.
    pub hosts: Vec<Domain>,
    /// What may be shown for them. For each client the first that covers the host's name and that the client
    /// understands is taken, else the first that it understands.
    pub pairs: Vec<Arc<KeyPair>>,
}

/// All certificates.
#[derive(Debug, Default)]
pub struct CertificateSet {
    exact: HashMap<Box<str>, Candidates>,
    // Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Candidates>,
    default: Option<Candidates>,
}

/// What may be shown for one host.
#[derive(Debug, Clone)]
pub(crate) struct Candidates(Arc<[Arc<KeyPair>]>);

impl CertificateSet {
    /// Where two claim the same host, the first in the list wins; the catch-all `_` is for clients that name no host
    /// or one that nobody claims.
    pub fn new(hosts: Vec<HostCertificates>) -> Self {
        let mut set = Self::default();
        for HostCertificates { hosts, pairs } in hosts {
            if pairs.is_empty() {
                continue;
            }
            let candidates = Candidates(pairs.into());
            for host in hosts {
                set.claim(&host, candidates.clone());
            }
        }
        set
    }

    fn claim(&mut self, host: &Domain, candidates: Candidates) {
        if host.is_catch_all() {
            self.default.get_or_insert(candidates);
        } else if let Some(suffix) = host.wildcard_suffix() {
            self.wildcard.entry(suffix.into()).or_insert(candidates);
        } else {
            self.exact.entry(host.as_str().into()).or_insert(candidates);
        }
    }

    /// For the client that asks for this host: the exact name, else the longest wildcard, else the default.
    pub(crate) fn find(&self, host: Option<&str>) -> Option<&Candidates> {
        host.and_then(|host| self.own(host))
            .or(self.default.as_ref())
    }

    pub(crate) fn covers(&self, host: &str) -> bool {
        self.own(host).is_some()
    }

    fn own(&self, host: &str) -> Option<&Candidates> {
        if let Some(exact) = self.exact.get(host) {
            return Some(exact);
        }
        let mut rest = host;
        while let Some((_, suffix)) = rest.split_once('.') {
            if let Some(found) = self.wildcard.get(suffix) {
                return Some(found);
            }
            rest = suffix;
        }
        None
    }
}

impl Candidates {
    pub(crate) fn are(&self, others: &Self) -> bool {
        Arc::ptr_eq(&self.0, &others.0)
    }

    pub(crate) fn choose(
        &self,
        host: Option<&str>,
        understood: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let usable =
            |pair: &&Arc<KeyPair>| pair.certified().key.choose_scheme(understood).is_some();
        let covers = |pair: &&Arc<KeyPair>| host.is_none_or(|host| pair.facts().covers(host));
        let mut usable_ones = self.0.iter().filter(usable);
        let found = usable_ones
            .clone()
            .find(covers)
            .or_else(|| usable_ones.next());
        found.map(|pair| Arc::clone(pair.certified()))
    }
}
