//! The handle to the router: swapping tables, draining containers, counters.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderValue;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{OnceCell, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::acme::Challenges;
use crate::crowd::Crowd;
use crate::listener::{self, Port, Tls};
use crate::live::{LiveTable, Survivors};
use crate::settings::{RouterSettings, UnknownName};
use crate::stats::{RouterCounters, RouterStats};
use crate::table::RouteTable;
use crate::tls::{Certificates, KeyPair, self_signed};
use crate::udp;
use crate::upstream::Instance;
use crate::workers::Workers;

#[cfg(test)]
mod tests;

/// A reverse proxy whose routes can be changed at any time. Clones are handles to the same router.
#[derive(Debug, Clone)]
pub struct Router {
    inner: Arc<Inner>,
}

/// How the draining of a container went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Requests and tunnels that were under way and ended by themselves.
    pub completed: usize,
    /// The ones that had not ended when the patience was over. Tunnels among them were closed; plain requests go on
    /// until their container stops.
    pub cut: usize,
}

/// Containers on their way out, and what their going costs.
#[derive(Debug)]
pub struct Departure(Vec<Arc<Instance>>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) settings: Arc<RouterSettings>,
    pub(crate) live: ArcSwap<LiveTable>,
    pub(crate) counters: RouterCounters,
    pub(crate) connections: Arc<Semaphore>,
    pub(crate) crowd: Arc<Crowd>,
    pub(crate) via: Option<HeaderValue>,
    pub(crate) certificates: Certificates,
    pub(crate) challenges: Challenges,
    workers: OnceCell<Workers>,
    survivors: Mutex<Survivors>,
    farewell: OnceLock<Duration>,
}

impl Router {
    /// A router without routes; it answers 404 until the first [`Self::swap`].
    pub fn new(settings: RouterSettings) -> Self {
        let via = settings.via.as_ref().and_then(|name| {
            let value = HeaderValue::from_str(&format!("1.1 {name}"));
            value
                .inspect_err(|_| {
                    tracing::warn!("the router's name cannot be sent in a header; Via is left out")
                })
                .ok()
        });
        Self {
            inner: Arc::new(Inner {
                live: ArcSwap::default(),
                counters: RouterCounters::default(),
                connections: Arc::new(Semaphore::new(settings.max_connections)),
                crowd: Crowd::new(settings.max_connections_per_ip),
                via,
                certificates: Certificates::default(),
                challenges: Challenges::default(),
                workers: OnceCell::new(),
                survivors: Mutex::default(),
                farewell: OnceLock::new(),
                settings: Arc::new(settings),
            }),
        }
    }

    /// Replaces all routes at once. Requests under way end where they are; upstreams that stay keep their connections.
    pub fn swap(&self, table: RouteTable) {
        let mut survivors = self.survivors();
        let previous = self.inner.live.load_full();
        let next = Arc::new(LiveTable::succeed(
            &previous,
            table,
            &self.inner.settings,
            &mut survivors,
        ));
        for upstream in next.upstreams() {
            upstream.instance.revive();
        }
        self.inner.live.store(Arc::clone(&next));
        // Only now, so that a request that finds its container retired also finds the new table.
        survivors.settle(&next);
        survivors.forget_apps(&next);
        drop(survivors);
        for upstream in previous.upstreams().filter(|u| u.instance.is_retired()) {
            upstream.clear();
        }
    }

    /// What TLS listeners show.
    pub fn certificates(&self) -> &Certificates {
        &self.inner.certificates
    }

    /// Answers to certificate authorities, given before any route is looked at.
    pub fn challenges(&self) -> &Challenges {
        &self.inner.challenges
    }

    /// Requests and tunnels under way at a container.
    #[cfg(test)]
    pub(crate) fn in_flight(&self, instance: i64) -> usize {
        self.survivors().get(instance).map_or(0, |i| i.active())
    }

    /// Waits until nothing is under way at a container that has left the table.
    ///
    /// Websockets and other tunnels are closed when [`RouterSettings::tunnel_patience`] or the deadline is over,
    /// whichever comes first. For a container still in the table this waits for a moment of silence and closes nothing.
    pub async fn drain(&self, instance: i64, deadline: Duration) -> Drained {
        let patience = self.inner.settings.tunnel_patience;
        self.drain_with(instance, deadline, patience).await
    }

    /// The same with another patience for tunnels.
    pub async fn drain_with(
        &self,
        instance: i64,
        deadline: Duration,
        tunnel_patience: Duration,
    ) -> Drained {
        let Some(state) = self.survivors().get(instance) else {
            return Drained {
                completed: 0,
                cut: 0,
            };
        };
        let under_way = state.active();
        let patience = deadline.min(tunnel_patience);
        if tokio::time::timeout(patience, state.quiet()).await.is_ok() {
            return Drained {
                completed: under_way,
                cut: 0,
            };
        }
        let before = state.active();
        // A container that came back meanwhile keeps what it has.
        let tunnels = if state.is_retired() {
            state.cut_tunnels()
        } else {
            0
        };
        let rest = deadline.saturating_sub(patience).max(TUNNEL_CLOSING);
        let left = match tokio::time::timeout(rest, state.quiet()).await {
            Ok(()) => 0,
            Err(_) => state.active(),
        };
        let cut = left.saturating_add(tunnels).min(before);
        Drained {
            completed: under_way.saturating_sub(cut),
            cut,
        }
    }

