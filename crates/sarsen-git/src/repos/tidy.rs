//! Keeping repositories small, and clean after a crash.

use std::fs;
use std::io;
use std::path::Path;

use sarsen_domain::AppName;

use super::{LONG, Repos};
use crate::error::GitError;
use crate::quarantine;

/// Where git leaves locks when it is killed.
const LOCKS: [&str; 4] = [
    "HEAD.lock",
    "config.lock",
    "packed-refs.lock",
    "shallow.lock",
];

impl Repos {
    /// Packs the repository and drops what nothing refers to any more.
    pub async fn gc(&self, app: &AppName) -> Result<(), GitError> {
        self.git("tidy the repository", "gc")
            .in_repo(&self.needed(app)?)
            .arg("--quiet")
            .arg("--prune=2.weeks.ago")
            .run(LONG)
            .await
    }

    /// Removes locks that a git which was killed has left. Only while nothing works on the repository.
    pub async fn unlock(&self, app: &AppName) -> Result<(), GitError> {
        let path = self.needed(app)?;
        let work = move || sweep_locks(&path);
        self.aside(work).await.map_err(GitError::io("remove locks"))
    }

    /// Removes what a crash left behind: unfinished pushes, locks. Only before anything is served.
    pub async fn sweep(&self) -> Result<(), GitError> {
        let (root, cache) = (self.settings.root.clone(), self.cache.root().to_owned());
        let work = move || sweep_root(&root).and_then(|()| sweep_root(&cache));
        let done = self.aside(work).await;
        done.map_err(GitError::io("clean up after the last run"))
    }

    /// Does work on files beside the asynchronous work.
    async fn aside(
        &self,
        work: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let done = self.settings.tasks.spawn_blocking(work).await;
        done.map_err(io::Error::other)?
    }
}

fn sweep_root(root: &Path) -> io::Result<()> {
    if !root.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".new-") || name.starts_with(".old-") {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_type()?.is_dir() && entry.path().join("objects").is_dir() {
            sweep_repository(&entry.path())?;
        }
    }
    Ok(())
}

fn sweep_repository(path: &Path) -> io::Result<()> {
    quarantine::sweep(path)?;
    sweep_locks(path)
}

fn sweep_locks(path: &Path) -> io::Result<()> {
    for lock in LOCKS {
        match fs::remove_file(path.join(lock)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    remove_locks(&path.join("refs"))
}

/// Removes `*.lock` below a folder of refs; no ref may end so.
fn remove_locks(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_locks(&entry.path())?;
        } else if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "lock")
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
