//! Removing the objects of pushes that broke off: a git that is stopped by a signal leaves them behind.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How many pushes each repository is taking right now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pushes {
    counts: Arc<Mutex<HashMap<PathBuf, usize>>>,
}

/// One push to a repository. The last one to end cleans up: then no folder can be anybody's any more.
#[derive(Debug)]
pub(crate) struct Active {
    pushes: Pushes,
    repo: PathBuf,
}

impl Pushes {
    pub(crate) fn begin(&self, repo: &Path) -> Active {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(repo.to_owned()).or_default() += 1;
        drop(counts);
        Active {
            pushes: self.clone(),
            repo: repo.to_owned(),
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let mut counts = self
            .pushes
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let left = counts
            .get(&self.repo)
            .map_or(0, |count| count.saturating_sub(1));
        if left > 0 {
            counts.insert(self.repo.clone(), left);
            return;
        }
        counts.remove(&self.repo);
        // Under the lock: a push that begins now must not lose its folder.
        let swept = sweep(&self.repo);
        drop(counts);
        if let Err(error) = swept {
            tracing::warn!(repository = %self.repo.display(), %error, "unfinished pushes were not removed");
        }
    }
}

/// Removes the objects of all unfinished pushes.
pub(crate) fn sweep(repo: &Path) -> io::Result<()> {
    let objects = match fs::read_dir(repo.join("objects")) {
        // The app may have been deleted meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        objects => objects?,
    };
    for entry in objects {
        let entry = entry?;
        if entry
            .file_name()
            .to_string_lossy()
            .starts_with("tmp_objdir-")
        {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_push_cleans_up() {
        let repo = tempfile::tempdir().unwrap();
        let folder = repo.path().join("objects/tmp_objdir-incoming-x");
        fs::create_dir_all(folder.join("pack")).unwrap();
        fs::create_dir_all(repo.path().join("objects/ab")).unwrap();
        let pushes = Pushes::default();
        let (one, two) = (pushes.begin(repo.path()), pushes.begin(repo.path()));
        drop(one);
        assert!(folder.exists());
        drop(two);
        assert!(!folder.exists() && repo.path().join("objects/ab").exists());
        drop(pushes.begin(&repo.path().join("gone")));
        assert!(pushes.counts.lock().unwrap().is_empty());
    }
}
