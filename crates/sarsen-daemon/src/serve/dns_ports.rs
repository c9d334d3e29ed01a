//! The ports that answer DNS. They stay open while those who answer there change, in this process or in the next.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::net::UnixStream as Way;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use sarsen_registry::DnsListener;

use super::listeners::is_same;
use super::passing;
use crate::config::DnsPlace;

/// The open ports. Clones are the same ones.
#[derive(Clone, Default)]
pub(super) struct DnsPorts(Arc<Mutex<Vec<Port>>>);

struct Port {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
}

impl DnsPorts {
    /// Takes from the daemon before us what may be wanted, and closes the rest.
    pub(super) fn inherit(
        udp: Vec<UdpSocket>,
        mut tcp: Vec<TcpListener>,
        places: &[DnsPlace],
    ) -> io::Result<Self> {
        let mut ports = Vec::new();
        for udp in udp {
            let address = udp.local_addr()?;
            let is_partner =
                |tcp: &TcpListener| tcp.local_addr().is_ok_and(|other| other == address);
            let is_wanted = places.iter().any(|place| match place {
                DnsPlace::Address(wanted) => is_same(&address, wanted),
                DnsPlace::Bridge(port) => address.port() == *port,
            });
            if let (Some(partner), true) = (tcp.iter().position(is_partner), is_wanted) {
                let tcp = tcp.swap_remove(partner);
                ports.push(Port { udp, tcp, address });
            }
        }
        Ok(Self(Arc::new(Mutex::new(ports))))
    }

    /// Opens these ports to be served, or gives those that are open already.
    pub(super) async fn open(&self, addresses: &[SocketAddr]) -> Result<Vec<DnsListener>> {
        let mut listeners = Vec::new();
        for address in addresses {
            // Taken out for now: port 0 is another one each time.
            let listener = match self.take(address) {
                Some(port) => DnsListener::from_sockets(port.udp, port.tcp)?,
                None => DnsListener::bind(*address).await?,
            };
            listeners.push(listener);
        }
        for listener in &listeners {
            let (udp, tcp) = listener.sockets()?;
            let address = listener.address();
            self.lock().push(Port { udp, tcp, address });
        }
        Ok(listeners)
    }

    /// Closes those that are not at one of these addresses.
    pub(super) fn keep_only(&self, addresses: &[SocketAddr]) {
        self.lock().retain(|port| addresses.contains(&port.address));
    }

    /// Sends every socket to the next daemon.
    pub(super) fn pass_on(&self, way: &Way) -> io::Result<()> {
        for port in self.lock().iter() {
            passing::send(way, "own:dns-udp", &port.udp)?;
            passing::send(way, "own:dns-tcp", &port.tcp)?;
        }
        Ok(())
    }

    fn take(&self, wanted: &SocketAddr) -> Option<Port> {
        let mut ports = self.lock();
        let place = ports
            .iter()
            .position(|port| is_same(&port.address, wanted))?;
        Some(ports.swap_remove(place))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Port>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    #[tokio::test]
    async fn ports_are_kept_for_the_next_one() {
        let ports = DnsPorts::default();
        let opened = ports.open(&[any(), any()]).await.unwrap();
        let [first, second] = [0, 1].map(|n: usize| opened[n].address());
        drop(opened);
        let again = ports.open(&[first, any()]).await.unwrap();
        let [same, other] = [0, 1].map(|n: usize| again[n].address());
        assert_eq!((same, other), (first, second));
        drop(again);
        ports.keep_only(&[first]);
        assert!(UdpSocket::bind(first).is_err(), "it is open");
        assert!(UdpSocket::bind(second).is_ok(), "it is closed");
    }

    #[tokio::test]
    async fn what_is_not_wanted_any_more_is_closed() {
        let ports = DnsPorts::default();
        let opened = ports.open(&[any(), any(), any()]).await.unwrap();
        let addresses: Vec<SocketAddr> = opened.iter().map(DnsListener::address).collect();
        let sockets = opened.iter().map(|listener| listener.sockets().unwrap());
        let (udp, tcp) = sockets.unzip();
        drop((opened, ports));
        let places = [
            DnsPlace::Address(addresses[0]),
            DnsPlace::Bridge(addresses[2].port()),
        ];
        let ports = DnsPorts::inherit(udp, tcp, &places).unwrap();
        let is_open = addresses
            .iter()
            .map(|address| TcpListener::bind(address).is_err());
        assert_eq!(is_open.collect::<Vec<_>>(), [true, false, true]);
        let listener = ports.open(&addresses[2..]).await.unwrap();
        assert_eq!(listener[0].address(), addresses[2]);
    }
}
