//! etcd's version 3 in JSON: the few calls that are needed, through the gateway that every etcd has built in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::AUTHORIZATION;
use hyper::{HeaderMap, Method};
use sarsen_domain::Secret;
use serde::Deserialize;
use serde_json::{Value, json};

use super::BackendError;
use super::consul::read;
use super::http::HttpClient;

/// The longest life etcd grants: some 285 years.
const FOR_EVER: u64 = 9_000_000_000;

/// An etcd and our login there.
pub(super) struct EtcdCalls {
    client: HttpClient,
    login: Option<(String, Secret<String>)>,
    token: Mutex<Option<Secret<String>>>,
}

/// A key and what it holds.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: String,
    /// 0 when it lives for ever.
    pub(super) lease: i64,
}

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<RawPair>,
}

#[derive(Deserialize)]
struct RawPair {
    key: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    lease: String,
}

impl EtcdCalls {
    pub(super) fn new(client: HttpClient, login: Option<(String, Secret<String>)>) -> Self {
        Self {
            client,
            login,
            token: Mutex::default(),
        }
    }

    /// Gets a fresh token, where a login is needed.
    pub(super) async fn log_in(&self) -> Result<(), BackendError> {
        let Some((name, password)) = &self.login else {
            return Ok(());
        };
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let body = json!({"name": name, "password": password.expose()});
        let answer = self.call("/v3/auth/authenticate", &body).await?;
        let token = answer.get("token").and_then(Value::as_str);
        let token = token.ok_or_else(|| odd("a login without a token"))?;
        let token = Some(Secret::new(token.to_owned()));
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        Ok(())
    }

    /// All keys that begin so.
    pub(super) async fn range(&self, prefix: &str) -> Result<Vec<Pair>, BackendError> {
        let body = json!({
            "key": STANDARD.encode(prefix),
            "range_end": STANDARD.encode(end_of(prefix)),
        });
        let answer: Range = read(&self.post("/v3/kv/range", &body).await?)?;
        let pair = |raw: RawPair| {
            let text = |encoded: &str| {
                let bytes = STANDARD.decode(encoded).ok()?;
                String::from_utf8(bytes).ok()
            };
            Some(Pair {
                key: text(&raw.key)?,
                value: text(&raw.value).unwrap_or_default(),
                lease: raw.lease.parse().unwrap_or_default(),
            })
        };
        Ok(answer.kvs.into_iter().filter_map(pair).collect())
    }

    pub(super) async fn put(&self, key: &str, value: &str, lease: i64) -> Result<(), BackendError> {
        let body = json!({
            "key": STANDARD.encode(key),
            "value": STANDARD.encode(value),
            "lease": lease.to_string(),
        });
        match self.call("/v3/kv/put", &body).await {
            // Not this key's fault: the lease has run out, and comes back with the next connection.
            Err(BackendError::Refused(why)) if why.contains("lease not found") => {
                Err(BackendError::Unreachable(why))
            }
            other => other.map(|_| ()),
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), BackendError> {
        let body = json!({"key": STANDARD.encode(key)});
        self.call("/v3/kv/deleterange", &body).await.map(|_| ())
    }

    /// Makes sure that there is a lease of this number.
    pub(super) async fn grant(
        &self,
        lease: i64,
        ttl: Option<Duration>,
    ) -> Result<(), BackendError> {
        let ttl = ttl.map_or(FOR_EVER, |ttl| ttl.as_secs());
        let body = json!({"ID": lease.to_string(), "TTL": ttl.to_string()});
        match self.call("/v3/lease/grant", &body).await {
            Err(BackendError::Refused(why) | BackendError::Unreachable(why))
                if why.contains("already exists") =>
            {
                Ok(())
            }
            other => other.map(|_| ()),
        }
    }

    /// Starts a lease's time anew. False when it had run out.
    pub(super) async fn keep_alive(&self, lease: i64) -> Result<bool, BackendError> {
        let body = json!({"ID": lease.to_string()});
        let answer = self.call("/v3/lease/keepalive", &body).await?;
        let left = answer.pointer("/result/TTL").and_then(Value::as_str);
        Ok(left.is_some_and(|left| left != "0"))
    }

    async fn call(&self, path: &str, body: &Value) -> Result<Value, BackendError> {
        read(&self.post(path, body).await?)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Bytes, BackendError> {
        let mut headers = HeaderMap::new();
        let token = self
            .token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(token) = token {
            let value = token
                .expose()
                .parse()
                .map_err(|_| odd("a token that is no header"))?;
            headers.insert(AUTHORIZATION, value);
        }
        let body = Bytes::from(body.to_string());
        self.client
            .request(&Method::POST, path, body, &headers)
            .await?
            .good()
    }
}

fn odd(what: &str) -> BackendError {
    BackendError::Unreachable(format!("it answers with {what}"))
}

/// The first key behind all that begin so.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    // Prefixes end in a slash, which has a successor.
    if let Some(last) = end.last_mut() {
        *last = last.saturating_add(1);
    }
    end
}
