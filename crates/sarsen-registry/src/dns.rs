//! DNS: the healthy services of the catalog under one domain, everything else from the host's own name servers.

mod forward;
mod index;
mod server;
#[cfg(test)]
mod tests;
mod wire;
mod zone;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::rr::Name;
use tokio::sync::Semaphore;

use crate::Registry;
use forward::Forwarder;
use index::Index;
use zone::Zone;

pub use forward::{Upstreams, fallbacks};
pub use server::DnsListener;

/// Questions to other servers that are under way at a time.
const FORWARDS: usize = 512;
/// TCP connections at a time.
const CONNECTIONS: usize = 256;

/// How we answer.
#[derive(Debug, Clone)]
pub struct DnsSettings {
    /// `sarsen`: names end in `.service.sarsen`.
    pub domain: String,
    /// The name of this host, and the one part that a name may have before the domain.
    pub node: String,
    pub datacenter: String,
    /// How long others may remember an answer, or that there is none.
    pub ttl: Duration,
    /// Who answers everything else.
    pub upstreams: Upstreams,
}

/// Why names cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The domain is none.
    #[error(
        "{0} cannot be the domain of services: use something like \"sarsen\" or \"service.example.com\""
    )]
    Domain(String),
    /// The port is not to be had.
    #[error("cannot answer DNS on {address}: {error}{advice}")]
    Bind {
        address: SocketAddr,
        error: std::io::Error,
        advice: &'static str,
    },
}

/// The name server. Cheap to clone.
#[derive(Clone)]
pub struct Dns {
    shared: Arc<Shared>,
}

struct Shared {
    registry: Registry,
    zone: Zone,
    index: ArcSwap<Index>,
    forwarder: Forwarder,
    forwards: Semaphore,
    connections: Arc<Semaphore>,
    /// Where we answer: the first one stands for this host.
    addresses: Mutex<Vec<SocketAddr>>,
}

impl Dns {
    pub fn new(registry: Registry, settings: DnsSettings) -> Result<Self, DnsError> {
        let domain = settings.domain.trim_end_matches('.').to_ascii_lowercase();
        let name = Name::from_ascii(format!("{domain}."));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        let legal = !domain.is_empty() && domain.chars().all(is_plain);
        let Some(origin) = name.ok().filter(|_| legal) else {
            return Err(DnsError::Domain(settings.domain));
        };
        let zone = Zone::new(origin, &settings);
        let shared = Shared {
            registry,
            zone,
            index: ArcSwap::default(),
            forwarder: Forwarder::new(settings.upstreams),
            forwards: Semaphore::new(FORWARDS),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            addresses: Mutex::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Where we answer at this moment.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.shared.addresses.lock();
        addresses.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The catalog as names, made anew when it has changed.
    fn index(&self) -> Arc<Index> {
        let shared = &*self.shared;
        let index = shared.index.load_full();
        let catalog = shared.registry.catalog();
        if index.is_of(&catalog) {
            return index;
        }
        let index = Arc::new(Index::of(&catalog));
        shared.index.store(Arc::clone(&index));
        index
    }

    /// Where this host is reached by those who ask us.
    fn host(&self) -> Option<IpAddr> {
        let addresses = self.addresses();
        let mut ips = addresses.iter().map(SocketAddr::ip);
        let any = ips.clone().find(|ip| !ip.is_unspecified());
        ips.find(|ip| !ip.is_loopback() && !ip.is_unspecified())
            .or(any)
    }

    fn arrive(&self, address: SocketAddr) {
        let addresses = self.shared.addresses.lock();
        addresses
            .unwrap_or_else(PoisonError::into_inner)
            .push(address);
    }

    fn leave(&self, address: SocketAddr) {
        let addresses = self.shared.addresses.lock();
        addresses
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|other| *other != address);
    }
}
