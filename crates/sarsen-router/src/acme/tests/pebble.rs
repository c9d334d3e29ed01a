//! Pebble, the test server of Let's Encrypt, with a DNS server that leads every name to this machine, and a router's
//! plain and TLS ports for it to look at.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::acme::{AcmeIssuer, Authority, DnsHook};
use crate::{Router, RouterSettings};

/// A router that serves.
pub(super) struct World {
    router: Router,
    http: u16,
    tls: u16,
    _stop: DropGuard,
}

pub(super) struct Pebble {
    folder: TempDir,
    directory: String,
    children: [Child; 2],
}

impl World {
    pub(super) async fn new() -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let router = Router::new(RouterSettings::default());
        let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let secure = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let world = Self {
            router: router.clone(),
            http: plain.local_addr().unwrap().port(),
            tls: secure.local_addr().unwrap().port(),
            _stop: stop.clone().drop_guard(),
        };
        let config = Arc::new(router.certificates().server_config().unwrap());
        let token = stop.clone();
        tasks.spawn(async move { router.serve(plain, token).await });
        tasks.spawn(async move {
            let handshakes = async {
                while let Ok((stream, _)) = secure.accept().await {
                    if let Ok(mut stream) =
                        TlsAcceptor::from(Arc::clone(&config)).accept(stream).await
                    {
                        stream.read_u8().await.ok();
                    }
                }
            };
            tokio::select! { () = handshakes => {}, () = stop.cancelled() => {} }
        });
        world
    }

    pub(super) fn issuer(&self) -> AcmeIssuer {
        let router = &self.router;
        AcmeIssuer::new(router.challenges().clone(), router.certificates().clone())
    }
}

impl Pebble {
    pub(super) async fn start(world: &World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [api, management, dns, control] = free_ports().await;
        make_certificate(&folder);
        let file = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            r#"{{"pebble":{{"listenAddress":"127.0.0.1:{api}","managementListenAddress":"127.0.0.1:{management}",
            "certificate":"{}","privateKey":"{}","httpPort":{},"tlsPort":{},"ocspResponderURL":"",
            "externalAccountBindingRequired":false,"domainBlocklist":["blocked.test"],
            "retryAfter":{{"authz":1,"order":1}},"certificateValidityPeriod":86400}}}}"#,
            file("server.crt"),
            file("server.key"),
            world.http,
            world.tls
        );
        std::fs::write(folder.path().join("pebble.json"), config).unwrap();
        let resolver = spawn(Command::new("pebble-challtestsrv").args([
            "-defaultIPv4",
            "127.0.0.1",
            "-defaultIPv6",
            "",
            "-dns01",
            &format!("127.0.0.1:{dns}"),
            "-management",
            &format!("127.0.0.1:{control}"),
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
        ]));
        let server = spawn(
            Command::new("pebble")
                .args(["-config", &file("pebble.json"), "-strict"])
                .args(["-dnsserver", &format!("127.0.0.1:{dns}")])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_WFE_NONCEREJECT", "5"),
        );
        for port in [api, control] {
            answers(port).await;
        }
        let hook = format!(
            "#!/bin/sh\necho \"$@\" >> calls\ncase $1 in present) what=set;; *) what=clear;; esac\n\
             [ $what = clear ] && exit 0\n\
             exec curl -sf -d \"{{\\\"host\\\":\\\"$2\\\",\\\"value\\\":\\\"$3\\\"}}\" http://127.0.0.1:{control}/set-txt\n"
        );
        write_hook(folder.path().join("hook"), &hook);
        Self {
            folder,
            directory: format!("https://127.0.0.1:{api}/dir"),
            children: [resolver, server],
        }
    }

    pub(super) async fn stop(&mut self) {
        for child in &mut self.children {
            child.kill().await.unwrap();
        }
    }

    pub(super) fn authority(&self) -> Authority {
        Authority {
            directory: self.directory.clone(),
            email: "ops@a.test".to_owned(),
            ca_root: Some(self.folder.path().join("ca.crt")),
        }
    }

    pub(super) fn hook(&self) -> DnsHook {
        DnsHook {
            path: self.folder.path().join("hook"),
            time_limit: Duration::from_secs(20),
        }
    }
}

fn write_hook(path: PathBuf, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

fn spawn(command: &mut Command) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("Pebble is needed: apt-get install pebble")
}

// They are free for now; whoever takes one in between fails the test with a clear message.
async fn free_ports() -> [u16; 4] {
    let mut listeners = Vec::new();
    for _ in 0..4 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let ports: Vec<u16> = listeners
        .iter()
        .map(|l| l.local_addr().unwrap().port())
        .collect();
    ports.try_into().unwrap()
}

async fn answers(port: u16) {
    for _ in 0..400 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing answers on port {port}");
}

// A root, and what Pebble shows for itself.
fn make_certificate(folder: &TempDir) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut root = CertificateParams::new(Vec::<String>::new()).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root_certificate = root.self_signed(&root_key).unwrap();
    let issuer = Issuer::new(root, root_key);
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let leaf = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &issuer)
        .unwrap();
    for (name, text) in [
        ("ca.crt", root_certificate.pem()),
        ("server.crt", leaf.pem()),
        ("server.key", key.serialize_pem()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
}
