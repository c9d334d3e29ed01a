//! The ports that are open beside the main ones, because an app's mappings name them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sarsen_domain::{AppName, PortMapping, Scheme};
use sarsen_router::{AppRoute, Router};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::RoutingView;
use crate::control::Control;
use crate::failure::{Failure, Outcome};

/// A port that was open until now closes a moment later.
const REOPEN: Duration = Duration::from_millis(50);
const REOPENINGS: usize = 40;

/// What is spoken at an open port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Door {
    Http,
    Https,
    Tcp,
    Udp,
}

/// A port, of TCP or of UDP: these are two different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Tcp(u16),
    Udp(u16),
}

/// The router's listeners beside the main ones. They outlive the control that opened them, so that another one can go on
/// with them. Clones are handles to the same.
#[derive(Clone)]
pub struct RouterPorts(Arc<Shared>);

/// The socket of such a port.
#[derive(Debug)]
pub enum PortSocket {
    /// Listens for connections.
    Tcp(std::net::TcpListener),
    /// Takes datagrams.
    Udp(std::net::UdpSocket),
}

/// The ports that are to be open.
pub(super) struct WantedPorts(BTreeMap<Place, Door>);

struct Shared {
    open: Mutex<BTreeMap<Place, Opened>>,
    /// What somebody else opened, and nobody has asked for yet.
    spare: Mutex<BTreeMap<Place, PortSocket>>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

struct Opened {
    door: Door,
    /// Kept to be passed on; the router has one of its own.
    socket: PortSocket,
    _stop: DropGuard,
}

impl Door {
    fn of(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http | Scheme::Grpc => Self::Http,
            Scheme::Https | Scheme::Grpcs => Self::Https,
            Scheme::Tcp => Self::Tcp,
            Scheme::Udp => Self::Udp,
        }
    }

    fn at(self, port: u16) -> Place {
        match self {
            Self::Http | Self::Https | Self::Tcp => Place::Tcp(port),
            Self::Udp => Place::Udp(port),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Http => "HTTP in the clear",
            Self::Https => "HTTP inside TLS",
            Self::Tcp => "raw TCP",
            Self::Udp => "UDP",
        }
    }

    // Requests say which app they are for; bytes do not.
    fn is_shared(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

impl PortSocket {
    /// Another handle to the same socket.
    pub fn share(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Udp(socket) => Self::Udp(socket.try_clone()?),
        })
    }

    fn place(&self) -> io::Result<Place> {
        Ok(match self {
            Self::Tcp(listener) => Place::Tcp(listener.local_addr()?.port()),
            Self::Udp(socket) => Place::Udp(socket.local_addr()?.port()),
        })
    }
}

impl RouterPorts {
    /// No port is open yet. What is served there ends with `shutdown`, and `tasks` waits for it.
    pub fn new(shutdown: CancellationToken, tasks: TaskTracker) -> Self {
        Self(Arc::new(Shared {
            open: Mutex::default(),
            spare: Mutex::default(),
            shutdown,
            tasks,
        }))
    }

    /// Takes over a socket, to be served when a route asks for its port.
    pub fn take_over(&self, socket: PortSocket) -> io::Result<()> {
        let place = socket.place()?;
        lock(&self.0.spare).insert(place, socket);
        Ok(())
    }

    /// A handle to each socket that is open.
    pub fn shared(&self) -> io::Result<Vec<PortSocket>> {
        let open = lock(&self.0.open);
        open.values().map(|opened| opened.socket.share()).collect()
    }

    fn has(&self, place: Place) -> bool {
        lock(&self.0.open).contains_key(&place) || lock(&self.0.spare).contains_key(&place)
    }

    fn is_served(&self, place: Place) -> bool {
        lock(&self.0.open).contains_key(&place)
    }

    fn spare(&self, place: Place) -> Option<PortSocket> {
        lock(&self.0.spare).remove(&place)
    }

    /// What was taken over and no route asked for.
    fn close_spares(&self) {
        lock(&self.0.spare).clear();
    }

    /// Closes all but these; returns the places where something else is to be opened.
    fn keep_only(&self, wanted: &BTreeMap<Place, Door>) -> Vec<Place> {
        let mut changed = Vec::new();
        lock(&self.0.open).retain(|place, opened| {
            let now = wanted.get(place);
            if now.is_some_and(|now| *now != opened.door) {
                changed.push(*place);
            }
            now == Some(&opened.door)
        });
        changed
    }

