//! One story that every registry lives through.

use std::collections::BTreeMap;
use std::slice::from_ref;

use sarsen_registry::{Backend, BackendError, CheckStatus, Entry};

use crate::lab::{Kind, Server};

fn entry(id: &str, name: &str, port: u16) -> Entry {
    Entry {
        id: id.to_owned(),
        name: name.to_owned(),
        address: "10.1.2.3".to_owned(),
        port,
        tags: vec!["b".to_owned(), "a,b".to_owned()],
        attributes: BTreeMap::from([("region.x".to_owned(), "é \"1\"".to_owned())]),
        health: Some(CheckStatus::Passing),
        check: None,
    }
}

/// All that it holds of ours, in one order.
async fn owned(backend: &Backend) -> Vec<Entry> {
    let mut owned = backend.owned().await.unwrap();
    owned.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    owned
}

async fn put(backend: &Backend, entry: Entry) -> Entry {
    let entry = backend.shape(entry);
    backend.put(&entry).await.unwrap();
    entry
}

/// Comes, changes, goes; others' entries are others'. Through a death of the server it stays what it was.
async fn story(server: &mut Server, uri: &str) {
    let backend = server.open(uri, "me");
    let stranger = server.open(uri, "somebody else");
    backend.ping().await.unwrap();
    stranger.ping().await.unwrap();
    assert_eq!(owned(&backend).await, []);
    let stays = live(&backend, &stranger).await;
    server.kill().await;
    is_away(&backend, &stays).await;
    server.run().await;
    backend.ping().await.unwrap();
    assert_eq!(owned(&backend).await, from_ref(&stays));
    backend.remove(&stays).await.unwrap();
    assert_eq!(owned(&backend).await, []);
}

/// Gives the one entry that is left.
async fn live(backend: &Backend, stranger: &Backend) -> Entry {
    let a = put(backend, entry("box:shop.web.1:5000", "shop", 5000)).await;
    let mut six = entry("box:six:53:udp", "six", 53);
    six.address = "fd00::7".to_owned();
    let six = put(backend, six).await;
    let theirs = put(stranger, entry("box:other:1", "shop", 1)).await;
    assert_eq!(owned(backend).await, [a.clone(), six.clone()]);

    let mut changed = entry("box:shop.web.1:5000", "shop", 5001);
    changed.health = Some(CheckStatus::Critical);
    let changed = put(backend, changed).await;
    assert_eq!(owned(backend).await, [changed, six.clone()]);
    put(backend, a.clone()).await;
    assert_eq!(owned(backend).await, [a.clone(), six.clone()]);

    backend.remove(&six).await.unwrap();
    backend.remove(&six).await.unwrap();
    backend.renew().await.unwrap();
    assert_eq!(owned(backend).await, from_ref(&a));
    assert_eq!(owned(stranger).await, [theirs]);
    a
}

async fn is_away(backend: &Backend, entry: &Entry) {
    let said = [
        backend.ping().await.unwrap_err(),
        backend.put(entry).await.unwrap_err(),
        backend.remove(entry).await.unwrap_err(),
        backend.owned().await.unwrap_err(),
    ];
    let away = |error: &BackendError| matches!(error, BackendError::Unreachable(_));
    assert!(said.iter().all(away), "{said:?}");
}

#[tokio::test]
async fn consul() {
    let mut server = Server::start(Kind::Consul).await;
    let uri = server.uri();
    story(&mut server, &uri).await;
}

#[tokio::test]
async fn consuls_key_value_store() {
    let mut server = Server::start(Kind::Consul).await;
    for prefix in ["", "/some/services"] {
        let uri = format!("consulkv://127.0.0.1:{}{prefix}", server.port);
        story(&mut server, &uri).await;
    }
}

#[tokio::test]
async fn etcd() {
    let mut server = Server::start(Kind::Etcd).await;
    for (scheme, rest) in [
        ("etcd", "/services"),
        ("etcd", "/services?ttl=60"),
        ("skydns2", "/cluster.local"),
    ] {
        let uri = format!("{scheme}://127.0.0.1:{}{rest}", server.port);
        story(&mut server, &uri).await;
    }
}
