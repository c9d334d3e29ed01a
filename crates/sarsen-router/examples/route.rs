//! `route LISTEN UPSTREAM [LOG]`: sends every request to one upstream; for measuring.

use std::net::SocketAddr;

use sarsen_router::{
    AccessLog, AppRoute, AppState, RoutePort, RouteTable, Router, RouterSettings, Upstream,
};
use tokio_util::sync::CancellationToken;

// The daemon's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (args.next(), args.next()) else {
        return Err("usage: route LISTEN UPSTREAM [LOG]".into());
    };
    let upstream: SocketAddr = upstream.parse()?;
    let access_log = match args.next() {
        Some(path) => AccessLog::to_file(path, 1 << 30)?,
        None => AccessLog::none(),
    };
    let router = Router::new(RouterSettings {
        access_log,
        ..RouterSettings::default()
    });
    let listener = tokio::net::TcpListener::bind(listen).await?;
    router.swap(RouteTable::new(vec![AppRoute {
        app: "bench".parse()?,
        hosts: vec!["_".parse()?],
        ports: vec![RoutePort::http(
            listener.local_addr()?.port(),
            upstream.port(),
        )],
        upstreams: vec![Upstream {
            instance: 1,
            dyno: "web.1".to_owned(),
            ip: upstream.ip(),
        }],
        state: AppState::Serving,
        policy: Default::default(),
    }]));
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let serving = router.serve(listener, shutdown);
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    stop.cancel();
    Ok(serving.await?)
}
