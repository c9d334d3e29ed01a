//! Every socket that the daemon listens on, opened before anything is served.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixStream as Way;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::stat::{Mode as Mask, umask};
use nix::unistd::Group;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::dns_ports::DnsPorts;
use super::handed::{Handed, HandedListener, Opener};
use super::passing;
use crate::config::{Config, ConsulConfig, ControlConfig};

/// The open sockets. They stay open while those who serve them change.
pub(super) struct Listeners {
    pub(super) ssh: Door,
    pub(super) http: Door,
    pub(super) https: Door,
    pub(super) web: Door,
    pub(super) consul: Option<std::net::TcpListener>,
    /// Opened by those who answer there.
    pub(super) dns: DnsPorts,
    control: std::os::unix::net::UnixListener,
    socket_file: SocketFile,
    /// Where the control socket is reached.
    pub(super) socket_path: PathBuf,
    /// The main address of each.
    pub(super) ssh_address: SocketAddr,
    pub(super) http_address: SocketAddr,
    pub(super) https_address: Option<SocketAddr>,
    pub(super) web_address: Option<SocketAddr>,
}

/// The listeners of one kind.
pub(super) struct Door(Vec<HandedListener>);

/// The control socket's file: removed with this, unless it is the service manager's or was passed on.
struct SocketFile(Option<PathBuf>);

impl Listeners {
    /// Takes what was handed over, opens the rest.
    pub(super) async fn open(config: &Config, handed: Handed) -> Result<Self> {
        let ssh = Door::open("ssh.listen", handed.ssh, &config.ssh.listen).await?;
        let http = Door::open("http.listen", handed.http, &config.http.listen).await?;
        let https = Door::open("https.listen", handed.https, &config.https.listen).await?;
        let web = Door::open("web.listen", handed.web, config.web.listen.as_slice()).await?;
        let consul = consul(config, handed.consul).await?;
        let dns = DnsPorts::inherit(handed.dns_udp, handed.dns_tcp, &config.dns.listen)?;
        let mut socket_path = config.control.socket.clone();
        let (control, socket_file) = match handed.control {
            Some((listener, Opener::ServiceManager)) => {
                if let Some(path) = listener.local_addr()?.as_pathname() {
                    path.clone_into(&mut socket_path);
                }
                (listener, SocketFile(None))
            }
            Some((listener, Opener::Daemon)) if is_at(&listener, &socket_path) => {
                (listener, SocketFile(Some(socket_path.clone())))
            }
            other => {
                remove_earlier(other)?;
                let (listener, file) = control(&config.control).await?;
                (listener.into_std()?, file)
            }
        };
        let (ssh_address, http_address) = (ssh.address()?, http.address()?);
        Ok(Self {
            ssh_address: ssh_address.context("ssh.listen is empty")?,
            http_address: http_address.context("http.listen is empty")?,
            https_address: https.address()?,
            web_address: web.address()?,
            ssh,
            http,
            https,
            web,
            consul,
            dns,
            control,
            socket_file,
            socket_path,
        })
    }

    /// The control socket, to be served.
    pub(super) fn control(&self) -> io::Result<UnixListener> {
        UnixListener::from_std(self.control.try_clone()?)
    }

    /// The port of the Consul API, to be served.
    pub(super) fn consul(&self) -> io::Result<Option<TcpListener>> {
        let share = |listener: &std::net::TcpListener| TcpListener::from_std(listener.try_clone()?);
        self.consul.as_ref().map(share).transpose()
    }

    /// Sends every socket to the next daemon.
    pub(super) fn pass_on(&self, way: &Way) -> io::Result<()> {
        let doors = [
            ("ssh", &self.ssh),
            ("http", &self.http),
            ("https", &self.https),
            ("web", &self.web),
        ];
        for (name, door) in doors {
            for (listener, opener) in &door.0 {
                passing::send(way, &opener.name(name), listener)?;
            }
        }
        if let Some(listener) = &self.consul {
            passing::send(way, &Opener::Daemon.name("consul"), listener)?;
        }
        self.dns.pass_on(way)?;
        let opener = match self.socket_file.0 {
            Some(_) => Opener::Daemon,
            None => Opener::ServiceManager,
        };
        passing::send(way, &opener.name("control"), &self.control)
    }

