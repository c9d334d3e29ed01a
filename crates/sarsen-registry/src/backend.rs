//! Registries outside that this host's services are published to: one trait, and one loop that keeps each of them true.

mod check;
mod consul;
mod consul_kv;
mod entry;
mod etcd;
mod etcd_calls;
mod http;
mod publisher;
#[cfg(test)]
mod tests;
mod uri;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use check::CheckDefinition;
pub use entry::{Checking, Entry};
pub use publisher::{Publisher, PublisherSettings};
pub use uri::{BackendUri, Credentials, TlsFiles};

/// Why a registry did not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// It is away, or cannot serve at the moment: worth another try.
    #[error("{0}")]
    Unreachable(String),
    /// It will not take this, however often it is asked.
    #[error("{0}")]
    Refused(String),
}

/// How long what we publish lives without us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// When the registry drops it.
    pub ttl: Duration,
    /// How often we say that it is still true.
    pub refresh: Duration,
}

/// A registry outside. It keeps the entries of many hosts; ours carry our mark, and only those are ever removed.
#[async_trait]
pub trait RegistryBackend: Send + Sync + 'static {
    /// Its address, without anything secret.
    fn name(&self) -> &str;

    /// Fails unless it answers and takes writes.
    async fn ping(&self) -> Result<(), BackendError>;

    /// What is left of an entry in the form of this registry: the same that [`RegistryBackend::owned`] tells of it.
    fn shape(&self, entry: Entry) -> Entry;

    /// Whether an entry says how the service is. Where none does, only services that are well have one.
    fn tells_health(&self) -> bool;

    /// All it holds under our mark.
    async fn owned(&self) -> Result<Vec<Entry>, BackendError>;

    /// Makes it hold this entry, in place of an older one of the same name and id.
    async fn put(&self, entry: &Entry) -> Result<(), BackendError>;

    /// Takes an entry away; when it is not there, that is as well.
    async fn remove(&self, entry: &Entry) -> Result<(), BackendError>;

    /// How long entries live without us; `None` is for ever.
    fn lifetime(&self) -> Option<Lifetime>;

    /// Keeps everything alive. `Unreachable` when something has been dropped meanwhile.
    async fn renew(&self) -> Result<(), BackendError>;
}

/// A registry outside, made once.
pub type Backend = Arc<dyn RegistryBackend>;

/// Whose entries are ours, and what else all registries are told.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Written to every entry of ours.
    pub owner: String,
    /// Entries without any mark whose id begins so are ours as well: those that a Registrator left behind.
    pub adopt: Option<String>,
}

impl Mark {
    /// 31 bits that tell this owner from others where there is room for a number only.
    fn number(&self) -> u32 {
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(self.owner.as_bytes());
        let bytes: [u8; 4] = std::array::from_fn(|at| digest.get(at).copied().unwrap_or_default());
        // 0 would be everybody's.
        (u32::from_be_bytes(bytes) >> 1).max(1)
    }

    /// Whether a Registrator of this host gave an entry its id: `HOST:CONTAINER:PORT[:udp]`.
    fn adopts(&self, id: &str) -> bool {
        let Some(host) = &self.adopt else {
            return false;
        };
        let id = id.strip_suffix(":udp").unwrap_or(id);
        let parts = id
            .strip_prefix(host)
            .and_then(|rest| rest.strip_prefix(':'));
        let Some((container, port)) = parts.and_then(|rest| rest.rsplit_once(':')) else {
            return false;
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        container.len() > 1
            && container.starts_with(|c: char| c.is_ascii_alphanumeric())
            && container.chars().all(is_name)
            && port.parse::<u16>().is_ok()
    }
}