    /// Keeps an eye on containers that are about to leave the table.
    pub fn departure(&self, instances: &[i64]) -> Departure {
        let survivors = self.survivors();
        let known = instances.iter().filter_map(|id| survivors.get(*id));
        Departure(known.collect())
    }

    /// Accepts connections until told to stop; then finishes the requests under way, within
    /// [`RouterSettings::shutdown_deadline`]. May run on several listeners at once.
    ///
    /// Fails only when the listener is of no use, or the threads that serve the connections cannot be started.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        listener::serve(Arc::clone(&self.inner), listener, Port::Http, shutdown).await
    }

    /// Like [`Self::serve`], for requests inside TLS, with the certificates of [`Self::certificates`].
    pub async fn serve_tls(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        let certificates = self.certificates().clone();
        if self.inner.settings.unknown_name == UnknownName::SelfSigned {
            let made = self_signed(&[NOBODY], NOBODYS_DAYS).map_err(io::Error::other)?;
            let pair = KeyPair::from_pem(&made.certificate, &made.key).map_err(io::Error::other)?;
            certificates.show_strangers(&pair);
        }
        let config = certificates.server_config().map_err(io::Error::other)?;
        let port = Port::Https(Tls {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificates,
        });
        listener::serve(Arc::clone(&self.inner), listener, port, shutdown).await
    }

    /// Passes connections on to the app that has this port as [`PortKind::Tcp`](crate::PortKind), until told to stop.
    pub async fn serve_tcp(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        listener::serve(Arc::clone(&self.inner), listener, Port::Tcp, shutdown).await
    }

    /// Passes datagrams on to the app that has this port as [`PortKind::Udp`](crate::PortKind), until told to stop.
    pub async fn serve_udp(
        &self,
        socket: UdpSocket,
        shutdown: CancellationToken,
    ) -> io::Result<()> {
        udp::serve(Arc::clone(&self.inner), socket, shutdown).await
    }

    /// Somebody else serves from now on, so that nobody waits for the end of this router: when it is told to stop, what is
    /// under way has so long, tunnels as well as requests. Connections that rest are not closed under the hands of a client
    /// that is about to ask something.
    pub fn bid_farewell(&self, patience: Duration) {
        // The first farewell stands.
        self.inner.farewell.set(patience).ok();
    }

    /// The counters as they are now.
    pub fn stats(&self) -> RouterStats {
        let inner = &self.inner;
        let live = inner.live.load();
        let free = inner.connections.available_permits();
        RouterStats {
            apps: live
                .apps()
                .iter()
                .map(|app| app.counters.snapshot(app.name.clone(), app.in_flight()))
                .collect(),
            connections: inner.settings.max_connections.saturating_sub(free),
            refused_connections: inner.crowd.refused(),
            unknown_host: inner.counters.unknown_host.load(Ordering::Relaxed),
            bad_requests: inner.counters.bad_requests.load(Ordering::Relaxed),
            log_lines_dropped: inner.settings.access_log.dropped(),
        }
    }

    fn survivors(&self) -> std::sync::MutexGuard<'_, Survivors> {
        self.inner
            .survivors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Departure {
    /// Requests and tunnels under way there.
    pub fn in_flight(&self) -> usize {
        self.sum(Instance::active)
    }

    /// Requests that were not completed because the containers went: cut when the patience was over, or failed.
    pub fn lost(&self) -> usize {
        self.sum(Instance::lost)
    }

    /// Requests that the containers did not take any more, and that went to others.
    pub fn retried(&self) -> usize {
        self.sum(Instance::missed)
    }

    /// Waits until nothing is under way there, or the deadline is over. Closes nothing; gives the number of requests and
    /// tunnels that are left.
    pub async fn settle(&self, deadline: Duration) -> usize {
        let all_quiet = async {
            for instance in &self.0 {
                instance.quiet().await;
            }
        };
        match tokio::time::timeout(deadline, all_quiet).await {
            Ok(()) => 0,
            Err(_) => self.in_flight(),
        }
    }

    fn sum(&self, count: impl Fn(&Instance) -> usize) -> usize {
        self.0.iter().map(|instance| count(instance)).sum()
    }
}

impl Inner {
    /// How long something may go on after the router was told to stop, and how long usually.
    pub(crate) fn patience(&self, usually: Duration) -> Duration {
        self.farewell.get().copied().unwrap_or(usually)
    }

    /// Whether another process serves from now on.
    pub(crate) fn has_successor(&self) -> bool {
        self.farewell.get().is_some()
    }

    /// The threads that serve connections, started when they are first needed.
    pub(crate) async fn workers(&self) -> io::Result<&Workers> {
        self.workers.get_or_try_init(Workers::start).await
    }
}

/// The name in the certificate for names that have none; it stands for nobody, by RFC 2606.
const NOBODY: &str = "unknown.invalid";
const NOBODYS_DAYS: u16 = 3650;

/// Closing a tunnel takes a turn of its task; it is given that much even past the deadline.
const TUNNEL_CLOSING: Duration = Duration::from_millis(500);
