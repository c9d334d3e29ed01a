//! The sockets: UDP, and TCP for what does not fit there.

use std::io::{self, ErrorKind};
use std::net::{self, IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::wire::{Incoming, Question, Recursion, Transport};
use super::zone::View;
use super::{Dns, DnsError};

/// A connection that is silent for so long is closed.
const SILENCE: Duration = Duration::from_secs(10);
/// After a socket has failed.
const PAUSE: Duration = Duration::from_millis(50);
const LARGEST: usize = 65_535;
/// At the end, who has just connected has so long to ask, and whoever asked others for an answer to hear it.
const LAST_QUESTION: Duration = Duration::from_millis(500);
const LAST_ANSWER: Duration = Duration::from_secs(3);
/// UDP and TCP must share a port; one that is free for the first may be taken for the second.
const TRIES: usize = 16;

/// An open port, for UDP and TCP.
pub struct DnsListener {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
}

/// What becomes of a message.
enum Verdict {
    Send(Vec<u8>),
    /// To be passed on.
    Forward(Box<Question>),
    Ignore,
}

impl DnsListener {
    /// Opens a port; 0 is any.
    pub async fn bind(address: SocketAddr) -> Result<Self, DnsError> {
        let mut tried = 0;
        loop {
            tried += 1;
            match open(address).await {
                Ok(listener) => return Ok(listener),
                Err(_) if address.port() == 0 && tried < TRIES => {}
                Err(error) => {
                    let advice = advice(&error);
                    return Err(DnsError::Bind {
                        address,
                        error,
                        advice,
                    });
                }
            }
        }
    }

    /// Sockets that are open already, at the same port; none that block.
    pub fn from_sockets(udp: net::UdpSocket, tcp: net::TcpListener) -> io::Result<Self> {
        let address = tcp.local_addr()?;
        if udp.local_addr()? != address {
            return Err(ErrorKind::InvalidInput.into());
        }
        let (udp, tcp) = (UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?);
        Ok(Self { udp, tcp, address })
    }

    /// The sockets once more: they stay open for as long as these do, and whoever answers there next answers what was
    /// asked in between.
    pub fn sockets(&self) -> io::Result<(net::UdpSocket, net::TcpListener)> {
        let udp = self.udp.as_fd().try_clone_to_owned()?;
        let tcp = self.tcp.as_fd().try_clone_to_owned()?;
        Ok((udp.into(), tcp.into()))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn open(address: SocketAddr) -> io::Result<DnsListener> {
    let tcp = TcpListener::bind(address).await?;
    let address = tcp.local_addr()?;
    let udp = UdpSocket::bind(address).await?;
    Ok(DnsListener { udp, tcp, address })
}

fn advice(error: &io::Error) -> &'static str {
    let kinds = [
        (
            ErrorKind::AddrInUse,
            ": another name server has that port; see 'ss -lunp'",
        ),
        (
            ErrorKind::PermissionDenied,
            ": ports below 1024 take root or CAP_NET_BIND_SERVICE; another port works, but not for containers",
        ),
        (
            ErrorKind::AddrNotAvailable,
            ": this host has no such address",
        ),
    ];
    let known = kinds.into_iter().find(|(kind, _)| *kind == error.kind());
    known.map_or("", |(_, advice)| advice)
}

impl Dns {
    /// Answers on a port until `shutdown`, and then what was asked before.
    pub async fn serve(&self, listener: DnsListener, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let DnsListener { udp, tcp, address } = listener;
        let udp = Arc::new(udp);
        self.arrive(address);
        tracing::info!("answering DNS on {address}");
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.serve_udp(&udp, &tasks, &shutdown) => {}
            () = self.serve_tcp(&tcp, &tasks, &shutdown) => {}
        }
        self.leave(address);
        tasks.close();
        tasks.wait().await;
    }

    async fn serve_udp(
        &self,
        socket: &Arc<UdpSocket>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) {
        let mut buffer = vec![0; LARGEST];
        loop {
            let (length, peer) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, "DNS over UDP");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let bytes = buffer.get(..length).unwrap_or_default();
            match self.judge(bytes, Transport::Udp, peer.ip()) {
                Verdict::Send(answer) => send(socket, &answer, peer).await,
                Verdict::Forward(question) => {
                    let (dns, socket, bytes) = (self.clone(), Arc::clone(socket), bytes.to_vec());
                    let forwarding = async move {
                        if let Some(answer) = dns.forward(&bytes, &question, Transport::Udp).await {
                            send(&socket, &answer, peer).await;
                        }
                    };
                    let shutdown = shutdown.clone();
                    let end = async move { after(&shutdown, LAST_ANSWER).await };
                    tasks.spawn(async move {
                        tokio::select! { () = forwarding => {}, () = end => {} }
                    });
                }
                Verdict::Ignore => {}
            }
        }
    }

    async fn serve_tcp(
        &self,
        listener: &TcpListener,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) {
        loop {
            // The permit first: who cannot be served waits in the kernel's queue.
            let permit = Arc::clone(&self.shared.connections).acquire_owned().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (dns, shutdown) = (self.clone(), shutdown.clone());
                    tasks.spawn(async move {
                        let ended = tokio::select! {
                            ended = dns.converse(stream, peer.ip(), &shutdown) => ended,
                            () = after(&shutdown, LAST_ANSWER) => Ok(()),
                        };
                        if let Err(error) = ended {
                            tracing::debug!(%error, "DNS over TCP");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a DNS connection was not accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// One question after the other, until the other side has no more.
    async fn converse(
        &self,
        mut stream: TcpStream,
        peer: IpAddr,
        shutdown: &CancellationToken,
    ) -> io::Result<()> {
        loop {
            let read = async {
                let length = stream.read_u16().await?;
                let mut bytes = vec![0; usize::from(length)];
                stream.read_exact(&mut bytes).await?;
                Ok::<_, io::Error>(bytes)
            };
            let read = tokio::select! {
                read = timeout(SILENCE, read) => read,
                () = after(shutdown, LAST_QUESTION) => return Ok(()),
            };
            let bytes = match read {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Ok(()),
            };
            let answer = match self.judge(&bytes, Transport::Tcp, peer) {
                Verdict::Send(answer) => answer,
                Verdict::Forward(question) => {
                    let forwarded = self.forward(&bytes, &question, Transport::Tcp).await;
                    let Some(answer) = forwarded else {
                        return Ok(());
                    };
                    answer
                }
                Verdict::Ignore => return Ok(()),
            };
            let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
            let whole = [&length.to_be_bytes(), answer.as_slice()].concat();
            timeout(SILENCE, stream.write_all(&whole)).await??;
        }
    }

    fn judge(&self, bytes: &[u8], transport: Transport, peer: IpAddr) -> Verdict {
        let question = match Incoming::read(bytes, transport) {
            Incoming::Question(question) => question,
            Incoming::Reply(reply) => return Verdict::Send(reply),
            Incoming::Noise => return Verdict::Ignore,
        };
        let Some(query) = question.query() else {
            return Verdict::Ignore;
        };
        let recursion = self.shared.forwarder.is_there() && is_near(peer);
        let host = self.host();
        let view = View {
            host,
            is_local: peer.is_loopback() || host == Some(peer),
        };
        let answer = self.shared.zone.answer(query, &self.index(), view);
        let bytes = match answer {
            Some(answer) if recursion => question.answer(answer, Recursion::Offered),
            Some(answer) => question.answer(answer, Recursion::Refused),
            None if recursion && question.wants_recursion() => return Verdict::Forward(question),
            None => question.refuse(ResponseCode::Refused),
        };
        bytes.map_or(Verdict::Ignore, Verdict::Send)
    }

    async fn forward(
        &self,
        bytes: &[u8],
        question: &Question,
        transport: Transport,
    ) -> Option<Vec<u8>> {
        let shared = &*self.shared;
        let asked = match shared.forwards.try_acquire() {
            Ok(_permit) => {
                shared
                    .forwarder
                    .ask(bytes, transport, &self.addresses())
                    .await
            }
            Err(_) => None,
        };
        asked.or_else(|| question.refuse(ResponseCode::ServFail))
    }
}

async fn after(shutdown: &CancellationToken, time: Duration) {
    shutdown.cancelled().await;
    sleep(time).await;
}

async fn send(socket: &UdpSocket, answer: &[u8], peer: SocketAddr) {
    if let Err(error) = socket.send_to(answer, peer).await {
        tracing::debug!(%error, "a DNS answer to {peer} was not sent");
    }
}

/// We ask others only for this host and its networks: a resolver open to everybody is a weapon.
fn is_near(peer: IpAddr) -> bool {
    match peer.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
