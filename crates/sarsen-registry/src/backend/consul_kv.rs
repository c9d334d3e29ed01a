//! Consul's key-value store: `PREFIX/NAME/ID` = `address:port`, as Registrator writes it.

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;

use super::consul::{leader, read};
use super::entry::split_host_and_port;
use super::http::{HttpClient, escaped};
use super::{BackendError, Entry, Lifetime, Mark, RegistryBackend};

/// The upper half of the flags of a key of ours; the lower half is its owner's number.
const OURS: u64 = 0x5A45_0000_0000_0000;

/// The store.
pub(super) struct ConsulKv {
    name: String,
    client: HttpClient,
    /// Empty, or with a slash at its end.
    prefix: String,
    flags: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pair {
    key: String,
    flags: u64,
    value: Option<String>,
}

impl ConsulKv {
    pub(super) fn new(name: String, client: HttpClient, path: &str, mark: &Mark) -> Self {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        Self {
            name,
            client,
            prefix,
            flags: OURS | u64::from(mark.number()),
        }
    }

    fn path(&self, entry: &Entry) -> String {
        let key = format!("{}{}/{}", self.prefix, entry.name, entry.id);
        let parts: Vec<_> = key.split('/').map(escaped).collect();
        format!("/v1/kv/{}", parts.join("/"))
    }

    fn entry(&self, pair: &Pair) -> Option<Entry> {
        let (name, id) = pair.key.strip_prefix(&self.prefix)?.rsplit_once('/')?;
        let value = STANDARD.decode(pair.value.as_deref()?).ok()?;
        // A value that somebody else spoilt is still ours to put right.
        let place = split_host_and_port(&String::from_utf8_lossy(&value));
        let (address, port) = place.unwrap_or_default();
        Some(Entry::bare(name, id, &address, port))
    }

    async fn write(&self, method: Method, path: &str, body: String) -> Result<(), BackendError> {
        let asked = self.client.send(method, path, Bytes::from(body));
        if read::<bool>(&asked.await?.good()?)? {
            return Ok(());
        }
        Err(BackendError::Refused("it says no".to_owned()))
    }
}

#[async_trait]
impl RegistryBackend for ConsulKv {
    fn name(&self) -> &str {
        &self.name
    }

    async fn ping(&self) -> Result<(), BackendError> {
        leader(&self.client).await
    }

    fn shape(&self, entry: Entry) -> Entry {
        entry.stripped()
    }

    fn tells_health(&self) -> bool {
        false
    }

    async fn owned(&self) -> Result<Vec<Entry>, BackendError> {
        let parts: Vec<_> = self.prefix.split('/').map(escaped).collect();
        let path = format!("/v1/kv/{}?recurse", parts.join("/"));
        let asked = self.client.send(Method::GET, &path, Bytes::new());
        let answer = asked.await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let pairs: Vec<Pair> = read(&answer.good()?)?;
        let ours = pairs.iter().filter(|pair| pair.flags == self.flags);
        Ok(ours.filter_map(|pair| self.entry(pair)).collect())
    }

    async fn put(&self, entry: &Entry) -> Result<(), BackendError> {
        let path = format!("{}?flags={}", self.path(entry), self.flags);
        self.write(Method::PUT, &path, entry.host_and_port()).await
    }

    async fn remove(&self, entry: &Entry) -> Result<(), BackendError> {
        self.write(Method::DELETE, &self.path(entry), String::new())
            .await
    }

    fn lifetime(&self) -> Option<Lifetime> {
        None
    }

    async fn renew(&self) -> Result<(), BackendError> {
        Ok(())
    }
}
