//! The API over a catalog without an engine and a store in a temporary folder.

mod clients;
mod directory;
mod recorded;

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use sarsen_domain::Secret;
use sarsen_registry::{Host, Registry, RegistrySettings};
use sarsen_runtime::fake::FakeRuntime;
use sarsen_store::Store;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::{Api, ConsulSettings};

pub(crate) struct World {
    pub(crate) api: Api,
    pub(crate) shutdown: CancellationToken,
    registry: Registry,
    store: Store,
    _folder: tempfile::TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn index(&self) -> u64 {
        self.header("x-consul-index").parse().unwrap()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_token(None).await
    }

    pub(crate) async fn with_token(token: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (db, key) = (folder.path().join("db"), folder.path().join("key"));
        let store = Store::open(&db, &key).await.unwrap();
        let runtime = std::sync::Arc::new(FakeRuntime::new());
        let settings = RegistrySettings::new("test", Host::local("regnode"));
        let registry = Registry::new(runtime, settings);
        let shutdown = CancellationToken::new();
        let api = open(&registry, &store, &shutdown, token).await;
        Self {
            api,
            shutdown,
            registry,
            store,
            _folder: folder,
        }
    }

    /// The same after a restart of the daemon.
    pub(crate) async fn restarted(self) -> Self {
        let api = open(&self.registry, &self.store, &self.shutdown, None).await;
        Self { api, ..self }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: impl Into<Body>) -> Reply {
        self.send(Request::builder().method(method).uri(path), body)
            .await
    }

    pub(crate) async fn send(
        &self,
        request: axum::http::request::Builder,
        body: impl Into<Body>,
    ) -> Reply {
        let routes = crate::routes::routes(self.api.clone());
        let asked = routes.oneshot(request.body(body.into()).unwrap());
        let response = tokio::time::timeout(Duration::from_secs(30), asked).await;
        let (head, body) = response.unwrap().unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Reply {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "").await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Body>) -> Reply {
        self.ask("PUT", path, body).await
    }
}

async fn open(
    registry: &Registry,
    store: &Store,
    shutdown: &CancellationToken,
    token: Option<&str>,
) -> Api {
    let settings = ConsulSettings {
        address: ([127, 0, 0, 1], 18500).into(),
        token: token.map(|token| Secret::new(token.to_owned())),
        node_id: None,
        node_meta: std::collections::BTreeMap::new(),
        shutdown: shutdown.clone(),
    };
    let api = Api::open(registry.clone(), store.clone(), settings).await;
    api.unwrap()
}
