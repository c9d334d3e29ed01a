//! A commit's files, read straight from the object store.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use sarsen_domain::CommitId;

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

/// A file that is not in the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraFile {
    /// Where it goes in the tar.
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

/// The files of one commit, or of a folder in it.
#[derive(Debug, Clone)]
pub struct SourceTree {
    commit: CommitId,
}

impl SourceTree {
    /// The source of a commit (or annotated tag) in a bare repository.
    pub fn open(
        _repo: &Path,
        _quarantine: Option<&Quarantine>,
        commit: &CommitId,
        _subdir: Option<&str>,
    ) -> Result<Self, GitError> {
        Ok(Self {
            commit: commit.clone(),
        })
    }

    /// With other limits than the usual ones.
    #[must_use]
    pub fn with_limits(self, _limits: TreeLimits) -> Self {
        self
    }

    /// The commit; never a tag.
    pub fn commit(&self) -> &CommitId {
        &self.commit
    }

    /// The id of the tree: the same for the same files.
    pub fn tree_id(&self) -> &str {
        ""
    }

    /// A file's content; links inside the source are followed. None if there is no such file.
    pub fn read(&self, _path: &str) -> Result<Option<Vec<u8>>, GitError> {
        Ok(None)
    }

    /// Whether there is a file or folder of that name.
    pub fn exists(&self, _path: &str) -> bool {
        false
    }

    /// The names in the top folder, sorted.
    pub fn list_root(&self) -> Result<Vec<String>, GitError> {
        Ok(Vec::new())
    }

    /// Looks over the whole source before it is used: refuses what a tar would refuse half-way through.
    pub fn survey(&self) -> Result<Survey, GitError> {
        Ok(Survey::default())
    }

    /// The source as a tar.
    pub fn tar(&self) -> TarStream {
        self.tar_with(TarOptions::default())
    }

    /// The source as a tar, with a prefix or more files.
    pub fn tar_with(&self, _options: TarOptions) -> TarStream {
        TarStream {}
    }
}

/// A tar in chunks; dropping it stops the work.
#[derive(Debug)]
pub struct TarStream {}

impl Stream for TarStream {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}
