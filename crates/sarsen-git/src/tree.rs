//! A commit's files, read straight from the object store.

mod attributes;
mod find;
mod store;
mod tar;
mod walk;
mod wildmatch;

use std::path::{Path, PathBuf};

use sarsen_domain::CommitId;
use tokio_util::task::TaskTracker;

pub(crate) use self::store::{Place, Store, to_oid};
pub use self::tar::TarStream;
pub(crate) use self::walk::{Entry, Mount, Mounts, Visit, walk};
use crate::error::GitError;

/// Where git keeps the objects of a push that is not accepted yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    /// The hook's `GIT_OBJECT_DIRECTORY`.
    pub object_directory: PathBuf,
    /// The hook's `GIT_ALTERNATE_OBJECT_DIRECTORIES`, split at colons.
    pub alternates: Vec<PathBuf>,
}

/// How much source is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeLimits {
    /// Files and folders.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of what [`SourceTree::read`] reads.
    pub read: u64,
}

impl Default for TreeLimits {
    fn default() -> Self {
        Self {
            entries: 500_000,
            bytes: 8 * 1024 * 1024 * 1024,
            read: 4 * 1024 * 1024,
        }
    }
}

/// A file that is not in the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraFile {
    /// Where it goes in the tar, before the prefix.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
    /// `0o644` or `0o755`.
    pub mode: u32,
}

/// How a tar is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TarOptions {
    /// A folder to put everything in: `app`.
    pub prefix: Option<String>,
    /// Files to add at the end; one with the path of a file of the commit takes its place.
    pub extra: Vec<ExtraFile>,
}

/// What is in a source, found without reading file contents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// How many files and folders.
    pub entries: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Links that point out of the source and therefore are left out.
    pub left_out: Vec<String>,
}

/// The files of one commit, or of a folder in it, without what `export-ignore` keeps out.
#[derive(Debug, Clone)]
pub struct SourceTree {
    place: Place,
    commit: CommitId,
    tree_id: String,
    subdir: Option<String>,
    /// Seconds since 1970.
    time: i64,
    mounts: Mounts,
    limits: TreeLimits,
    tasks: TaskTracker,
}

impl SourceTree {
    /// The source of a commit (or annotated tag) in a bare repository.
    pub fn open(
        repo: &Path,
        quarantine: Option<&Quarantine>,
        commit: &CommitId,
        subdir: Option<&str>,
    ) -> Result<Self, GitError> {
        let place = Place::new(repo, quarantine)?;
        let store = Store::at(&place)?;
        let found = store.peel(commit)?;
        let (time, root) = (found.time().seconds(), found.tree_id());
        let commit = CommitId::parse(&found.id().to_string())
            .map_err(|_| GitError::NoCommit(commit.clone()))?;
        let mut source = Self {
            place,
            commit,
            tree_id: root.to_string(),
            subdir: None,
            time,
            mounts: Mounts::new(),
            limits: TreeLimits::default(),
            tasks: TaskTracker::new(),
        };
        if let Some(subdir) = subdir {
            source.go_into(subdir)?;
        }
        Ok(source)
    }

    /// With other limits than the usual ones.
    #[must_use]
    pub fn with_limits(self, limits: TreeLimits) -> Self {
        Self { limits, ..self }
    }

    /// The work of making tars is counted here, so that a shutdown can wait for it.
    #[must_use]
    pub fn with_tasks(self, tasks: &TaskTracker) -> Self {
        Self {
            tasks: tasks.clone(),
            ..self
        }
    }

    /// The commit; never a tag.
    pub fn commit(&self) -> &CommitId {
        &self.commit
    }

    /// The id of the tree: the same for the same files.
    pub fn tree_id(&self) -> &str {
        &self.tree_id
    }

    /// Looks over the whole source before it is used: refuses what a tar would refuse half-way through.
    ///
    /// Reads the local disk; some milliseconds for a usual repository.
    pub fn survey(&self) -> Result<Survey, GitError> {
        walk(self, &mut Nothing)
    }

    /// The source as a tar.
    pub fn tar(&self) -> TarStream {
        self.tar_with(TarOptions::default())
    }

    /// The source as a tar, with a prefix or more files.
    pub fn tar_with(&self, options: TarOptions) -> TarStream {
        TarStream::start(self.clone(), options)
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(crate) fn mount(&mut self, path: Vec<u8>, mount: Mount) {
        self.mounts.insert(path, mount);
    }

    /// The hidden part of the paths that a walk shows.
    pub(crate) fn hidden(&self) -> String {
        self.subdir
            .as_ref()
            .map(|subdir| format!("{subdir}/"))
            .unwrap_or_default()
    }
}

/// A visitor that only counts.
struct Nothing;

impl Visit for Nothing {
    fn visit(&mut self, _: &Store, _: &[u8], _: Entry<'_>) -> Result<(), GitError> {
        Ok(())
    }
}
