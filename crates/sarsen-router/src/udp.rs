//! Datagrams: each client of a mapped port gets a socket of its own to one of the app's containers, for as long as the
//! two have something to say.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::access_log::raw::RawLine;
use crate::balance::Wish;
use crate::live::{LiveApp, NoPick};
use crate::router::Inner;
use crate::table::PortKind;
use crate::upstream::{Instance, TunnelInFlight, UpstreamState};

/// The largest datagram there is.
const DATAGRAM: usize = 64 * 1024;

/// How often a client is given another container because its own was retired meanwhile.
const LOOKS: usize = 16;

/// Any container will do.
const WISH: Wish<'static> = Wish {
    tried: &[],
    wanted: None,
};

/// How long a replaced container that says nothing may still answer a client who talks to another one by now.
const LINGER: Duration = Duration::from_secs(1);

/// After a failure that is not a client's.
const PAUSE: Duration = Duration::from_millis(100);

/// One mapped port.
struct Port {
    inner: Arc<Inner>,
    socket: UdpSocket,
    number: u16,
    sessions: Mutex<HashMap<SocketAddr, Session>>,
    space: Mutex<Vec<u8>>,
    tasks: TaskTracker,
    epoch: Instant,
}

/// One client, and the container that it talks to.
#[derive(Debug)]
struct Session {
    upstream: Arc<UdpSocket>,
    instance: Arc<Instance>,
    life: Arc<Life>,
    moved: CancellationToken,
    // Its task ends when this is dropped.
    end: DropGuard,
}

/// When something was last said.
#[derive(Debug, Default)]
struct Life {
    // Milliseconds after the port's epoch.
    last: AtomicU64,
    bytes: AtomicU64,
}

/// Passes datagrams both ways until told to stop.
pub(crate) async fn serve(
    inner: Arc<Inner>,
    socket: UdpSocket,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let port = Arc::new(Port {
        number: socket.local_addr()?.port(),
        inner,
        socket,
        sessions: Mutex::default(),
        space: Mutex::new(vec![0; DATAGRAM]),
        tasks: TaskTracker::new(),
        epoch: Instant::now(),
    });
    receive(&port, &shutdown).await;
    port.tasks.close();
    // Another process hears the clients; who was asked here answers from here.
    let patience = port.inner.patience(Duration::ZERO);
    let waited = timeout(patience, port.tasks.wait()).await;
    if waited.is_err() {
        port.sessions().clear();
        port.tasks.wait().await;
    }
    Ok(())
}