    /// The next daemon serves them all: ours are closed, and nothing is cleared away.
    pub(super) fn give_up(mut self) {
        self.socket_file.0 = None;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Gone already is as good.
            fs::remove_file(path).ok();
        }
    }
}

impl Door {
    async fn open(
        key: &str,
        handed: Vec<HandedListener>,
        addresses: &[SocketAddr],
    ) -> Result<Self> {
        let (mut listeners, mut earlier) = (Vec::new(), Vec::new());
        for (listener, opener) in handed {
            let address = listener.local_addr()?;
            if opener == Opener::Daemon {
                earlier.push((listener, address));
                continue;
            }
            if !addresses.contains(&address) {
                tracing::warn!(
                    "listening on {address}, where the service manager says, whatever {key} says"
                );
            }
            listeners.push((listener, opener));
        }
        if !listeners.is_empty() {
            return Ok(Self(listeners));
        }
        for address in addresses {
            let known = earlier
                .iter()
                .position(|(_, known)| is_same(known, address));
            let listener = match known {
                Some(place) => earlier.swap_remove(place).0,
                None => {
                    let bound = TcpListener::bind(address).await;
                    let bound =
                        bound.with_context(|| format!("cannot listen on {address} ({key})"))?;
                    bound.into_std()?
                }
            };
            listeners.push((listener, Opener::Daemon));
        }
        Ok(Self(listeners))
    }

    fn address(&self) -> io::Result<Option<SocketAddr>> {
        let first = self.0.first();
        first.map(|(listener, _)| listener.local_addr()).transpose()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The listeners, to be served.
    pub(super) fn listeners(&self) -> io::Result<Vec<TcpListener>> {
        let share = |(listener, _): &HandedListener| TcpListener::from_std(listener.try_clone()?);
        self.0.iter().map(share).collect()
    }
}

// Port 0 stands for any.
pub(super) fn is_same(known: &SocketAddr, wanted: &SocketAddr) -> bool {
    known.ip() == wanted.ip() && [0, known.port()].contains(&wanted.port())
}

fn is_at(listener: &std::os::unix::net::UnixListener, path: &Path) -> bool {
    let address = listener.local_addr();
    address.is_ok_and(|address| address.as_pathname() == Some(path))
}

// The configuration names another place for the control socket than it did.
fn remove_earlier(handed: Option<(std::os::unix::net::UnixListener, Opener)>) -> io::Result<()> {
    let Some((listener, _)) = handed else {
        return Ok(());
    };
    if let Some(path) = listener.local_addr()?.as_pathname() {
        fs::remove_file(path).ok();
    }
    Ok(())
}

/// A port that Consul itself may have on this machine is not worth a daemon that does not start.
async fn consul(
    config: &Config,
    handed: Option<std::net::TcpListener>,
) -> Result<Option<std::net::TcpListener>> {
    let Some(address) = config.consul.listen else {
        return Ok(None);
    };
    // Publishing to ourselves helps nobody: the Consul that is meant is still to come.
    let backends = &config.registry.backends.0;
    if backends.iter().any(|backend| backend.is_at(address)) {
        tracing::info!(
            "{address} is for the Consul of registry.backends: there is no Consul API here"
        );
        return Ok(None);
    }
    if !address.ip().is_loopback() && config.consul.token_file.is_none() {
        bail!(
            "consul.listen = {address} is open to others: set consul.token_file, or listen on 127.0.0.1"
        );
    }
    if let Some(handed) = handed
        && is_same(&handed.local_addr()?, &address)
    {
        return Ok(Some(handed));
    }
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener.into_std()?)),
        Err(error) if error.kind() == ErrorKind::AddrInUse && address == ConsulConfig::USUAL => {
            tracing::warn!(
                "{address} is taken, perhaps by a Consul: there is no Consul API here (consul.listen)"
            );
            Ok(None)
        }
        Err(error) => {
            Err(error).with_context(|| format!("cannot listen on {address} (consul.listen)"))
        }
    }
}