    fn serve(
        &self,
        router: &Router,
        place: Place,
        door: Door,
        socket: PortSocket,
    ) -> io::Result<()> {
        let stop = self.0.shutdown.child_token();
        let (router, token) = (router.clone(), stop.clone());
        let served = Served::new(door, socket.share()?)?;
        self.0.tasks.spawn(async move {
            if let Err(error) = served.serve(&router, token).await {
                tracing::error!(?place, %error, "a port is served no longer");
            }
        });
        let opened = Opened {
            door,
            socket,
            _stop: stop.drop_guard(),
        };
        lock(&self.0.open).insert(place, opened);
        Ok(())
    }
}

/// A socket in the router's hands.
enum Served {
    Http(TcpListener),
    Https(TcpListener),
    Tcp(TcpListener),
    Udp(UdpSocket),
}

impl Served {
    fn new(door: Door, socket: PortSocket) -> io::Result<Self> {
        Ok(match (socket, door) {
            (PortSocket::Udp(socket), _) => Self::Udp(UdpSocket::from_std(socket)?),
            (PortSocket::Tcp(listener), Door::Https) => {
                Self::Https(TcpListener::from_std(listener)?)
            }
            (PortSocket::Tcp(listener), Door::Tcp) => Self::Tcp(TcpListener::from_std(listener)?),
            (PortSocket::Tcp(listener), Door::Http | Door::Udp) => {
                Self::Http(TcpListener::from_std(listener)?)
            }
        })
    }

    async fn serve(self, router: &Router, stop: CancellationToken) -> io::Result<()> {
        match self {
            Self::Http(listener) => router.serve(listener, stop).await,
            Self::Https(listener) => router.serve_tls(listener, stop).await,
            Self::Tcp(listener) => router.serve_tcp(listener, stop).await,
            Self::Udp(socket) => router.serve_udp(socket, stop).await,
        }
    }
}

impl WantedPorts {
    pub(super) fn of(view: &RoutingView, routes: &[AppRoute]) -> Self {
        Self(wanted(view, routes))
    }
}

impl Control {
    /// Refuses mappings whose host port another program or another app holds.
    pub(crate) async fn check_ports_can_be_opened(
        &self,
        app: &AppName,
        mappings: &[PortMapping],
    ) -> Outcome {
        let others = self.store.ports().all().await?;
        let main = self.main_ports();
        for mapping in mappings {
            let door = Door::of(mapping.scheme);
            let Some(port) = main.place(mapping) else {
                return Err(Failure::new(format!(
                    "Cannot map {mapping}: this installation does not serve HTTPS; name an address in https.listen of the \
                     daemon's configuration"
                )));
            };
            let held = others
                .iter()
                .filter(|(other, _)| *other != app)
                .flat_map(|(other, all)| all.iter().map(move |held| (other, held)))
                .chain(mappings.iter().filter(|m| *m != mapping).map(|m| (app, m)))
                .find(|(_, held)| clash(door.at(port), door, held));
            if let Some((owner, held)) = held {
                return Err(Failure::new(format!(
                    "Cannot map {mapping}: {owner} has {held}, which is {}",
                    Door::of(held.scheme).word()
                )));
            }
            self.check_door(door, port).await?;
        }
        Ok(())
    }

    /// Refuses a port that another program holds.
    pub(crate) async fn check_port_can_be_opened(&self, port: u16) -> Outcome {
        self.check_door(Door::Http, port).await
    }

    /// The same for a port where TLS is spoken.
    pub(crate) async fn check_tls_port_can_be_opened(&self, port: u16) -> Outcome {
        if self.main_ports().https.is_none() {
            return Err(Failure::new(
                "This installation does not serve HTTPS: name an address in https.listen of the daemon's configuration",
            ));
        }
        if port == 443 {
            return Ok(());
        }
        self.check_door(Door::Https, port).await
    }

    async fn check_door(&self, door: Door, port: u16) -> Outcome {
        let main = self.main_ports();
        let taken = if port == main.http {
            Some(Door::Http)
        } else if Some(port) == main.https {
            Some(Door::Https)
        } else {
            None
        };
        match taken {
            Some(taken) if taken == door || door == Door::Udp => {}
            Some(taken) => {
                return Err(Failure::new(format!(
                    "Port {port} of this host cannot be used for {}: it is for {}",
                    door.word(),
                    taken.word()
                )));
            }
            None => {}
        }
        if taken == Some(door) || self.router_ports.has(door.at(port)) {
            return Ok(());
        }
        self.open(door, port).await.map(|_| ()).map_err(|error| {
            Failure::new(format!("Port {port} of this host cannot be used: {error}"))
        })
    }

