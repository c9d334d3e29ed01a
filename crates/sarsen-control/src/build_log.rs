//! A build's log: a file that the deploy appends to and that any number of people follow, each at their own pace.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sarsen_domain::{AppName, BuildId, Progress};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;

use std::collections::HashMap;

/// So many bytes are handed to a follower at once.
const FOLLOWED: u64 = 32 * 1024;

/// The folder of build logs: `builds/APP/ID.log`.
#[derive(Debug, Clone)]
pub(crate) struct BuildLogs {
    root: PathBuf,
    running: Arc<Mutex<HashMap<BuildId, watch::Receiver<Written>>>>,
}

/// How much of a log there is.
#[derive(Debug, Clone, Copy, Default)]
struct Written {
    bytes: u64,
    complete: bool,
}

/// Reads a build's log from some place on, and goes on while the build is under way.
#[derive(Debug)]
pub struct BuildFollower {
    path: PathBuf,
    running: Option<watch::Receiver<Written>>,
    position: u64,
}

impl BuildFollower {
    /// Bytes from the beginning of the log to what comes next.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What comes next; nothing when the build is over and everything was read.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // The state before the file: what is written in between shows in the next round.
            let state = self
                .running
                .as_mut()
                .map(|running| *running.borrow_and_update());
            let complete = state.is_none_or(|written| written.complete);
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(self.position))?;
            let mut bytes = Vec::new();
            file.take(FOLLOWED).read_to_end(&mut bytes)?;
            if !bytes.is_empty() {
                self.position += bytes.len() as u64;
                return Ok(Some(bytes));
            }
            match &mut self.running {
                Some(running) if !complete => {
                    if running.changed().await.is_err() {
                        self.running = None;
                    }
                }
                _ => return Ok(None),
            }
        }
    }
}

/// The log of a build under way. Dropping it marks the log complete.
#[derive(Debug)]
pub(crate) struct BuildLog {
    build: BuildId,
    file: Mutex<File>,
    written: watch::Sender<Written>,
    logs: BuildLogs,
}

impl BuildLogs {
    /// Logs below this folder.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root,
            running: Arc::default(),
        }
    }

    /// Where a build's log is.
    pub(crate) fn path(&self, app: &AppName, build: &BuildId) -> PathBuf {
        self.root.join(app.as_str()).join(format!("{build}.log"))
    }

    /// Where an app's logs are.
    pub(crate) fn folder(&self, app: &AppName) -> PathBuf {
        self.root.join(app.as_str())
    }

    /// Starts a log.
    pub(crate) fn create(&self, app: &AppName, build: &BuildId) -> io::Result<BuildLog> {
        let path = self.path(app, build);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (written, receiver) = watch::channel(Written::default());
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(build.clone(), receiver);
        Ok(BuildLog {
            build: build.clone(),
            file: Mutex::new(file),
            written,
            logs: self.clone(),
        })
    }

    /// Copies a log to `sink`, and goes on until the build ends when it is under way.
    pub(crate) async fn follow(
        &self,
        app: &AppName,
        build: &BuildId,
        sink: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> io::Result<()> {
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(build)
            .cloned();
        copy(&self.path(app, build), running, sink).await
    }

    /// The same for who reads it bit by bit.
    pub(crate) fn follower(&self, app: &AppName, build: &BuildId, position: u64) -> BuildFollower {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        BuildFollower {
            path: self.path(app, build),
            running: running.get(build).cloned(),
            position,
        }
    }

    /// Removes the logs of builds that are no longer recorded.
    pub(crate) fn remove(&self, app: &AppName, builds: &[BuildId]) {
        for build in builds {
            remove_if_there(&self.path(app, build));
        }
    }

    /// Removes all logs of an app.
    pub(crate) fn remove_app(&self, app: &AppName) {
        if let Err(error) = fs::remove_dir_all(self.root.join(app.as_str()))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(app.name = %app, %error, "cannot remove the build logs of {app}");
        }
    }

    /// Moves the logs of a renamed app.
    pub(crate) fn rename_app(&self, old: &AppName, new: &AppName) -> io::Result<()> {
        match fs::rename(self.root.join(old.as_str()), self.root.join(new.as_str())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn remove_if_there(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a build log");
    }
}

async fn copy(
    path: &Path,
    mut running: Option<watch::Receiver<Written>>,
    sink: &mut (impl AsyncWrite + Unpin + ?Sized),
) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut position = 0_u64;
    let mut buffer = vec![0_u8; 32 * 1024];
    loop {
        // Read the state before the file: what is written in between shows in the next round.
        let complete = running
            .as_mut()
            .is_none_or(|running| running.borrow_and_update().complete);
        loop {
            file.seek(SeekFrom::Start(position))?;
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            sink.write_all(buffer.get(..count).unwrap_or_default())
                .await?;
            sink.flush().await?;
            position += count as u64;
        }
        match &mut running {
            Some(running) if !complete => {
                // An error means that the writer is gone: one more round reads the rest.
                if running.changed().await.is_err() && running.borrow().bytes <= position {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        }
    }
}

impl Progress for BuildLog {
    fn write(&self, bytes: &[u8]) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(bytes) {
            tracing::warn!(build = %self.build, %error, "cannot write to a build log");
        }
        drop(file);
        self.written
            .send_modify(|written| written.bytes += bytes.len() as u64);
    }
}

impl Drop for BuildLog {
    fn drop(&mut self) {
        self.written.send_modify(|written| written.complete = true);
        self.logs
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.build);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn followers_see_everything_until_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let logs = BuildLogs::new(folder.path().to_owned());
        let (app, build) = (AppName::parse("a").unwrap(), BuildId::from_parts(1, 2));
        let log = logs.create(&app, &build).unwrap();
        log.header("one");
        let follower = async {
            let mut seen = Vec::new();
            logs.follow(&app, &build, &mut seen).await.unwrap();
            String::from_utf8(seen).unwrap()
        };
        let writer = async {
            tokio::task::yield_now().await;
            log.body("two\nthree");
            drop(log);
        };
        let (seen, ()) = tokio::join!(follower, writer);
        assert_eq!(seen, "-----> one\n       two\n       three\n");
        let mut again = Vec::new();
        logs.follow(&app, &build, &mut again).await.unwrap();
        assert_eq!(again, seen.as_bytes());
    }
}
