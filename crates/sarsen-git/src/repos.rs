//! The repositories of all apps, one bare one for each.

mod refs;
mod tidy;

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{Repository, RepositoryInitOptions};
use sarsen_domain::{AppName, CommitId};
use tokio_util::task::TaskTracker;

pub use refs::CommitInfo;

use crate::child::Git;
use crate::error::GitError;
use crate::hooks;
use crate::quarantine::Pushes;
use crate::remote::{self, Credentials};
use crate::submodules::{Cache, SubmodulePolicy};
use crate::tree::{Quarantine, SourceTree};

/// Time limit of commands that only touch the local disk.
pub(crate) const SHORT: Duration = Duration::from_secs(60);
/// Time limit of commands that read all objects.
const LONG: Duration = Duration::from_secs(3600);

/// Where repositories live and what they may take.
#[derive(Debug, Clone)]
pub struct RepoSettings {
    /// The folder that holds one bare repository per app.
    pub root: PathBuf,
    /// What git needs beside them: an empty home, and repositories of submodules. Ours alone; `root/..` if none.
    pub work: Option<PathBuf>,
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
    hooks: PathBuf,
    home: PathBuf,
    cache: Cache,
    pushes: Pushes,
    credentials: Credentials,
}

impl Repos {
    /// Makes the folders and refreshes the hook's link. Call it before anything is served.
    pub fn new(settings: RepoSettings) -> Result<Self, GitError> {
        let root = std::path::absolute(&settings.root)
            .map_err(GitError::io("find the repositories' folder"))?;
        let parent = || root.parent().unwrap_or(&root).to_owned();
        let beside = settings.work.clone().unwrap_or_else(parent);
        let hooks = settings
            .hooks
            .clone()
            .unwrap_or_else(|| beside.join("hooks"));
        let repos = Self {
            settings: RepoSettings { root, ..settings },
            hooks,
            home: beside.join("git-home"),
            cache: Cache::new(beside.join("submodules")),
            pushes: Pushes::default(),
            credentials: Credentials::default(),
        };
        for folder in [&repos.settings.root, &repos.home] {
            private_dir(folder).map_err(GitError::io(format!("make {}", folder.display())))?;
        }
        remote::furnish(&repos.home).map_err(GitError::io("make the folder of keys"))?;
        hooks::refresh(&repos.hooks, &repos.settings.hook_binary)
            .map_err(GitError::io("link the pre-receive hook"))?;
        Ok(repos)
    }

    /// Where the app's repository is, or would be.
    pub fn path(&self, app: &AppName) -> PathBuf {
        self.settings.root.join(app.as_str())
    }

    /// Whether the app has a whole repository.
    pub fn exists(&self, app: &AppName) -> bool {
        is_whole(&self.path(app))
    }

    /// Makes the app's repository, or completes a half-made one.
    pub async fn init(&self, app: &AppName) -> Result<(), GitError> {
        let path = self.path(app);
        if is_whole(&path) {
            return Ok(());
        }
        if path.exists() {
            // Empty files, as a power cut leaves them, would be taken for settings.
            for file in ["HEAD", "config"] {
                remove_if_empty(&path.join(file))
                    .map_err(GitError::io("complete the repository"))?;
            }
            return self.init_at(&path).await;
        }
        let fresh = self.beside("new", app);
        self.init_at(&fresh).await?;
        self.put(&fresh, app)
    }

