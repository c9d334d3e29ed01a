//! The object store of a repository, with the objects of a push that is not accepted yet.

use std::io;
use std::path::{Path, PathBuf};

use git2::{Odb, Oid, Repository};
use sarsen_domain::CommitId;

use super::Quarantine;
use crate::error::GitError;

/// Where objects are found; cheap to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The bare repository.
    pub(crate) repo: PathBuf,
    /// The folder of the objects of an unfinished push.
    pub(crate) quarantine: Option<PathBuf>,
}

impl Place {
    /// Checks that the quarantine belongs to the repository: its path comes over a socket.
    pub(crate) fn new(repo: &Path, quarantine: Option<&Quarantine>) -> Result<Self, GitError> {
        let whole = |path: &Path| {
            path.canonicalize()
                .map_err(GitError::io(format!("find {}", path.display())))
        };
        let repo = whole(repo)?;
        let Some(quarantine) = quarantine else {
            return Ok(Self {
                repo,
                quarantine: None,
            });
        };
        let objects = whole(&repo.join("objects"))?;
        let folder = whole(&repo.join(&quarantine.object_directory))?;
        let is_ours = folder.parent() == Some(objects.as_path())
            && folder
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("tmp_objdir-"));
        let mut alternates = quarantine.alternates.iter();
        if !is_ours
            || !alternates.all(|path| whole(&repo.join(path)).is_ok_and(|path| path == objects))
        {
            return Err(GitError::Refused(
                "the push's objects are not where the app's repository keeps them".to_owned(),
            ));
        }
        Ok(Self {
            repo,
            quarantine: Some(folder),
        })
    }
}

/// An open object store.
pub(crate) struct Store {
    place: Place,
    repository: Repository,
}

impl Store {
    pub(crate) fn open(repo: &Path, quarantine: Option<&Quarantine>) -> Result<Self, GitError> {
        Self::at(&Place::new(repo, quarantine)?)
    }

    /// Opens the objects alone: no configuration is read, so none can have an effect.
    pub(crate) fn at(place: &Place) -> Result<Self, GitError> {
        let odb = Odb::new()?;
        let folders = [Some(place.repo.join("objects")), place.quarantine.clone()];
        for folder in folders.into_iter().flatten() {
            let path = folder.to_str().ok_or_else(|| {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "its path is not UTF-8");
                GitError::io("read the repository")(error)
            })?;
            odb.add_disk_alternate(path)?;
        }
        Ok(Self {
            place: place.clone(),
            repository: Repository::from_odb(odb)?,
        })
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The commit that an id stands for, through annotated tags.
    pub(crate) fn peel(&self, id: &CommitId) -> Result<git2::Commit<'_>, GitError> {
        self.repository
            .find_object(to_oid(id)?, None)
            .and_then(|object| object.peel_to_commit())
            .map_err(|_| GitError::NoCommit(id.clone()))
    }

    /// The size of a blob, without reading it.
    pub(crate) fn size(&self, id: Oid) -> Result<u64, GitError> {
        let (size, _) = self.repository.odb()?.read_header(id)?;
        Ok(size as u64)
    }

    /// A blob of at most this size.
    pub(crate) fn blob(&self, id: Oid, limit: u64, what: &str) -> Result<Vec<u8>, GitError> {
        let size = self.size(id)?;
        if size > limit {
            return Err(GitError::Refused(format!(
                "{what} has {size} bytes; {limit} are the most that can be read"
            )));
        }
        Ok(self.repository.find_blob(id)?.content().to_vec())
    }
}

/// The id as libgit2 has it.
pub(crate) fn to_oid(id: &CommitId) -> Result<Oid, GitError> {
    Ok(Oid::from_str(id.as_str())?)
}
