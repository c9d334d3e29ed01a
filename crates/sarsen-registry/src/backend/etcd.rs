//! etcd, version 3: `PREFIX/NAME/ID` = `address:port`, or SkyDNS's JSON. The lease of a key says whose it is.

use std::time::Duration;

use async_trait::async_trait;
use sarsen_domain::Secret;
use serde::Deserialize;
use serde_json::json;

use super::entry::split_host_and_port;
use super::etcd_calls::{EtcdCalls, Pair};
use super::http::HttpClient;
use super::{BackendError, Entry, Lifetime, Mark, RegistryBackend};

/// The store.
pub(super) struct Etcd {
    calls: EtcdCalls,
    settings: EtcdSettings,
    /// The upper half of the numbers of our leases.
    owner: i64,
}

/// How it is used.
pub(super) struct EtcdSettings {
    pub(super) name: String,
    pub(super) layout: Layout,
    pub(super) lifetime: Option<Lifetime>,
    pub(super) login: Option<(String, Secret<String>)>,
}

/// What keys and values look like.
pub(super) struct Layout {
    /// Begins and ends with a slash.
    prefix: String,
    is_json: bool,
}

/// A record of SkyDNS.
#[derive(Deserialize)]
struct SkyRecord {
    host: String,
    port: u16,
}

impl Layout {
    /// `/PATH/NAME/ID` = `address:port`
    pub(super) fn plain(path: &str) -> Self {
        let prefix = if path.is_empty() {
            "/".to_owned()
        } else {
            format!("/{path}/")
        };
        Self {
            prefix,
            is_json: false,
        }
    }

    /// `/skydns/local/cluster/NAME/ID` for `cluster.local`, as CoreDNS reads it.
    pub(super) fn sky_dns(domain: &str) -> Self {
        let parts: Vec<_> = domain.trim_matches('.').rsplit('.').collect();
        Self {
            prefix: format!("/skydns/{}/", parts.join("/")),
            is_json: true,
        }
    }

    fn key(&self, entry: &Entry) -> String {
        format!("{}{}/{}", self.prefix, entry.name, entry.id)
    }

    fn value(&self, entry: &Entry) -> String {
        if self.is_json {
            json!({"host": entry.address, "port": entry.port}).to_string()
        } else {
            entry.host_and_port()
        }
    }

    fn entry(&self, pair: &Pair) -> Option<Entry> {
        let (name, id) = pair.key.strip_prefix(&self.prefix)?.rsplit_once('/')?;
        let place = if self.is_json {
            let record = serde_json::from_str::<SkyRecord>(&pair.value).ok();
            record.map(|record| (record.host, record.port))
        } else {
            split_host_and_port(&pair.value)
        };
        // A value that somebody else spoilt is still ours to put right.
        let (address, port) = place.unwrap_or_default();
        Some(Entry::bare(name, id, &address, port))
    }
}

impl Etcd {
    pub(super) fn new(client: HttpClient, mut settings: EtcdSettings, mark: &Mark) -> Self {
        Self {
            calls: EtcdCalls::new(client, settings.login.take()),
            settings,
            owner: i64::from(mark.number()) << 32,
        }
    }

    fn ttl(&self) -> Option<Duration> {
        self.settings.lifetime.map(|lifetime| lifetime.ttl)
    }

    /// The lease of all that we keep alive. Another time to live makes it another lease.
    fn lease(&self) -> i64 {
        let ttl = self.ttl().map_or(0, |ttl| ttl.as_secs());
        self.owner | i64::from(u32::try_from(ttl).unwrap_or(u32::MAX))
    }

    async fn write(&self, entry: &Entry, lease: i64) -> Result<(), BackendError> {
        let layout = &self.settings.layout;
        let (key, value) = (layout.key(entry), layout.value(entry));
        self.calls.put(&key, &value, lease).await
    }
}

#[async_trait]
impl RegistryBackend for Etcd {
    fn name(&self) -> &str {
        &self.settings.name
    }

    async fn ping(&self) -> Result<(), BackendError> {
        self.calls.log_in().await?;
        self.calls.grant(self.lease(), self.ttl()).await
    }

    fn shape(&self, entry: Entry) -> Entry {
        entry.stripped()
    }

    fn tells_health(&self) -> bool {
        false
    }

    async fn owned(&self) -> Result<Vec<Entry>, BackendError> {
        let layout = &self.settings.layout;
        let pairs = self.calls.range(&layout.prefix).await?;
        let ours = pairs
            .iter()
            .filter(|pair| pair.lease >> 32 << 32 == self.owner);
        let entry = |pair: &Pair| {
            let mut entry = layout.entry(pair)?;
            // It lives by a lease that nobody keeps alive any more: to be written again.
            if pair.lease != self.lease() {
                entry.address.clear();
            }
            Some(entry)
        };
        Ok(ours.filter_map(entry).collect())
    }

    async fn put(&self, entry: &Entry) -> Result<(), BackendError> {
        self.write(entry, self.lease()).await
    }

    async fn remove(&self, entry: &Entry) -> Result<(), BackendError> {
        self.calls.delete(&self.settings.layout.key(entry)).await
    }

    fn lifetime(&self) -> Option<Lifetime> {
        self.settings.lifetime
    }

    async fn renew(&self) -> Result<(), BackendError> {
        if self.calls.keep_alive(self.lease()).await? {
            return Ok(());
        }
        let why = "our lease has run out, and all entries with it";
        Err(BackendError::Unreachable(why.to_owned()))
    }
}
