//! The repositories of all apps, one bare one for each.

use std::path::{Path, PathBuf};

use sarsen_domain::{AppName, Branch, CommitId};
use time::OffsetDateTime;
use tokio_util::task::TaskTracker;

use crate::error::GitError;
use crate::submodules::SubmodulePolicy;
use crate::tree::{Quarantine, SourceTree};

/// Where repositories live and what they may take.
#[derive(Debug, Clone)]
pub struct RepoSettings {
    /// The folder that holds one bare repository per app.
    pub root: PathBuf,
    /// Our own executable: `pre-receive` is a link to it.
    pub hook_binary: PathBuf,
    /// The folder of that link; `root/../hooks` if none.
    pub hooks: Option<PathBuf>,
    /// The most that one push may send.
    pub max_pack_bytes: u64,
    /// What submodules may point to.
    pub submodules: SubmodulePolicy,
    /// Shutdown waits for these tasks.
    pub tasks: TaskTracker,
}

/// All repositories.
#[derive(Debug, Clone)]
pub struct Repos {
    settings: RepoSettings,
}

/// A commit, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The first line of its message.
    pub summary: String,
    /// `Name <mail>`
    pub author: String,
    /// When it was committed.
    pub time: OffsetDateTime,
}

impl Repos {
    /// Makes the folders and refreshes the hook's link. Call it before anything is served.
    pub fn new(settings: RepoSettings) -> Result<Self, GitError> {
        Ok(Self { settings })
    }

    /// Where the app's repository is, or would be.
    pub fn path(&self, app: &AppName) -> PathBuf {
        self.settings.root.join(app.as_str())
    }

    /// Whether the app has a repository.
    pub fn exists(&self, app: &AppName) -> bool {
        self.path(app).join("HEAD").is_file()
    }

    /// Makes the app's repository, or completes a half-made one.
    pub async fn init(&self, _app: &AppName) -> Result<(), GitError> {
        Ok(())
    }

    /// Deletes it; nothing happens if there is none.
    pub async fn remove(&self, _app: &AppName) -> Result<(), GitError> {
        Ok(())
    }

    /// Gives it another name.
    pub async fn rename(&self, _old: &AppName, _new: &AppName) -> Result<(), GitError> {
        Ok(())
    }

    /// Copies it for `apps:clone`.
    pub async fn copy(&self, _old: &AppName, _new: &AppName) -> Result<(), GitError> {
        Ok(())
    }

    /// The commit of a branch, or of a tag of that name.
    pub fn head(&self, _app: &AppName, _branch: &Branch) -> Result<Option<CommitId>, GitError> {
        Ok(None)
    }

    /// Moves a branch, and makes it the one that a clone checks out.
    pub async fn set_branch(
        &self,
        _app: &AppName,
        _branch: &Branch,
        _commit: &CommitId,
    ) -> Result<(), GitError> {
        Ok(())
    }

    /// Makes a branch the one that a clone checks out.
    pub async fn set_default_branch(
        &self,
        _app: &AppName,
        _branch: &Branch,
    ) -> Result<(), GitError> {
        Ok(())
    }

    /// What to show of a commit.
    pub fn commit_info(&self, _app: &AppName, commit: &CommitId) -> Result<CommitInfo, GitError> {
        Err(GitError::NoCommit(commit.clone()))
    }

    /// Tidies the repository.
    pub async fn gc(&self, _app: &AppName) -> Result<(), GitError> {
        Ok(())
    }

    /// Removes what a crash left behind: unfinished pushes, locks. Only before anything is served.
    pub async fn sweep(&self) -> Result<(), GitError> {
        Ok(())
    }

    /// The source of a commit of this app.
    pub fn source(
        &self,
        app: &AppName,
        quarantine: Option<&Quarantine>,
        commit: &CommitId,
        subdir: Option<&str>,
    ) -> Result<SourceTree, GitError> {
        SourceTree::open(Path::new(&self.path(app)), quarantine, commit, subdir)
    }
}
