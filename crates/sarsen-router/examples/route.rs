//! `route LISTEN UPSTREAM [OPTION...]`: sends everything that arrives to one upstream; for measuring and for tests.
//!
//!   --log PATH       writes the access log
//!   --tls CERT KEY   serves TLS with these files, for any host name
//!   --kind KIND      what the upstream speaks: http (the default), http2, tcp or udp
//!   --routes NUMBER  adds so many other apps, and prints how long it takes to swap the table

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sarsen_router::{
    AccessLog, AppRoute, AppState, CertificateSet, HostCertificates, KeyPair, PortKind, RoutePort,
    RouteTable, Router, RouterSettings, Upstream,
};
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

    fn table(&self, port: u16) -> Result<RouteTable, Failed> {
        let route = |app: String, host: String| -> Result<AppRoute, Failed> {
            Ok(AppRoute {
                app: app.parse()?,
                hosts: vec![host.parse()?],
                ports: vec![RoutePort {
                    kind: self.kind,
                    ..RoutePort::http(port, self.upstream.port())
                }],
                upstreams: vec![Upstream {
                    instance: 1,
                    dyno: "web.1".to_owned(),
                    ip: self.upstream.ip(),
                }],
                state: AppState::Serving,
                policy: Arc::default(),
            })
        };
        let mut apps = vec![route("bench".to_owned(), "_".to_owned())?];
        for number in 0..self.routes {
            apps.push(route(
                format!("app-{number}"),
                format!("app-{number}.localhost"),
            )?);
        }
        Ok(RouteTable::new(apps))
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

#[expect(clippy::print_stdout, reason = "that is what --routes is for")]
#[tokio::main]
async fn main() -> Result<(), Failed> {
    let options = Options::read()?;
    let access_log = match &options.log {
        Some(path) => AccessLog::to_file(path, 1 << 30)?,
        None => AccessLog::none(),
    };
    let router = Router::new(RouterSettings {
        access_log,
        ..RouterSettings::default()
    });
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    router.swap(options.table(options.listen.port())?);
    if options.routes > 0 {
        let tables: Vec<_> = (0..10)
            .map(|_| options.table(options.listen.port()))
            .collect();
        for table in tables {
            let (table, start) = (table?, Instant::now());
            router.swap(table);
            println!("swap {:.3} ms", start.elapsed().as_secs_f64() * 1000.0);
        }
    }
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
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    stop.cancel();
    Ok(serving.await?)
}