async fn control(config: &ControlConfig) -> Result<(UnixListener, SocketFile)> {
    let path = &config.socket;
    make_way(path).await?;
    // Nobody may connect between the socket's birth and its final mode.
    let before = umask(Mask::from_bits_truncate(0o177));
    let bound = UnixListener::bind(path);
    umask(before);
    let listener =
        bound.with_context(|| format!("cannot listen on {} (control.socket)", path.display()))?;
    let file = SocketFile(Some(path.clone()));
    if let Some(name) = &config.group {
        let group = Group::from_name(name)?
            .with_context(|| format!("there is no group {name} (control.group)"))?;
        chown(path, None, Some(group.gid.as_raw()))
            .with_context(|| format!("cannot give {} to the group {name}", path.display()))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(config.mode.0))?;
    Ok((listener, file))
}

/// Makes the socket's folder, and removes a socket that nobody answers at any more.
async fn make_way(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    match UnixStream::connect(path).await {
        Ok(_) => bail!(
            "another daemon answers at {} (control.socket)",
            path.display()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            use std::os::unix::fs::FileTypeExt;
            if !fs::symlink_metadata(path)?.file_type().is_socket() {
                bail!(
                    "{} is there, but is no socket (control.socket)",
                    path.display()
                );
            }
            fs::remove_file(path)
                .with_context(|| format!("cannot remove the stale socket {}", path.display()))
        }
        Err(error) => {
            Err(error).with_context(|| format!("cannot use {} (control.socket)", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Mode;

    fn config(path: &Path) -> ControlConfig {
        ControlConfig {
            socket: path.to_owned(),
            mode: Mode(0o640),
            group: None,
        }
    }

    #[tokio::test]
    async fn a_stale_socket_makes_way_and_a_live_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/control.sock");
        let (listener, file) = control(&config(&path)).await.unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o640
        );
        let error = control(&config(&path)).await.err().unwrap().to_string();
        assert!(error.contains("another daemon"), "{error}");
        drop(listener);
        // As after a crash: the file is still there.
        let (_listener, again) = control(&config(&path)).await.unwrap();
        drop(file);
        drop(again);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        fs::write(&path, "x").unwrap();
        assert!(control(&config(&path)).await.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
        let missing = ControlConfig {
            group: Some("no-such-group".to_owned()),
            ..config(&folder.path().join("s"))
        };
        let error = control(&missing).await.err().unwrap().to_string();
        assert!(error.contains("no group no-such-group"), "{error}");
        assert!(!folder.path().join("s").exists());
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_its_setting() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let error = Door::open("http.listen", Vec::new(), &[address])
            .await
            .err()
            .unwrap();
        let text = format!("{error:#}");
        assert!(
            text.contains(&format!("cannot listen on {address} (http.listen)")),
            "{text}"
        );
    }

    #[tokio::test]
    async fn what_an_earlier_daemon_opened_is_taken_where_it_is_still_wanted() {
        let open = || std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (stays, goes) = (open(), open());
        let (kept, closed) = (stays.local_addr().unwrap(), goes.local_addr().unwrap());
        let handed = vec![(goes, Opener::Daemon), (stays, Opener::Daemon)];
        let wanted = [kept, ([127, 0, 0, 1], 0).into()];
        let door = Door::open("http.listen", handed, &wanted[..1])
            .await
            .unwrap();
        assert_eq!(door.address().unwrap(), Some(kept));
        assert_eq!(door.len(), 1);
        assert!(std::net::TcpStream::connect(kept).is_ok());
        assert!(std::net::TcpStream::connect(closed).is_err());
        // The service manager is always right.
        let given = open();
        let address = given.local_addr().unwrap();
        let handed = vec![(given, Opener::ServiceManager)];
        let door = Door::open("http.listen", handed, &wanted).await.unwrap();
        assert_eq!((door.len(), door.address().unwrap()), (1, Some(address)));
    }
}
