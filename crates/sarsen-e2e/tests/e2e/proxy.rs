//! A socket that leads to another one until it is cut.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The socket, and what is connected through it.
pub(crate) struct Proxy {
    folder: TempDir,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    connections: Vec<UnixStream>,
    /// Until then everybody who comes is sent away.
    closed_until: Option<Instant>,
}

impl Proxy {
    pub(crate) fn to(target: &str) -> Self {
        let folder = TempDir::with_prefix("sarsen-e2e-proxy-").unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        let proxy = Self {
            folder,
            state: Arc::default(),
        };
        let (state, target) = (Arc::clone(&proxy.state), PathBuf::from(target));
        // Ends with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                connect(client, &target, &state).ok();
            }
        });
        proxy
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// Cuts every connection, and refuses new ones for so long.
    pub(crate) fn cut(&self, away: Duration) {
        let mut state = self.state.lock().unwrap();
        state.closed_until = Some(Instant::now() + away);
        for connection in state.connections.drain(..) {
            connection.shutdown(Shutdown::Both).ok();
        }
    }
}

#[expect(
    clippy::significant_drop_tightening,
    reason = "a cut comes before and refuses, or after and finds the connection"
)]
fn connect(client: UnixStream, target: &Path, state: &Mutex<State>) -> io::Result<()> {
    let mut state = state.lock().unwrap();
    if state
        .closed_until
        .is_some_and(|until| Instant::now() < until)
    {
        return Ok(());
    }
    let server = UnixStream::connect(target)?;
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            io::copy(&mut from, &mut to).ok();
            // The other direction goes on: half-closed connections are part of the engine's protocol.
            to.shutdown(Shutdown::Write).ok();
        });
    }
    state.connections.extend([client, server]);
    Ok(())
}
