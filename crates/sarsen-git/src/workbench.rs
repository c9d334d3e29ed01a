//! A source laid out as files, for plugins that look at it or change it, and taken up again as a source.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use git2::{IndexAddOption, Repository, Signature, Time};
use sarsen_domain::CommitId;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::error::GitError;
use crate::tree::{SourceTree, TarStream};

/// Seconds since 1970 of commits that nobody made.
const TIMELESS: i64 = 0;

/// A source laid out as files; they are gone when this is dropped, and with them the sources taken up from it.
#[derive(Debug)]
pub struct Workbench {
    place: TempDir,
}

impl Workbench {
    /// Lays the source out below this folder.
    pub async fn lay_out(source: &SourceTree, below: &Path) -> Result<Self, GitError> {
        fs::create_dir_all(below).map_err(GitError::io("make a folder for the source"))?;
        let place = tempfile::Builder::new()
            .prefix("source-")
            .tempdir_in(below)
            .map_err(GitError::io("make a folder for the source"))?;
        let files = place.path().join("files");
        let tar = Blocking {
            stream: source.tar(),
            chunk: Bytes::new(),
            runtime: Handle::current(),
        };
        let unpack = move || {
            fs::create_dir(&files)?;
            let mut archive = tar::Archive::new(tar);
            archive.set_preserve_permissions(true);
            archive.set_overwrite(true);
            archive.unpack(files)
        };
        aside(unpack)
            .await?
            .map_err(GitError::io("lay the source out"))?;
        Ok(Self { place })
    }

    /// Where the files lie.
    pub fn folder(&self) -> PathBuf {
        self.place.path().join("files")
    }

    /// The files as they are now, as a source.
    pub async fn take_up(&self) -> Result<SourceTree, GitError> {
        let (files, objects) = (self.folder(), self.place.path().join("objects.git"));
        aside(move || take_up(&files, &objects)).await?
    }
}

/// A tar for code that may wait.
struct Blocking {
    stream: TarStream,
    chunk: Bytes,
    runtime: Handle,
}

impl io::Read for Blocking {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(chunk) => self.chunk = chunk?,
                None => return Ok(0),
            }
        }
        self.chunk
            .as_ref()
            .read(into)
            .inspect(|count| self.chunk.advance(*count))
    }
}

fn take_up(files: &Path, objects: &Path) -> Result<SourceTree, GitError> {
    let repository = Repository::init_bare(objects)?;
    let mut config = repository.config()?;
    // Files are taken as they are, whatever this host's settings say.
    for (key, value) in [("core.autocrlf", "false"), ("core.filemode", "true")] {
        config.set_str(key, value)?;
    }
    repository.set_workdir(files, false)?;
    let mut index = repository.index()?;
    index.clear()?;
    index.add_all(["*"], IndexAddOption::FORCE, None)?;
    let tree = repository.find_tree(index.write_tree()?)?;
    let nobody = Signature::new("sarsen", "sarsen@localhost", &Time::new(TIMELESS, 0))?;
    let commit = repository.commit(None, &nobody, &nobody, "", &tree, &[])?;
    let commit = CommitId::parse(&commit.to_string())
        .map_err(|error| GitError::Refused(error.to_string()))?;
    SourceTree::open(objects, None, &commit, None)
}

async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, GitError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|panic| GitError::io("work on the source")(io::Error::other(panic)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[tokio::test]
    async fn what_was_changed_is_in_the_next_source() {
        let below = tempfile::tempdir().unwrap();
        let first = below.path().join("first");
        fs::create_dir_all(first.join("sub")).unwrap();
        fs::write(first.join(".gitignore"), "*.log\n").unwrap();
        fs::write(first.join("sub/a.log"), "1").unwrap();
        fs::write(first.join("run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(first.join("run"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("run", first.join("link")).unwrap();
        let source = take_up(&first, &below.path().join("first.git")).unwrap();
        let bench = Workbench::lay_out(&source, below.path()).await.unwrap();
        let folder = bench.folder();
        assert_eq!(fs::read_to_string(folder.join("sub/a.log")).unwrap(), "1");
        assert_eq!(
            fs::read_link(folder.join("link")).unwrap(),
            Path::new("run")
        );
        let mode = fs::metadata(folder.join("run"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111);
        fs::write(folder.join("new"), "2").unwrap();
        fs::remove_file(folder.join("sub/a.log")).unwrap();
        let changed = bench.take_up().await.unwrap();
        assert_eq!(changed.read("new").unwrap().unwrap(), b"2");
        assert!(!changed.exists("sub/a.log"));
        assert_ne!(changed.tree_id(), source.tree_id());
        drop(bench);
        assert!(!folder.exists());
    }
}
