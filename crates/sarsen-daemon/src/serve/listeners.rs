//! Every socket that the daemon listens on, opened before anything is served.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::stat::{Mode as Mask, umask};
use nix::unistd::Group;
use tokio::net::{TcpListener, UnixListener, UnixStream};

use super::handed::Handed;
use crate::config::{Config, ConsulConfig, ControlConfig};

/// The open sockets.
pub(super) struct Listeners {
    pub(super) ssh: Vec<TcpListener>,
    pub(super) http: Vec<TcpListener>,
    pub(super) https: Vec<TcpListener>,
    pub(super) web: Vec<TcpListener>,
    pub(super) consul: Option<TcpListener>,
    pub(super) control: UnixListener,
    pub(super) socket_file: SocketFile,
    /// Where the control socket is reached.
    pub(super) socket_path: PathBuf,
    /// The main address of each.
    pub(super) ssh_address: SocketAddr,
    pub(super) http_address: SocketAddr,
    pub(super) https_address: Option<SocketAddr>,
    pub(super) web_address: Option<SocketAddr>,
}

/// The control socket's file: removed with this, unless it is the service manager's.
pub(super) struct SocketFile(Option<PathBuf>);

impl Listeners {
    /// Takes what was handed over, opens the rest.
    pub(super) async fn open(config: &Config, handed: Handed) -> Result<Self> {
        let ssh = tcp("ssh.listen", handed.ssh, &config.ssh.listen).await?;
        let http = tcp("http.listen", handed.http, &config.http.listen).await?;
        let https = tcp("https.listen", handed.https, &config.https.listen).await?;
        let web = tcp("web.listen", handed.web, config.web.listen.as_slice()).await?;
        let consul = consul(&config.consul).await?;
        let mut socket_path = config.control.socket.clone();
        let (control, socket_file) = match handed.control {
            Some(listener) => {
                if let Some(path) = listener.local_addr()?.as_pathname() {
                    path.clone_into(&mut socket_path);
                }
                (UnixListener::from_std(listener)?, SocketFile(None))
            }
            None => control(&config.control).await?,
        };
        let first =
            |listeners: &[TcpListener]| listeners.first().map(TcpListener::local_addr).transpose();
        let (ssh_address, http_address) = (first(&ssh)?, first(&http)?);
        Ok(Self {
            ssh_address: ssh_address.context("ssh.listen is empty")?,
            http_address: http_address.context("http.listen is empty")?,
            https_address: first(&https)?,
            web_address: first(&web)?,
            ssh,
            http,
            https,
            web,
            consul,
            control,
            socket_file,
            socket_path,
        })
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

async fn tcp(
    key: &str,
    handed: Vec<std::net::TcpListener>,
    addresses: &[SocketAddr],
) -> Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    for listener in handed {
        let address = listener.local_addr()?;
        if !addresses.contains(&address) {
            tracing::warn!(
                "listening on {address}, where the service manager says, whatever {key} says"
            );
        }
        listeners.push(TcpListener::from_std(listener)?);
    }
    if !listeners.is_empty() {
        return Ok(listeners);
    }
    for address in addresses {
        let bound = TcpListener::bind(address).await;
        listeners.push(bound.with_context(|| format!("cannot listen on {address} ({key})"))?);
    }
    Ok(listeners)
}

/// A port that Consul itself may have on this machine is not worth a daemon that does not start.
async fn consul(config: &ConsulConfig) -> Result<Option<TcpListener>> {
    let Some(address) = config.listen else {
        return Ok(None);
    };
    if !address.ip().is_loopback() && config.token_file.is_none() {
        bail!(
            "consul.listen = {address} is open to others: set consul.token_file, or listen on 127.0.0.1"
        );
    }
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
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
        let error = tcp("http.listen", Vec::new(), &[address])
            .await
            .unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains(&format!("cannot listen on {address} (http.listen)")),
            "{text}"
        );
    }
}
