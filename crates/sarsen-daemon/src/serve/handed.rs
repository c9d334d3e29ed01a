//! Sockets that somebody else opened for us, so that a start refuses no connection: the service manager, or the daemon
//! whose place we take.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use sarsen_control::PortSocket;

use super::passing;
use crate::vars::Vars;

/// Set for a daemon whose standard input is the way to the one before it.
pub(super) const SUCCEEDING: &str = "SARSEN_SUCCEEDING";

/// The daemon before us sends what it has at once.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was handed over.
#[derive(Debug, Default)]
pub(super) struct Handed {
    pub(super) ssh: Vec<HandedListener>,
    pub(super) http: Vec<HandedListener>,
    pub(super) https: Vec<HandedListener>,
    pub(super) web: Vec<HandedListener>,
    pub(super) control: Option<(UnixListener, Opener)>,
    pub(super) consul: Option<TcpListener>,
    /// Two of the same address are one port.
    pub(super) dns_udp: Vec<UdpSocket>,
    pub(super) dns_tcp: Vec<TcpListener>,
    /// Ports that routes ask for.
    pub(super) ports: Vec<PortSocket>,
    /// The way to the daemon before us.
    pub(super) predecessor: Option<UnixStream>,
}

/// A listener, and who decided on its address.
pub(super) type HandedListener = (TcpListener, Opener);

/// Who opened a socket first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opener {
    /// Its units say where it listens.
    ServiceManager,
    /// Our configuration says so.
    Daemon,
}

impl Opener {
    /// The name to pass a socket on by.
    pub(super) fn name(self, door: &str) -> String {
        match self {
            Self::ServiceManager => door.to_owned(),
            Self::Daemon => format!("own:{door}"),
        }
    }
}

impl Handed {
    /// Takes what is there. Call it once, before anything else opens files.
    pub(super) fn take(vars: &Vars) -> Result<Self> {
        if vars.get(SUCCEEDING).is_some() {
            return Self::inherit().with_context(|| {
                format!("cannot take the place of another daemon ({SUCCEEDING})")
            });
        }
        let mut handed = Self::default();
        if vars.get("LISTEN_FDS").is_none() {
            return Ok(handed);
        }
        let given = sd_listen_fds::get().map_err(|error| {
            anyhow::anyhow!("cannot take the sockets that the service manager opened: {error:?}")
        })?;
        for (name, fd) in given {
            let (name, fd) = (name.unwrap_or_default(), fd.into_std());
            // Our children have no business with it.
            fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
            handed
                .sort_in(&name, Opener::ServiceManager, fd)
                .with_context(|| format!("socket '{name}' of the service manager"))?;
        }
        Ok(handed)
    }

    /// From the daemon before us.
    fn inherit() -> Result<Self> {
        let way = std::io::stdin().as_fd().try_clone_to_owned()?;
        let way = UnixStream::from(way);
        way.peer_addr().context("standard input is no socket")?;
        way.set_read_timeout(Some(PATIENCE))?;
        let mut handed = Self::default();
        for (name, fd) in passing::receive(&way)? {
            let (opener, door) = match name.strip_prefix("own:") {
                Some(door) => (Opener::Daemon, door),
                None => (Opener::ServiceManager, name.as_str()),
            };
            handed
                .sort_in(door, opener, fd)
                .with_context(|| format!("socket '{name}'"))?;
        }
        way.set_read_timeout(None)?;
        // Whatever we start has no business with the way.
        nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
        handed.predecessor = Some(way);
        Ok(handed)
    }

    fn sort_in(&mut self, door: &str, opener: Opener, fd: OwnedFd) -> Result<()> {
        match door {
            "ssh" => self.ssh.push((tcp(fd)?, opener)),
            "http" => self.http.push((tcp(fd)?, opener)),
            "https" => self.https.push((tcp(fd)?, opener)),
            "web" => self.web.push((tcp(fd)?, opener)),
            "control" => {
                let listener = UnixListener::from(fd);
                listener
                    .local_addr()
                    .context("it must be a unix stream socket")?;
                listener.set_nonblocking(true)?;
                self.control = Some((listener, opener));
            }
            "consul" if opener == Opener::Daemon => self.consul = Some(tcp(fd)?),
            "tcp" if opener == Opener::Daemon => self.ports.push(PortSocket::Tcp(tcp(fd)?)),
            "udp" if opener == Opener::Daemon => self.ports.push(PortSocket::Udp(udp(fd)?)),
            "dns-tcp" if opener == Opener::Daemon => self.dns_tcp.push(tcp(fd)?),
            "dns-udp" if opener == Opener::Daemon => self.dns_udp.push(udp(fd)?),
            _ => bail!("set FileDescriptorName= of its unit to ssh, http, https, web or control"),
        }
        Ok(())
    }
}

fn tcp(fd: OwnedFd) -> Result<TcpListener> {
    let listener = TcpListener::from(fd);
    listener.local_addr().context("it must be a TCP socket")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn udp(fd: OwnedFd) -> Result<UdpSocket> {
    let socket = UdpSocket::from(fd);
    socket.local_addr().context("it must be a UDP socket")?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
