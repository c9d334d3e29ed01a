//! Questions about other names, passed on to the host's own name servers word by word.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::wire::Transport;

/// Where hosts write down their name servers.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The same behind systemd's own resolver on loopback, which containers cannot reach.
const BEHIND_STUB: &str = "/run/systemd/resolve/resolv.conf";
const PORT: u16 = 53;
/// For one server; those who ask usually wait five seconds.
const PATIENCE: Duration = Duration::from_millis(1500);
const ROUNDS: usize = 2;
/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const LARGEST: usize = 65_535;
const HEADER_LENGTH: usize = 12;

/// Who answers questions about other names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upstreams {
    /// The servers that the host itself asks.
    Host,
    /// These; none, and such questions are refused.
    These(Vec<SocketAddr>),
}

/// Passes questions on.
pub(super) struct Forwarder {
    upstreams: Upstreams,
    read: Mutex<Read>,
}

/// What the host's file said when it was last looked at.
#[derive(Default)]
struct Read {
    at: Option<Instant>,
    written: Option<SystemTime>,
    servers: Vec<SocketAddr>,
}

impl Forwarder {
    pub(super) fn new(upstreams: Upstreams) -> Self {
        Self {
            upstreams,
            read: Mutex::default(),
        }
    }

    /// Whether there is anybody to ask.
    pub(super) fn is_there(&self) -> bool {
        self.upstreams != Upstreams::These(Vec::new())
    }

    /// The answer of the first server that has one. `ours` are our own addresses: asking ourselves leads nowhere.
    pub(super) async fn ask(
        &self,
        question: &[u8],
        transport: Transport,
        ours: &[SocketAddr],
    ) -> Option<Vec<u8>> {
        let servers: Vec<_> = self
            .servers()
            .into_iter()
            .filter(|s| !ours.contains(s))
            .collect();
        let mut poor = None;
        for _ in 0..ROUNDS {
            for server in &servers {
                let asked = timeout(PATIENCE, ask(*server, question, transport));
                let answer = match asked.await {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "the name server {server} does not answer");
                        continue;
                    }
                    Err(_) => continue,
                };
                if is_conclusive(&answer) {
                    return Some(answer);
                }
                poor = Some(answer);
            }
            if poor.is_some() {
                break;
            }
        }
        poor
    }

    fn servers(&self) -> Vec<SocketAddr> {
        match &self.upstreams {
            Upstreams::These(servers) => servers.clone(),
            Upstreams::Host => {
                let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
                read.refresh();
                read.servers.clone()
            }
        }
    }
}

impl Read {
    /// A small local file: reading it takes no longer than asking whether it has changed.
    fn refresh(&mut self) {
        if self.at.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return;
        }
        self.at = Some(Instant::now());
        let written = std::fs::metadata(RESOLV_CONF)
            .and_then(|file| file.modified())
            .ok();
        if self.written.is_some() && self.written == written {
            return;
        }
        self.written = written;
        self.servers = name_servers(Path::new(RESOLV_CONF))
            .into_iter()
            .map(|ip| SocketAddr::new(ip, PORT))
            .collect();
    }
}

/// Name servers of the host that containers can ask when we are away.
pub fn fallbacks(upstreams: &Upstreams) -> Vec<IpAddr> {
    let found: Vec<IpAddr> = match upstreams {
        Upstreams::These(servers) => {
            let usual = servers.iter().filter(|server| server.port() == PORT);
            usual.map(SocketAddr::ip).collect()
        }
        Upstreams::Host => [RESOLV_CONF, BEHIND_STUB]
            .map(PathBuf::from)
            .iter()
            .flat_map(|path| name_servers(path))
            .collect(),
    };
    let mut seen = BTreeSet::new();
    let reachable = found.into_iter().filter(|ip| !ip.is_loopback());
    reachable.filter(|ip| seen.insert(*ip)).collect()
}

fn name_servers(path: &Path) -> Vec<IpAddr> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    parse(&text)
}

/// The `nameserver` lines of a resolv.conf. An address with a zone is of no use to others.
fn parse(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next())?
    });
    servers.filter_map(|server| server.parse().ok()).collect()
}

/// A server that fails or refuses says nothing about the name: another one may know it.
fn is_conclusive(answer: &[u8]) -> bool {
    const SERVER_FAILURE: u8 = 2;
    const REFUSED: u8 = 5;
    let code = answer.get(3).map_or(SERVER_FAILURE, |flags| flags & 0x0f);
    code != SERVER_FAILURE && code != REFUSED
}

async fn ask(server: SocketAddr, question: &[u8], transport: Transport) -> io::Result<Vec<u8>> {
    // An id and a port that nobody can guess.
    let id = rand::random::<u16>().to_be_bytes();
    let mut sent = question.to_vec();
    let asked = exchange_id(&mut sent, id)?;
    let mut answer = match transport {
        Transport::Udp => ask_udp(server, &sent).await?,
        Transport::Tcp => ask_tcp(server, &sent).await?,
    };
    exchange_id(&mut answer, asked)?;
    Ok(answer)
}

fn exchange_id(message: &mut [u8], id: [u8; 2]) -> io::Result<[u8; 2]> {
    let place = message.first_chunk_mut::<2>();
    let place = place.ok_or_else(|| io::Error::from(ErrorKind::InvalidData))?;
    Ok(std::mem::replace(place, id))
}

async fn ask_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; LARGEST];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let answer = buffer.get(..length).unwrap_or_default();
        if answers(answer, question) {
            return Ok(answer.to_vec());
        }
    }
}

async fn ask_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes(), question].concat())
        .await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    if answers(&answer, question) {
        return Ok(answer);
    }
    Err(ErrorKind::InvalidData.into())
}

/// Whether this is an answer to that: the same id, and the same question in it.
fn answers(answer: &[u8], question: &[u8]) -> bool {
    let id = |message: &[u8]| message.get(..2).map(<[u8]>::to_vec);
    let is_answer = answer.get(2).is_some_and(|flags| flags & 0x80 != 0);
    let asked = question_of(question);
    // A server that cannot read the question need not repeat it.
    let same = question_of(answer).is_none_or(|repeated| asked == Some(repeated));
    is_answer && id(answer) == id(question) && same
}

/// The question's name in lower case, its type and class.
fn question_of(message: &[u8]) -> Option<Vec<u8>> {
    if message.get(4..6)? == [0, 0] {
        return None;
    }
    let rest = message.get(HEADER_LENGTH..)?;
    let mut end = 0;
    loop {
        let length = usize::from(*rest.get(end)?);
        end += 1;
        match length {
            0 => break,
            // Nothing comes before the first question that its name could point back to.
            64.. => return None,
            length => end += length,
        }
    }
    let question = rest.get(..end + 4)?;
    Some(question.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_is_read() {
        let text = "# nameserver 1.1.1.1\nnameserver 10.0.0.2\nsearch x\nnameserver\tfd00::1 \nnameserver fe80::1%eth0\n";
        let servers: Vec<IpAddr> = vec!["10.0.0.2".parse().unwrap(), "fd00::1".parse().unwrap()];
        assert_eq!(parse(text), servers);
    }

    #[test]
    fn a_forged_answer_is_none() {
        let question = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01";
        let mut answer = question.to_vec();
        assert!(!answers(&answer, question), "it is a question");
        answer[2] = 0x81;
        assert!(answers(&answer, question));
        answer[13] = b'A';
        assert!(answers(&answer, question), "case does not count");
        answer[13] = b'b';
        assert!(!answers(&answer, question), "another name");
        answer[13] = b'a';
        answer[1] = 0x35;
        assert!(!answers(&answer, question), "another id");
    }
}
