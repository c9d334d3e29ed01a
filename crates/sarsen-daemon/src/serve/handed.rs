//! Sockets that the service manager opened for us: a restart then refuses no connection.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use anyhow::{Context, Result, bail};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use crate::vars::Vars;

/// What was handed over, by the names that the socket units give.
#[derive(Debug, Default)]
pub(super) struct Handed {
    pub(super) ssh: Vec<TcpListener>,
    pub(super) http: Vec<TcpListener>,
    pub(super) https: Vec<TcpListener>,
    pub(super) web: Vec<TcpListener>,
    pub(super) control: Option<UnixListener>,
}

impl Handed {
    /// Takes what is there. Call it once, before anything else opens files.
    pub(super) fn take(vars: &Vars) -> Result<Self> {
        let mut handed = Self::default();
        if vars.get("LISTEN_FDS").is_none() {
            return Ok(handed);
        }
        let given = sd_listen_fds::get().map_err(|error| {
            anyhow::anyhow!("cannot take the sockets that the service manager opened: {error:?}")
        })?;
        for (name, fd) in given {
            let name = name.unwrap_or_default();
            handed
                .sort_in(&name, fd.into_std())
                .with_context(|| format!("socket '{name}' of the service manager"))?;
        }
        Ok(handed)
    }

    fn sort_in(&mut self, name: &str, fd: OwnedFd) -> Result<()> {
        // Our children have no business with it.
        fcntl(&fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        match name {
            "ssh" => self.ssh.push(tcp(fd)?),
            "http" => self.http.push(tcp(fd)?),
            "https" => self.https.push(tcp(fd)?),
            "web" => self.web.push(tcp(fd)?),
            "control" => {
                let listener = UnixListener::from(fd);
                listener
                    .local_addr()
                    .context("it must be a unix stream socket")?;
                listener.set_nonblocking(true)?;
                self.control = Some(listener);
            }
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