    /// A bare repository with nothing of the machine's templates in it. Without a process of git's: that alone would
    /// take longer than all the rest of `apps:create`.
    pub(crate) async fn init_at(&self, path: &Path) -> Result<(), GitError> {
        let path = path.to_owned();
        let work = move || {
            let mut options = RepositoryInitOptions::new();
            options
                .bare(true)
                .external_template(false)
                .initial_head("main");
            Repository::init_opts(&path, &options)?;
            // Ours are elsewhere, and nobody else's are run.
            match fs::remove_dir_all(path.join("hooks")) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(GitError::io("create the repository")(error))
                }
                _ => Ok(()),
            }
        };
        let done = self.settings.tasks.spawn_blocking(work).await;
        done.unwrap_or(Err(GitError::Gone))
    }

    /// Moves a finished repository to its place; somebody else's that got there first is as good.
    fn put(&self, fresh: &Path, app: &AppName) -> Result<(), GitError> {
        match fs::rename(fresh, self.path(app)) {
            Err(_) if self.exists(app) => {
                fs::remove_dir_all(fresh).map_err(GitError::io("remove the spare repository"))
            }
            moved => moved.map_err(GitError::io("put the repository in place")),
        }
    }

    /// Deletes it; nothing happens if there is none.
    pub async fn remove(&self, app: &AppName) -> Result<(), GitError> {
        let trash = self.beside("old", app);
        match fs::rename(self.path(app), &trash) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(GitError::io("remove the repository")(error)),
            Ok(()) => tokio::fs::remove_dir_all(&trash)
                .await
                .map_err(GitError::io("remove the repository")),
        }
    }

    /// Gives it another name.
    #[expect(
        clippy::unused_async,
        reason = "one of a family that callers await alike"
    )]
    pub async fn rename(&self, old: &AppName, new: &AppName) -> Result<(), GitError> {
        self.needed(old)?;
        if self.path(new).exists() {
            return Err(GitError::Taken(new.clone()));
        }
        fs::rename(self.path(old), self.path(new)).map_err(GitError::io("rename the repository"))
    }

    /// Copies it with all its refs, as `apps:clone` wants it.
    pub async fn copy(&self, old: &AppName, new: &AppName) -> Result<(), GitError> {
        let from = self.needed(old)?;
        self.adopt(&from, new).await
    }

    /// Copies a repository from somewhere on this machine, with all its refs and nothing of its settings and hooks.
    pub async fn adopt(&self, from: &Path, new: &AppName) -> Result<(), GitError> {
        if self.path(new).exists() {
            return Err(GitError::Taken(new.clone()));
        }
        let fresh = self.beside("new", new);
        self.init_at(&fresh).await?;
        self.git("copy the repository", "fetch")
            .in_repo(&fresh)
            .config("protocol.file.allow", "always")
            .arg("--quiet")
            .arg("--update-shallow")
            .arg("--no-write-fetch-head")
            .arg("--")
            .arg(from)
            .arg("+refs/*:refs/*")
            .run(LONG)
            .await?;
        fs::copy(from.join("HEAD"), fresh.join("HEAD"))
            .map_err(GitError::io("copy the repository"))?;
        self.put(&fresh, new)
    }

    /// The source of a commit of this app.
    pub fn source(
        &self,
        app: &AppName,
        quarantine: Option<&Quarantine>,
        commit: &CommitId,
        subdir: Option<&str>,
    ) -> Result<SourceTree, GitError> {
        let tree = SourceTree::open(&self.needed(app)?, quarantine, commit, subdir)?;
        Ok(tree.with_tasks(&self.settings.tasks))
    }

    pub(crate) fn settings(&self) -> &RepoSettings {
        &self.settings
    }

    pub(crate) fn hooks(&self) -> &Path {
        &self.hooks
    }

    pub(crate) fn pushes(&self) -> &Pushes {
        &self.pushes
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Git's home: our key and known hosts.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) fn git(&self, action: &str, subcommand: &str) -> Git {
        Git::new(&self.home, &self.settings.tasks, action, subcommand)
    }

    /// The path of a repository that must be there.
    pub(crate) fn needed(&self, app: &AppName) -> Result<PathBuf, GitError> {
        if self.exists(app) {
            Ok(self.path(app))
        } else {
            Err(GitError::NoRepository(app.clone()))
        }
    }

    /// A name that no app can have, in the same file system.
    fn beside(&self, what: &str, app: &AppName) -> PathBuf {
        static COUNT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!(".{what}-{app}-{}-{number}", std::process::id());
        self.settings.root.join(name)
    }
}

/// Whether git would take this folder for a repository.
pub fn is_whole(path: &Path) -> bool {
    let filled = |name: &str| fs::metadata(path.join(name)).is_ok_and(|file| file.len() > 0);
    filled("HEAD")
        && filled("config")
        && path.join("objects").is_dir()
        && path.join("refs").is_dir()
}

/// A folder that only we can look into.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

fn remove_if_empty(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|file| file.len() == 0) {
        fs::remove_file(path)?;
    }
    Ok(())
}
