//! Raw TCP: whoever connects to a mapped port is connected to one of the app's containers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::access_log::raw::RawLine;
use crate::balance::Wish;
use crate::connection::{Accepted, Arrival};
use crate::failure::Failure;
use crate::greet;
use crate::listener::Front;
use crate::live::{LiveApp, NoPick};
use crate::table::PortKind;
use crate::tunnel::{self, Limits, Traffic};
use crate::upstream::{TunnelInFlight, UpstreamState};

/// How often a connection looks at the table again because its container was retired meanwhile.
const LOOKS: usize = 16;

/// A peer that vanished without a word is noticed after about two minutes.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A connection to a container, counted there.
struct Reached {
    app: Arc<LiveApp>,
    stream: TcpStream,
    upstream: Arc<UpstreamState>,
    /// How long that took.
    connect: Duration,
    in_flight: TunnelInFlight,
}

/// Why it reached none.
struct Missed {
    app: Option<Arc<LiveApp>>,
    failure: Failure,
}

/// Serves one connection.
pub(crate) async fn serve(arrival: Arrival, client: Accepted) {
    let Some(mut client) = client.adopt() else {
        return;
    };
    let front = &arrival.front;
    let started = Instant::now();
    let origin = match greet::origin(front, &mut client, arrival.address).await {
        Ok(origin) => origin,
        Err(error) => {
            tracing::debug!(%error, "a connection ended before it was passed on");
            return;
        }
    };
    let log = |app: &LiveApp, upstream: Option<(&UpstreamState, Duration)>, bytes, failure| {
        let line = RawLine {
            at: SystemTime::now(),
            app: app.name.as_str(),
            failure,
            protocol: "tcp",
            port: front.port,
            fwd: origin.ip().to_canonical().to_string(),
            dyno: upstream.map_or("", |(upstream, _)| upstream.dyno.as_str()),
            connect: upstream.map(|(_, took)| took),
            service: started.elapsed(),
            bytes,
        };
        line.write(&front.inner, app);
    };
    let reached = match reach(front).await {
        Ok(reached) => reached,
        Err(missed) => {
            // Refused after the fact, as nobody is there to take it.
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).ok();
            if let Some(app) = missed.app {
                log(&app, None, 0, Some(missed.failure));
            }
            return;
        }
    };
    let settings = &front.inner.settings;
    for stream in [&client, &reached.stream] {
        keep_alive(stream);
    }
    let limits = Limits {
        idle: settings.tcp_idle_timeout,
        patience: settings.tunnel_patience,
        cut: reached.in_flight.cut(),
        front: Arc::clone(front),
    };
    let traffic = Traffic::new();
    let stream = (reached.stream, Bytes::new());
    let failure = tunnel::bridge((client, Bytes::new()), stream, &traffic, limits).await;
    let upstream = &reached.upstream;
    if failure.is_some_and(Failure::is_a_loss) {
        upstream.instance.lose();
    }
    reached.app.counters.add_bytes(traffic.bytes());
    let from = Some((&**upstream, reached.connect));
    log(&reached.app, from, traffic.bytes(), failure);
}

// One container after the other, until one takes the connection.
async fn reach(front: &Front) -> Result<Reached, Missed> {
    let settings = &front.inner.settings;
    let mut tried = Vec::new();
    let mut missed = Missed {
        app: None,
        failure: Failure::NoWeb,
    };
    for _ in 0..LOOKS {
        let (app, picked) = {
            let live = front.inner.live.load();
            let Some((app, port)) = live.find_raw(PortKind::Tcp, front.port) else {
                return Err(missed);
            };
            let wish = Wish {
                tried: &tried,
                wanted: None,
            };
            missed.app = Some(Arc::clone(app));
            match app.pick(port, wish) {
                Ok(picked) => (Arc::clone(app), picked),
                Err(NoPick::Exhausted) => return Err(missed),
                Err(NoPick::Outdated) => continue,
            }
        };
        let address = picked.upstream.address;
        let began = Instant::now();
        match timeout(settings.connect_timeout, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                picked.upstream.accepted();
                return Ok(Reached {
                    app,
                    stream,
                    connect: began.elapsed(),
                    upstream: picked.upstream,
                    in_flight: picked.in_flight.into_tunnel(),
                });
            }
            late_or_refused => {
                missed.failure = match late_or_refused {
                    Err(_) => Failure::ConnectTimeout,
                    Ok(_) => Failure::Refused,
                };
                picked.upstream.instance.miss();
                picked.upstream.refused();
                tried.push(address);
            }
        }
    }
    Err(missed)
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
