//! A Consul agent: services with tags, metadata and a check.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::http::{HttpClient, escaped};
use super::{BackendError, Entry, Lifetime, Mark, RegistryBackend};
use crate::CheckStatus;

/// The key of our mark in a service's metadata.
const OWNER: &str = "sarsen-owner";
/// What we say about a service's health stays until we say otherwise: what runs goes on running without us.
const FOR_EVER: &str = "876000h";
/// Consul's own limits of metadata.
const META_MAX: usize = 64;
const META_KEY_MAX: usize = 128;
const META_VALUE_MAX: usize = 512;

/// The agent.
pub(super) struct Consul {
    name: String,
    client: HttpClient,
    mark: Mark,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentService {
    #[serde(rename = "ID")]
    id: String,
    service: String,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct AgentCheck {
    status: String,
}

impl Consul {
    pub(super) fn new(name: String, client: HttpClient, mark: Mark) -> Self {
        Self { name, client, mark }
    }

    async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, BackendError> {
        let asked = self.client.send(Method::GET, path, Bytes::new());
        read(&asked.await?.good()?)
    }

    fn is_ours(&self, service: &AgentService) -> bool {
        let owner = service.meta.as_ref().and_then(|meta| meta.get(OWNER));
        match owner {
            Some(owner) => *owner == self.mark.owner,
            None => self.mark.adopts(&service.id),
        }
    }

    fn body(&self, entry: &Entry) -> Value {
        let mut meta = entry.attributes.clone();
        meta.insert(OWNER.to_owned(), self.mark.owner.clone());
        let mut body = json!({
            "ID": entry.id,
            "Name": entry.name,
            "Tags": entry.tags,
            "Port": entry.port,
            "Address": entry.address,
            "Meta": meta,
        });
        let check = match (&entry.check, entry.health) {
            (Some(check), _) => Some(check.body()),
            (None, Some(health)) => Some(json!({
                "CheckID": check_id(&entry.id),
                "Name": "Health as Sarsen sees it",
                "TTL": FOR_EVER,
                "Status": health.as_str(),
            })),
            (None, None) => None,
        };
        if let (Some(check), Some(body)) = (check, body.as_object_mut()) {
            body.insert("Check".to_owned(), check);
        }
        body
    }
}

#[async_trait]
impl RegistryBackend for Consul {
    fn name(&self) -> &str {
        &self.name
    }

    async fn ping(&self) -> Result<(), BackendError> {
        leader(&self.client).await
    }

    fn shape(&self, mut entry: Entry) -> Entry {
        entry.attributes = legal(entry.attributes);
        entry
    }

    fn tells_health(&self) -> bool {
        true
    }

    async fn owned(&self) -> Result<Vec<Entry>, BackendError> {
        let services: HashMap<String, AgentService> = self.ask("/v1/agent/services").await?;
        let checks: HashMap<String, AgentCheck> = self.ask("/v1/agent/checks").await?;
        let ours = services
            .into_values()
            .filter(|service| self.is_ours(service));
        let entry = |service: AgentService| {
            let check = checks.get(&check_id(&service.id));
            let mut attributes = service.meta.unwrap_or_default();
            attributes.remove(OWNER);
            Entry {
                health: check.and_then(|check| CheckStatus::parse(&check.status)),
                id: service.id,
                name: service.service,
                address: service.address,
                port: service.port,
                tags: service.tags.unwrap_or_default(),
                attributes,
                check: None,
            }
        };
        Ok(ours.map(entry).collect())
    }

    async fn put(&self, entry: &Entry) -> Result<(), BackendError> {
        let path = "/v1/agent/service/register?replace-existing-checks=true";
        let body = Bytes::from(self.body(entry).to_string());
        let asked = self.client.send(Method::PUT, path, body);
        asked.await?.good()?;
        // A check that is there already keeps its status over a registration.
        let Some(health) = entry.health else {
            return Ok(());
        };
        let path = format!("/v1/agent/check/update/{}", escaped(&check_id(&entry.id)));
        let body = json!({"Status": health.as_str()}).to_string();
        let asked = self.client.send(Method::PUT, &path, Bytes::from(body));
        asked.await?.good().map(|_| ())
    }

    async fn remove(&self, entry: &Entry) -> Result<(), BackendError> {
        let path = format!("/v1/agent/service/deregister/{}", escaped(&entry.id));
        let asked = self.client.send(Method::PUT, &path, Bytes::new());
        let answer = asked.await?;
        // Newer agents say so when it is not there.
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(());
        }
        answer.good().map(|_| ())
    }

    fn lifetime(&self) -> Option<Lifetime> {
        None
    }

    async fn renew(&self) -> Result<(), BackendError> {
        Ok(())
    }
}

/// Reads Consul's JSON.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, BackendError> {
    serde_json::from_slice(body).map_err(|error| {
        BackendError::Unreachable(format!("its answer is not understood: {error}"))
    })
}

/// An agent without a leader takes no writes.
pub(super) async fn leader(client: &HttpClient) -> Result<(), BackendError> {
    let asked = client.send(Method::GET, "/v1/status/leader", Bytes::new());
    let leader: String = read(&asked.await?.good()?)?;
    if leader.is_empty() {
        return Err(BackendError::Unreachable("it has no leader".to_owned()));
    }
    Ok(())
}

fn check_id(service: &str) -> String {
    format!("service:{service}")
}

/// Consul refuses a whole service for one key that it does not like.
fn legal(attributes: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let key = |key: String| {
        let legal = key.chars().map(|c| if is_legal(c) { c } else { '_' });
        legal.take(META_KEY_MAX).collect::<String>()
    };
    attributes
        .into_iter()
        .map(|(name, value)| (key(name), cut(value)))
        .filter(|(name, _)| !name.is_empty() && name != OWNER)
        // One place is our mark's.
        .take(META_MAX - 1)
        .collect()
}

fn cut(mut value: String) -> String {
    let mut end = META_VALUE_MAX.min(value.len());
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    value.truncate(end);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_made_what_consul_takes() {
        let many = (0..100).map(|n| (format!("k.{n:03}"), "é".repeat(300)));
        let legal = legal(many.collect());
        assert_eq!(legal.len(), 63);
        let (key, value) = legal.first_key_value().unwrap();
        assert_eq!((key.as_str(), value.len()), ("k_000", 512));
        assert!(super::legal([(OWNER.to_owned(), "x".to_owned())].into()).is_empty());
    }
}
