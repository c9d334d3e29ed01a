//! A way to the engine that can be cut, so that Docker is down for one daemon and for nobody else.

use std::fs;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

use crate::engine::Engine;

pub(crate) struct Way {
    folder: TempDir,
    open: Arc<Mutex<Vec<UnixStream>>>,
}

impl Way {
    pub(crate) fn new() -> Self {
        let way = Self {
            folder: TempDir::with_prefix("sarsen-e2e-way-").unwrap(),
            open: Arc::default(),
        };
        way.mend();
        way
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    pub(crate) fn engine(&self) -> Engine {
        Engine {
            socket: self.path().display().to_string(),
        }
    }

    /// Nobody answers any more, and whoever was talking hears nothing more.
    pub(crate) fn cut(&self) {
        fs::remove_file(self.path()).unwrap();
        for stream in self.open.lock().unwrap().drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    pub(crate) fn mend(&self) {
        let listener = UnixListener::bind(self.path()).unwrap();
        let open = Arc::clone(&self.open);
        // Ends with the test. Nobody finds a listener whose file is gone.
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                let engine = UnixStream::connect(Engine::shared().socket).unwrap();
                let both = [client.try_clone().unwrap(), engine.try_clone().unwrap()];
                open.lock().unwrap().extend(both);
                pass(client.try_clone().unwrap(), engine.try_clone().unwrap());
                pass(engine, client);
            }
        });
    }
}

fn pass(mut from: UnixStream, mut to: UnixStream) {
    thread::spawn(move || {
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
}
