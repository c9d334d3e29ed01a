//! `route LISTEN UPSTREAM [OPTION...]`: sends everything that arrives to one upstream; for measuring and for tests.
//!
//!   --log PATH       writes the access log
//!   --tls CERT KEY   serves TLS with these files, for any host name
//!   --kind KIND      what the upstream speaks: http (the default), http2, tcp or udp
//!   --routes NUMBER  adds so many other apps, `app-0.localhost` and so on; then only those are answered
//!
//! A line on its standard input is the name of one app more; it prints how long the change of the table took.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sarsen_router::{
    AccessLog, AppRoute, AppState, CertificateSet, HostCertificates, KeyPair, PortKind, RoutePort,
    RouteTable, Router, RouterSettings, Upstream,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::CancellationToken;

// The daemon's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failed = Box<dyn std::error::Error>;

struct Options {
    listen: SocketAddr,
    upstream: SocketAddr,
    log: Option<String>,
    tls: Option<(String, String)>,
    kind: PortKind,
    routes: usize,
}

impl Options {
    fn read() -> Result<Self, Failed> {
        let mut args = std::env::args().skip(1);
        let mut next = || {
            args.next()
                .ok_or("usage: route LISTEN UPSTREAM [OPTION...]")
        };
        let mut options = Self {
            listen: next()?.parse()?,
            upstream: next()?.parse()?,
            log: None,
            tls: None,
            kind: PortKind::Http,
            routes: 0,
        };
        while let Ok(option) = next() {
            match option.as_str() {
                "--log" => options.log = Some(next()?),
                "--tls" => options.tls = Some((next()?, next()?)),
                "--routes" => options.routes = next()?.parse()?,
                "--kind" => {
                    options.kind = match next()?.as_str() {
                        "http" => PortKind::Http,
                        "http2" => PortKind::Http2,
                        "tcp" => PortKind::Tcp,
                        "udp" => PortKind::Udp,
                        other => return Err(format!("no such kind: {other}").into()),
                    }
                }
                other => return Err(format!("no such option: {other}").into()),
            }
        }
        Ok(options)
    }

    fn table(&self, more: &[String]) -> Result<RouteTable, Failed> {
        let port = self.listen.port();
        let route = |instance: i64, app: String, host: String| -> Result<AppRoute, Failed> {
            Ok(AppRoute {
                app: app.parse()?,
                hosts: vec![host.parse()?],
                ports: vec![RoutePort {
                    kind: self.kind,
                    ..RoutePort::http(port, self.upstream.port())
                }],
                upstreams: vec![Upstream {
                    instance,
                    dyno: "web.1".to_owned(),
                    ip: self.upstream.ip(),
                }],
                state: AppState::Serving,
                policy: Arc::default(),
            })
        };
        if self.routes == 0 && more.is_empty() {
            return Ok(RouteTable::new(vec![route(
                1,
                "bench".to_owned(),
                "_".to_owned(),
            )?]));
        }
        let names = (0..self.routes).map(|number| format!("app-{number}.localhost"));
        let apps = (1..)
            .zip(names.chain(more.iter().cloned()))
            .map(|(instance, host)| {
                let app = host.split('.').next().unwrap_or_default().to_owned();
                route(instance, app, host)
            });
        Ok(RouteTable::new(apps.collect::<Result<_, _>>()?))
    }
}

fn certificates(cert: &str, key: &str) -> Result<CertificateSet, Failed> {
    let pair = KeyPair::from_pem(
        &std::fs::read_to_string(cert)?,
        &std::fs::read_to_string(key)?,
    )?;
    Ok(CertificateSet::new(vec![HostCertificates {
        hosts: vec!["_".parse()?],
        pairs: vec![Arc::new(pair)],
    }]))
}

/// Adds the apps that standard input names.
#[expect(clippy::print_stdout, reason = "that is what it is for")]
async fn follow(options: &Options, router: &Router) -> Result<(), Failed> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut more = Vec::new();
    while let Some(name) = lines.next_line().await? {
        more.push(name);
        let table = options.table(&more)?;
        let start = Instant::now();
        router.swap(table);
        println!("swap {:.3} ms", start.elapsed().as_secs_f64() * 1000.0);
    }
    std::future::pending().await
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let options = Options::read()?;
    let access_log = match &options.log {
        Some(path) => AccessLog::to_file(path, 1 << 30)?,
        None => AccessLog::none(),
    };
    let router = Router::new(RouterSettings {
        access_log,
        max_connections_per_ip: usize::MAX,
        ..RouterSettings::default()
    });
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    router.swap(options.table(&[])?);
    let serving = async {
        if options.kind == PortKind::Udp {
            return router
                .serve_udp(UdpSocket::bind(options.listen).await?, shutdown)
                .await;
        }
        let listener = TcpListener::bind(options.listen).await?;
        match (&options.tls, options.kind) {
            (Some(_), _) => router.serve_tls(listener, shutdown).await,
            (None, PortKind::Tcp) => router.serve_tcp(listener, shutdown).await,
            (None, _) => router.serve(listener, shutdown).await,
        }
    };
    if let Some((cert, key)) = &options.tls {
        router.certificates().swap(certificates(cert, key)?);
    }
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        failed = follow(&options, &router) => return failed,
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    stop.cancel();
    Ok(serving.await?)
}
