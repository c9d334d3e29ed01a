//! Registries that want to know who asks, and are reached by other ways than plain TCP.

use std::path::Path;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use sarsen_registry::{Backend, BackendError, CheckStatus, Entry};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::lab::{Kind, Server};

const PATIENCE: Duration = Duration::from_secs(30);
const TOKEN: &str = "6f1ed002-ab5f-42e7-85e0-000000000001";

fn write(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn entry() -> Entry {
    Entry {
        id: "box:a:1".to_owned(),
        name: "a".to_owned(),
        address: "10.0.0.1".to_owned(),
        port: 1,
        tags: Vec::new(),
        attributes: std::collections::BTreeMap::new(),
        health: Some(CheckStatus::Passing),
        check: None,
    }
}

/// One entry comes and goes.
async fn comes_and_goes(backend: &Backend) {
    backend.ping().await.unwrap();
    let entry = backend.shape(entry());
    backend.put(&entry).await.unwrap();
    assert_eq!(backend.owned().await.unwrap(), std::slice::from_ref(&entry));
    backend.remove(&entry).await.unwrap();
    assert_eq!(backend.owned().await.unwrap(), []);
}

#[tokio::test]
async fn consul_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = write(&folder, "token", &format!("{TOKEN}\n"));
    let acl = format!(
        "acl {{ enabled = true default_policy = \"deny\" tokens {{ master = \"{TOKEN}\" agent = \"{TOKEN}\" }} }}"
    );
    let extra = ["-hcl", &acl];
    let server = Server::start_with(Kind::Consul, &extra, |port| {
        format!("consul://127.0.0.1:{port}?token_file={file}")
    });
    let server = server.await;
    let backend = server.open(&server.uri(), "me");
    // It learns its own tokens a moment after it has a leader.
    let began = Instant::now();
    while backend.put(&entry()).await.is_err() {
        assert!(began.elapsed() < PATIENCE, "the token is not known");
        sleep(Duration::from_millis(50)).await;
    }
    comes_and_goes(&backend).await;
    let plain = format!("consul://127.0.0.1:{}", server.port);
    let stranger = server.open(&plain, "me");
    let refused = stranger.put(&entry()).await.unwrap_err();
    assert!(
        matches!(&refused, BackendError::Refused(why) if why.contains("403")),
        "{refused}"
    );
}

#[tokio::test]
async fn consul_behind_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("consul.sock").display().to_string();
    let place = format!("addresses {{ http = \"unix://{socket}\" }}");
    let extra = ["-hcl", &place];
    let server = Server::start_with(Kind::Consul, &extra, |_| format!("consul-unix://{socket}"));
    let server = server.await;
    comes_and_goes(&server.open(&server.uri(), "me")).await;
    let store = format!("consulkv-unix://{socket}:/services");
    comes_and_goes(&server.open(&store, "me")).await;
}

/// A certificate for `localhost`, its key, and the authority's certificate, as files.
fn certificates(folder: &TempDir) -> [String; 3] {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(authority, authority_key);
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    [
        write(folder, "own.pem", &own.pem()),
        write(folder, "own.key", &key.serialize_pem()),
        write(folder, "ca.pem", &root.pem()),
    ]
}

async fn etcdctl(port: u16, ca: &str, words: &[&str]) {
    let endpoint = format!("https://localhost:{port}");
    let output = Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .args(["--endpoints", &endpoint, "--cacert", ca])
        .args(words)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test]
async fn etcd_inside_tls_with_a_password() {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key, ca] = certificates(&folder);
    let password = write(&folder, "password", "s3cret\n");
    let extra = ["--cert-file", &certificate, "--key-file", &key];
    let server = Server::start_with(Kind::Etcd, &extra, |port| {
        format!("etcd-tls://localhost:{port}/s?ca={ca}")
    });
    let server = server.await;
    comes_and_goes(&server.open(&server.uri(), "me")).await;
    etcdctl(server.port, &ca, &["user", "add", "root:s3cret"]).await;
    etcdctl(server.port, &ca, &["user", "grant-role", "root", "root"]).await;
    etcdctl(server.port, &ca, &["auth", "enable"]).await;
    assert!(server.open(&server.uri(), "me").owned().await.is_err());
    let known = format!("{}&username=root&password_file={password}", server.uri());
    comes_and_goes(&server.open(&known, "me")).await;
    // Not the host's own authorities vouch for it.
    assert!(Path::new(&ca).exists());
    let unknown = format!("etcd-tls://localhost:{}/s", server.port);
    let error = server.open(&unknown, "me").ping().await.unwrap_err();
    assert!(matches!(error, BackendError::Unreachable(_)), "{error}");
}
