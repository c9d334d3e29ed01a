//! The access log: one line per request, or connection where requests are not known, written by a thread of its own that no request ever waits for.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) mod line;
pub(crate) mod raw;
#[cfg(test)]
mod tests;

/// Bytes waiting for the writer; lines beyond are dropped and counted.
const BUFFER_LIMIT: usize = 1024 * 1024;

/// How long the writer gathers lines before it writes them at once.
const GATHER: Duration = Duration::from_millis(50);

/// Where the lines go. Clones write to the same place; dropping the last one writes out what is left.
#[derive(Debug, Clone, Default)]
pub struct AccessLog(Option<Arc<Writer>>);

#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    buffer: Mutex<Buffer>,
    filled: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    closed: bool,
}

struct RotatingFile {
    path: PathBuf,
    file: File,
    size: u64,
    max_bytes: u64,
}

// ===== impl AccessLog =====

impl AccessLog {
    /// Writes nothing.
    pub fn none() -> Self {
        Self(None)
    }

    /// Appends to a file. When it would grow past `max_bytes` it is renamed to `PATH.1`, replacing the one before.
    pub fn to_file(path: impl Into<PathBuf>, max_bytes: u64) -> io::Result<Self> {
        let file = RotatingFile::open(path.into(), max_bytes)?;
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run(file))?;
        Ok(Self(Some(Arc::new(Writer {
            shared,
            thread: Some(thread),
        }))))
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Hands over a line, which ends with a line feed.
    pub(crate) fn write(&self, line: &str) {
        if let Some(writer) = &self.0 {
            writer.shared.push(line.as_bytes());
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.0
            .as_ref()
            .map_or(0, |writer| writer.shared.dropped.load(Ordering::Relaxed))
    }
}

// ===== impl Writer =====

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            tracing::error!("the access log's writer ended with a panic");
        }
    }
}

// ===== impl Shared =====

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut buffer = self.lock();
        if buffer.bytes.len() + line.len() > BUFFER_LIMIT {
            drop(buffer);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = buffer.bytes.is_empty();
        buffer.bytes.extend_from_slice(line);
        drop(buffer);
        if was_empty {
            self.filled.notify_one();
        }
    }

    fn run(&self, mut file: RotatingFile) {
        let mut batch = Vec::new();
        let mut reported = 0;
        while self.next_batch(&mut batch) {
            if let Err(error) = file.append(&batch) {
                let lines = batch.iter().filter(|b| **b == b'\n').count() as u64;
                self.dropped.fetch_add(lines, Ordering::Relaxed);
                tracing::warn!(error = %error, "cannot write to the access log");
            }
            let dropped = self.dropped.load(Ordering::Relaxed);
            if dropped > reported {
                tracing::warn!(
                    "{} lines of the access log were dropped",
                    dropped - reported
                );
                reported = dropped;
            }
        }
    }

    // False when the log is closed and empty. The two buffers change places, so that neither is allocated anew.
    fn next_batch(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        self.gather();
        std::mem::swap(&mut self.lock().bytes, batch);
        !batch.is_empty()
    }

    // Waits for a first line, and then a little for more.
    fn gather(&self) {
        self.filled
            .wait_while(self.lock(), |b| b.bytes.is_empty() && !b.closed)
            .map(|buffer| {
                self.filled
                    .wait_timeout_while(buffer, GATHER, |b| !b.closed)
            })
            .map_or_else(drop, drop);
    }
}

// ===== impl RotatingFile =====

impl RotatingFile {
    fn open(path: PathBuf, max_bytes: u64) -> io::Result<Self> {
        let file = open_append(&path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            path,
            file,
            size,
            max_bytes,
        })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let more = bytes.len() as u64;
        if self.size > 0 && self.size + more > self.max_bytes {
            let mut old = self.path.clone().into_os_string();
            old.push(".1");
            std::fs::rename(&self.path, old)?;
            self.file = open_append(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(bytes)?;
        self.size += more;
        Ok(())
    }
}

// Paths and addresses of visitors are nobody else's business.
fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
}
