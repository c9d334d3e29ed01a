//! One daemon takes the place of another without a moment in which nobody listens: the program is started anew, perhaps a
//! newer one, gets every open socket, and says when it serves. Only then does the one before it let nobody in any more.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Way;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sarsen_control::{PortSocket, RouterPorts};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::task::block_in_place;
use tokio::time::timeout;

use super::handed::SUCCEEDING;
use super::listeners::Listeners;
use super::passing;

/// What the successor says when it serves.
const READY: &[u8] = b"ready";
/// The successor has so long to begin: it may have a large database to bring up to date.
const BEGINNING: Duration = Duration::from_secs(120);
/// And so long to look at its configuration.
const CHECKING: Duration = Duration::from_secs(30);
/// And so long to take each socket.
const TAKING: Duration = Duration::from_secs(10);
/// What systemd says to its children, which are not to take it for said to them.
const OF_SYSTEMD: [&str; 3] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// How this daemon was started, for its successor to be started alike.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// As it was called: an upgrade puts another file, or another link, in this place.
    called: PathBuf,
    arguments: Vec<OsString>,
    /// The file that runs. Later nobody can tell any more, when it was replaced.
    binary: PathBuf,
}

/// The daemon that takes our place.
pub(super) struct Successor {
    pub(super) pid: u32,
    /// Its closing tells the successor that we have ended.
    _way: UnixStream,
}

/// The daemon whose place we take.
pub(super) struct Predecessor(Way);

impl Program {
    /// From the words of the command line, at the very start.
    pub(super) fn new(called: &Path, arguments: &[String]) -> Result<Self> {
        let binary = std::env::current_exe().context("cannot find our own executable")?;
        let has_folder = called.components().count() > 1;
        let called = match has_folder {
            true => std::path::absolute(called)?,
            // Found by a search that another day may end elsewhere.
            false => binary.clone(),
        };
        Ok(Self {
            called,
            arguments: arguments.iter().map(OsString::from).collect(),
            binary,
        })
    }

    pub(super) fn binary(&self) -> &Path {
        &self.binary
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.called);
        for name in OF_SYSTEMD {
            command.env_remove(name);
        }
        command.env_remove(SUCCEEDING);
        command
    }

    /// Has the program in our place look at its configuration, while we still serve.
    pub(super) async fn check(&self) -> Result<()> {
        if std::process::id() == 1 {
            bail!(
                "the first process of a container cannot be succeeded by another: restart the container"
            );
        }
        let mut command = self.command();
        let options = self.arguments.iter().skip(1);
        command.arg("check-config").args(options);
        command.stdin(Stdio::null()).kill_on_drop(true);
        let path = self.called.display();
        let done = timeout(CHECKING, command.output()).await;
        let done = done.with_context(|| format!("{path} check-config does not end"))?;
        let done = done.with_context(|| format!("cannot start {path}"))?;
        if !done.status.success() {
            let complaint = String::from_utf8_lossy(&done.stderr);
            bail!("{path} check-config: {}", complaint.trim());
        }
        Ok(())
    }

    /// Starts our successor and waits until it serves. When it fails, nothing is left of it.
    pub(super) async fn succeed(
        &self,
        listeners: &Listeners,
        ports: &RouterPorts,
    ) -> Result<Successor> {
        let (ours, theirs) = Way::pair()?;
        let mut command = self.command();
        command.args(&self.arguments).env(SUCCEEDING, "1");
        command.stdin(OwnedFd::from(theirs));
        let path = self.called.display();
        let spawned = command.spawn();
        let mut child = spawned.with_context(|| format!("cannot start {path}"))?;
        // Ours is a copy, and would keep the way open after the end of the successor.
        drop(command);
        let pid = child.id().context("it has ended at once")?;
        match begin(&mut child, ours, listeners, ports).await {
            Ok(way) => Ok(Successor { pid, _way: way }),
            Err(error) => {
                // Dead already is as good.
                child.kill().await.ok();
                Err(error)
            }
        }
    }
}

async fn begin(
    child: &mut Child,
    way: Way,
    listeners: &Listeners,
    ports: &RouterPorts,
) -> Result<UnixStream> {
    way.set_write_timeout(Some(TAKING))?;
    block_in_place(|| pass_on(&way, listeners, ports)).context("cannot pass the sockets on")?;
    way.set_nonblocking(true)?;
    let mut way = UnixStream::from_std(way)?;
    let mut said = [0; READY.len()];
    let heard = tokio::select! {
        heard = timeout(BEGINNING, way.read_exact(&mut said)) => heard,
        status = child.wait() => bail!("it ended at once: {}", status?),
    };
    match heard {
        Ok(Ok(_)) if said == READY => Ok(way),
        Ok(Ok(_)) => bail!("it said something else than that it serves"),
        Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => match child.wait().await {
            Ok(status) => bail!("it ended before it served: {status}"),
            Err(error) => Err(error.into()),
        },
        Ok(Err(error)) => Err(error.into()),
        Err(_) => bail!("it did not serve within {BEGINNING:?}"),
    }
}

fn pass_on(way: &Way, listeners: &Listeners, ports: &RouterPorts) -> std::io::Result<()> {
    listeners.pass_on(way)?;
    for socket in ports.shared()? {
        match socket {
            PortSocket::Tcp(listener) => passing::send(way, "own:tcp", listener)?,
            PortSocket::Udp(socket) => passing::send(way, "own:udp", socket)?,
        }
    }
    passing::send_end(way)
}

impl Predecessor {
    pub(super) fn at(way: Way) -> Self {
        Self(way)
    }

    /// Tells it that we serve, and waits for its end: until then it may have requests under way.
    pub(super) async fn relieve(self) -> Result<()> {
        self.0.set_nonblocking(true)?;
        let mut way = UnixStream::from_std(self.0)?;
        way.write_all(READY).await?;
        // It says nothing more. Closed, or broken: it is gone.
        way.read_to_end(&mut Vec::new()).await.ok();
        tracing::info!("the daemon before this one has ended");
        Ok(())
    }
}
