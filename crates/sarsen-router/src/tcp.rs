//! Raw TCP: whoever connects to a mapped port is connected to one of the app's containers.

use std::net;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::balance::Wish;
use crate::connection::{self, Arrival};
use crate::greet;
use crate::listener::Front;
use crate::live::{LiveApp, NoPick};
use crate::table::PortKind;
use crate::tunnel::{self, Limits, Traffic};
use crate::upstream::TunnelInFlight;

/// How often a connection looks at the table again because its container was retired meanwhile.
const LOOKS: usize = 16;

/// A peer that vanished without a word is noticed after about two minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A connection to a container, counted there.
struct Reached {
    app: Arc<LiveApp>,
    upstream: TcpStream,
    in_flight: TunnelInFlight,
}

/// Serves one connection.
pub(crate) async fn serve(arrival: Arrival, client: net::TcpStream) {
    let Some(mut client) = connection::adopt(client) else {
        return;
    };
    let front = &arrival.front;
    if let Err(error) = greet::origin(front, &mut client, arrival.address).await {
        tracing::debug!(%error, "a connection ended before it was passed on");
        return;
    }
    let Some(reached) = reach(front).await else {
        // Refused after the fact, as nobody is there to take it.
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).ok();
        return;
    };
    let settings = &front.inner.settings;
    for stream in [&client, &reached.upstream] {
        keep_alive(stream);
    }
    let limits = Limits {
        idle: settings.tcp_idle_timeout,
        patience: settings.tunnel_patience,
        cut: reached.in_flight.cut(),
        stop: front.stop.clone(),
    };
    let traffic = Traffic::new();
    let upstream = (reached.upstream, Bytes::new());
    let ended = tunnel::bridge((client, Bytes::new()), upstream, &traffic, limits).await;
    reached.app.counters.add_bytes(traffic.bytes());
    if let Some(failure) = ended {
        tracing::debug!(app.name = %reached.app.name, "a connection was cut: {}", failure.summary());
    }
}

// One container after the other, until one takes the connection.
async fn reach(front: &Front) -> Option<Reached> {
    let settings = &front.inner.settings;
    let mut tried = Vec::new();
    for _ in 0..LOOKS {
        let (app, picked) = {
            let live = front.inner.live.load();
            let (app, port) = live.find_raw(PortKind::Tcp, front.port)?;
            let wish = Wish {
                tried: &tried,
                wanted: None,
            };
            match app.pick(port, wish) {
                Ok(picked) => (Arc::clone(app), picked),
                Err(NoPick::Exhausted) => return None,
                Err(NoPick::Outdated) => continue,
            }
        };
        let address = picked.upstream.address;
        match timeout(settings.connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(upstream)) => {
                picked.upstream.accepted();
                return Some(Reached {
                    app,
                    upstream,
                    in_flight: picked.in_flight.into_tunnel(),
                });
            }
            Ok(Err(_)) | Err(_) => {
                picked.upstream.refused();
                tried.push(address);
            }
        }
    }
    None
}

fn keep_alive(stream: &TcpStream) {
    let often = TcpKeepalive::new()
        .with_time(KEEP_ALIVE)
        .with_interval(KEEP_ALIVE / 4);
    let set = SockRef::from(stream).set_tcp_keepalive(&often);
    if let Err(error) = set.and_then(|()| stream.set_nodelay(true)) {
        tracing::debug!(%error, "cannot tune a connection");
    }
}