    /// Opens the ports that routes name beside the main ones, and closes those that none names any more.
    pub(super) async fn open_ports(&self, wanted: WantedPorts) {
        let WantedPorts(wanted) = wanted;
        let changed = self.router_ports.keep_only(&wanted);
        for (place, door) in wanted {
            if self.router_ports.is_served(place) {
                continue;
            }
            let (Place::Tcp(port) | Place::Udp(port)) = place;
            let mut opened = self.open(door, port).await;
            for _ in 0..REOPENINGS {
                if !changed.contains(&place) || opened.is_ok() {
                    break;
                }
                tokio::time::sleep(REOPEN).await;
                opened = self.open(door, port).await;
            }
            let served = match opened {
                Ok(socket) => self.router_ports.serve(&self.router, place, door, socket),
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::error!(port, %error, "cannot open port {port} for an app's port mapping");
            }
        }
        self.router_ports.close_spares();
    }

    async fn open(&self, door: Door, port: u16) -> io::Result<PortSocket> {
        if let Some(spare) = self.router_ports.spare(door.at(port)) {
            return Ok(spare);
        }
        let address = (self.settings.http_ip, port);
        if door == Door::Udp {
            let socket = UdpSocket::bind(address).await?;
            return Ok(PortSocket::Udp(socket.into_std()?));
        }
        let listener = TcpListener::bind(address).await?;
        Ok(PortSocket::Tcp(listener.into_std()?))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clash(place: Place, door: Door, held: &PortMapping) -> bool {
    let other = Door::of(held.scheme);
    let is_same_place = match held.host {
        // The main ports by their usual names, which no other door gets.
        80 | 443 if other.is_shared() => false,
        host => other.at(host) == place,
    };
    is_same_place && (other != door || !door.is_shared())
}

// A port that only an image asks for is reached by the app's name: opening it would let any image choose.
fn wanted(view: &RoutingView, routes: &[AppRoute]) -> BTreeMap<Place, Door> {
    let mut wanted = BTreeMap::new();
    for route in routes {
        let own = view.ports.get(&route.app).filter(|own| !own.is_empty());
        let mut want = |door: Door, port: u16| {
            if port != view.main.http && Some(port) != view.main.https {
                wanted.entry(door.at(port)).or_insert(door);
            }
        };
        match own {
            Some(own) => {
                for mapping in own {
                    if let Some(port) = view.main.place(mapping) {
                        want(Door::of(mapping.scheme), port);
                    }
                }
            }
            None => {
                if let Some(port) = view.proxy.port(&route.app).filter(|port| *port != 80) {
                    want(Door::Http, port);
                }
                let ssl = view.proxy.ssl_port(&route.app);
                if let Some(port) = ssl.filter(|_| view.main.https.is_some()) {
                    want(Door::Https, port);
                }
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_was_taken_over_is_there_once_and_only_when_asked_for() {
        let ports = RouterPorts::new(CancellationToken::new(), TaskTracker::new());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place::Tcp(listener.local_addr().unwrap().port());
        ports.take_over(PortSocket::Tcp(listener)).unwrap();
        assert!(ports.has(place) && !ports.is_served(place));
        assert!(ports.shared().unwrap().is_empty(), "nobody serves it");
        let socket = ports.spare(place).unwrap();
        assert_eq!(socket.place().unwrap(), place);
        assert!(ports.spare(place).is_none());
        ports.take_over(socket).unwrap();
        ports.close_spares();
        assert!(!ports.has(place));
    }

    #[test]
    fn requests_share_a_port_and_bytes_do_not() {
        let clashes = |one: &str, other: &str| {
            let one: PortMapping = one.parse().unwrap();
            let door = Door::of(one.scheme);
            clash(door.at(one.host), door, &other.parse().unwrap())
        };
        for (one, other, expected) in [
            ("http:8080:1", "http:8080:2", false),
            ("http:8080:1", "grpc:8080:2", false),
            ("https:8443:1", "grpcs:8443:2", false),
            ("http:8080:1", "https:8080:2", true),
            ("tcp:5432:1", "tcp:5432:2", true),
            ("tcp:5432:1", "http:5432:2", true),
            ("tcp:5432:1", "tcp:5433:2", false),
            ("udp:53:1", "tcp:53:2", false),
            ("udp:53:1", "udp:53:2", true),
            ("http:80:1", "https:443:1", false),
        ] {
            assert_eq!(clashes(one, other), expected, "{one} {other}");
        }
    }
}
