//! Notes of what tests have in an engine, so that a test that was killed is cleaned up after by the next one.

use std::fs;
use std::path::{Path, PathBuf};

use crate::engine::Engine;

/// A note; gone when the test has cleaned up itself.
#[derive(Debug)]
pub(crate) struct Claim(PathBuf);

fn folder() -> PathBuf {
    std::env::temp_dir().join("sarsen-e2e-claims")
}

impl Claim {
    pub(crate) fn make(owner: &str, engine: &Engine) -> Self {
        fs::create_dir_all(folder()).unwrap();
        let path = folder().join(owner);
        fs::write(&path, format!("{} {}", std::process::id(), engine.socket)).unwrap();
        Self(path)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}

/// Removes what tests that were killed have left in the engine: names of containers are there only once.
pub(crate) fn clear_after_the_dead() {
    let Ok(entries) = fs::read_dir(folder()) else {
        return;
    };
    for note in entries.flatten() {
        let text = fs::read_to_string(note.path()).unwrap_or_default();
        let Some((process, socket)) = text.split_once(' ') else {
            continue;
        };
        if Path::new("/proc").join(process).exists() {
            continue;
        }
        let socket = socket.to_owned();
        if Path::new(&socket).exists() {
            Engine { socket }.remove_all_of(&note.file_name().to_string_lossy());
        }
        fs::remove_file(note.path()).ok();
    }
}
