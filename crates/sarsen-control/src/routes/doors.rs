//! The ports that are open beside the main ones, because an app's mappings name them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sarsen_domain::{AppName, PortMapping, Scheme};
use sarsen_router::AppRoute;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};

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

/// The router's listeners beside the main ones.
#[derive(Default)]
pub(crate) struct ExtraListeners(Mutex<BTreeMap<Place, (Door, DropGuard)>>);

enum Opened {
    Tcp(TcpListener),
    Udp(UdpSocket),
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

impl ExtraListeners {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, (Door, DropGuard)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, place: Place) -> bool {
        self.lock().contains_key(&place)
    }

    /// Closes all but these; returns the places where something else is to be opened.
    fn keep_only(&self, wanted: &BTreeMap<Place, Door>) -> Vec<Place> {
        let mut changed = Vec::new();
        self.lock().retain(|place, (door, _)| {
            let now = wanted.get(place);
            if now.is_some_and(|now| now != door) {
                changed.push(*place);
            }
            now == Some(door)
        });
        changed
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
        if taken == Some(door) || self.extra_listeners.has(door.at(port)) {
            return Ok(());
        }
        self.open(door, port).await.map(|_| ()).map_err(|error| {
            Failure::new(format!("Port {port} of this host cannot be used: {error}"))
        })
    }

    /// Opens the ports that routes name beside the main ones, and closes those that none names any more.
    pub(super) async fn open_ports(&self, view: &RoutingView, routes: &[AppRoute]) {
        let wanted = wanted(view, routes);
        let changed = self.extra_listeners.keep_only(&wanted);
        for (place, door) in wanted {
            if self.extra_listeners.has(place) {
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
            match opened {
                Ok(opened) => self.serve_extra(place, door, opened),
                Err(error) => {
                    tracing::error!(port, %error, "cannot open port {port} for an app's port mapping");
                }
            }
        }
    }

    async fn open(&self, door: Door, port: u16) -> io::Result<Opened> {
        let address = (self.settings.http_ip, port);
        if door == Door::Udp {
            return UdpSocket::bind(address).await.map(Opened::Udp);
        }
        TcpListener::bind(address).await.map(Opened::Tcp)
    }

    fn serve_extra(&self, place: Place, door: Door, opened: Opened) {
        let stop: CancellationToken = self.shutdown.child_token();
        let (router, token) = (self.router.clone(), stop.clone());
        self.tasks.spawn(async move {
            let ended = match (opened, door) {
                (Opened::Udp(socket), _) => router.serve_udp(socket, token).await,
                (Opened::Tcp(listener), Door::Https) => router.serve_tls(listener, token).await,
                (Opened::Tcp(listener), Door::Tcp) => router.serve_tcp(listener, token).await,
                (Opened::Tcp(listener), _) => router.serve(listener, token).await,
            };
            if let Err(error) = ended {
                tracing::error!(?place, %error, "a port is served no longer");
            }
        });
        let guard = stop.drop_guard();
        self.extra_listeners.lock().insert(place, (door, guard));
    }
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
            }
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

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