// What was taken from the socket is passed on before the end: another process may be listening already, and will not hear it.
async fn receive(port: &Arc<Port>, shutdown: &CancellationToken) {
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let receiving = port.socket.recv_from(&mut buffer);
        let Some(received) = shutdown.run_until_cancelled(receiving).await else {
            return;
        };
        match received {
            Ok((bytes, client)) => {
                let datagram = buffer.get(..bytes).unwrap_or_default();
                if let Some(upstream) = port.session(client, bytes).await
                    && let Err(error) = upstream.send(datagram).await
                {
                    tracing::debug!(%error, "a datagram was not passed on");
                }
            }
            // What a client's machine says about an answer that it did not want.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => {
                tracing::warn!(%error, port = port.number, "cannot receive on port {}", port.number);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

impl Session {
    /// Leaves the way back open for what is under way.
    fn move_on(self) {
        self.moved.cancel();
        self.end.disarm();
    }
}

// ===== impl Port =====

impl Port {
    fn sessions(&self) -> MutexGuard<'_, HashMap<SocketAddr, Session>> {
        lock(&self.sessions)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The client's way to its container: the one it has, or a new one.
    async fn session(self: &Arc<Self>, client: SocketAddr, bytes: usize) -> Option<Arc<UdpSocket>> {
        if let Some(upstream) = self.known(client, bytes) {
            return Some(upstream);
        }
        self.open(client, bytes).await
    }

    // Nobody begins anything with a container that was replaced.
    fn known(&self, client: SocketAddr, bytes: usize) -> Option<Arc<UdpSocket>> {
        let mut sessions = self.sessions();
        let session = sessions.get(&client)?;
        if session.instance.is_retired() {
            let session = sessions.remove(&client)?;
            drop(sessions);
            session.move_on();
            return None;
        }
        session.life.note(self.now(), bytes);
        Some(Arc::clone(&session.upstream))
    }

    async fn open(self: &Arc<Self>, client: SocketAddr, bytes: usize) -> Option<Arc<UdpSocket>> {
        let (app, state, in_flight) = self.pick()?;
        let upstream = match connect(state.address).await {
            Ok(upstream) => Arc::new(upstream),
            Err(error) => {
                tracing::warn!(%error, "cannot open a socket for a client of port {}", self.number);
                return None;
            }
        };
        let life = Arc::<Life>::default();
        life.note(self.now(), bytes);
        let (moved, end) = (CancellationToken::new(), CancellationToken::new());
        let session = Session {
            upstream: Arc::clone(&upstream),
            instance: Arc::clone(&state.instance),
            life: Arc::clone(&life),
            moved: moved.clone(),
            end: end.clone().drop_guard(),
        };
        self.make_room();
        self.sessions().insert(client, session);
        let answering = Answering {
            port: Arc::clone(self),
            client,
            upstream: Arc::clone(&upstream),
            life,
            app,
            state,
            moved,
            began: Instant::now(),
        };
        self.tasks.spawn(answering.run(end, in_flight));
        Some(upstream)
    }

    fn pick(&self) -> Option<(Arc<LiveApp>, Arc<UpstreamState>, TunnelInFlight)> {
        for _ in 0..LOOKS {
            let live = self.inner.live.load();
            let (app, port) = live.find_raw(PortKind::Udp, self.number)?;
            match app.pick(port, WISH) {
                Ok(picked) => {
                    let in_flight = picked.in_flight.into_tunnel();
                    return Some((Arc::clone(app), picked.upstream, in_flight));
                }
                Err(NoPick::Exhausted) => return None,
                Err(NoPick::Outdated) => {}
            }
        }
        None
    }

    // Whoever was silent for longest makes way. His next datagram opens a new session.
    fn make_room(&self) {
        let mut sessions = self.sessions();
        if sessions.len() < self.inner.settings.udp_sessions {
            return;
        }
        let silent = sessions
            .iter()
            .min_by_key(|(_, session)| session.life.last.load(Ordering::Relaxed))
            .map(|(client, _)| *client);
        if let Some(client) = silent {
            sessions.remove(&client);
        }
    }

    // Unless the client has another one by now.
    fn forget(&self, client: SocketAddr, upstream: &Arc<UdpSocket>) {
        let mut sessions = self.sessions();
        if sessions
            .get(&client)
            .is_some_and(|session| Arc::ptr_eq(&session.upstream, upstream))
        {
            sessions.remove(&client);
        }
    }
}

/// The way back: a container's answers to one client.
struct Answering {
    port: Arc<Port>,
    client: SocketAddr,
    upstream: Arc<UdpSocket>,
    life: Arc<Life>,
    app: Arc<LiveApp>,
    state: Arc<UpstreamState>,
    moved: CancellationToken,
    began: Instant,
}

impl Answering {
    async fn run(self, end: CancellationToken, in_flight: TunnelInFlight) {
        tokio::select! {
            () = self.answer() => {}
            () = self.silence(self.port.inner.settings.udp_idle_timeout) => {}
            () = self.last_words() => {}
            () = end.cancelled() => {}
            () = in_flight.cut().cancelled_owned() => {}
        }
        let bytes = self.life.bytes.load(Ordering::Relaxed);
        self.app.counters.add_bytes(bytes);
        self.port.forget(self.client, &self.upstream);
        self.log(bytes);
        drop(in_flight);
    }

    fn log(&self, bytes: u64) {
        let line = RawLine {
            at: SystemTime::now(),
            app: self.app.name.as_str(),
            failure: None,
            protocol: "udp",
            port: self.port.number,
            fwd: self.client.ip().to_canonical().to_string(),
            dyno: self.state.dyno.as_str(),
            connect: None,
            service: self.began.elapsed(),
            bytes,
        };
        line.write(&self.port.inner, &self.app);
    }

    async fn answer(&self) {
        while self.upstream.readable().await.is_ok() {
            match self.pass_one() {
                Ok(bytes) => self.life.note(self.port.now(), bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The container's refusal: nobody listens there, or not any more.
                Err(_) => return,
            }
        }
    }

    // All sessions share one buffer, because a datagram may be large and mostly is not. What the kernel has no room
    // for is lost, as datagrams may be.
    fn pass_one(&self) -> io::Result<usize> {
        let mut space = lock(&self.port.space);
        let bytes = self.upstream.try_recv(&mut space)?;
        let datagram = space.get(..bytes).unwrap_or_default();
        if let Err(error) = self.port.socket.try_send_to(datagram, self.client) {
            tracing::debug!(%error, "a client cannot be answered");
        }
        drop(space);
        Ok(bytes)
    }

    // What the client asked before it was given another container is answered by this one.
    async fn last_words(&self) {
        self.moved.cancelled().await;
        self.life.note(self.port.now(), 0);
        self.silence(LINGER).await;
    }

    async fn silence(&self, limit: Duration) {
        loop {
            let last = Duration::from_millis(self.life.last.load(Ordering::Relaxed));
            let end = self.port.epoch + last + limit;
            if Instant::now() >= end {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Life {
    fn note(&self, now: u64, bytes: usize) {
        self.last.store(now, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

async fn connect(address: SocketAddr) -> io::Result<UdpSocket> {
    let any = if address.is_ipv4() {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
    } else {
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(address).await?;
    Ok(socket)
}
