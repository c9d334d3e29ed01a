//! Archives as commits: `git:from-archive` reads a tar or a zip straight into the object store, without unpacking it.

mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use git2::{ObjectType, Oid, Repository, Signature};
use sarsen_domain::archive::Caps;
use sarsen_domain::{AppName, Branch, CommitId, Invalid};

use crate::error::GitError;
use crate::repos::Repos;

/// The forms of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveType {
    /// `tar`, packed by gzip or not
    Tar,
    /// `tar.gz`
    TarGz,
    /// `zip`
    Zip,
}

impl ArchiveType {
    /// Its name, as `--archive-type` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::TarGz => "tar.gz",
            Self::Zip => "zip",
        }
    }
}

impl FromStr for ArchiveType {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "tar" => Ok(Self::Tar),
            "tar.gz" | "tgz" => Ok(Self::TarGz),
            "zip" => Ok(Self::Zip),
            other => Err(Invalid::new(format!(
                "Invalid archive type '{}': use tar, tar.gz or zip",
                other.escape_debug()
            ))),
        }
    }
}

/// An archive to be made a commit.
#[derive(Debug)]
pub struct Import {
    /// Its bytes, from the start of the file.
    pub archive: File,
    /// What it must be; found out when nobody says.
    pub kind: Option<ArchiveType>,
    /// How much may come out of it.
    pub caps: Caps,
    /// Who made it: name and mail address.
    pub author: (String, String),
    /// The commit's message.
    pub message: String,
    /// The branch that the commit continues, and that is left as it is.
    pub branch: Branch,
}

/// What became of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imported {
    /// A commit that no branch holds yet, and what the archive was.
    Commit(CommitId, ArchiveType),
    /// The branch holds the very same files.
    Unchanged(CommitId),
}

/// A file or link of the tree to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Leaf {
    blob: Oid,
    mode: i32,
}

const FILE: i32 = 0o100_644;
const PROGRAM: i32 = 0o100_755;
const LINK: i32 = 0o120_000;
const FOLDER: i32 = 0o040_000;

type Leaves = BTreeMap<PathBuf, Leaf>;

impl Repos {
    /// Reads an archive into the app's repository. Nothing refers to the commit yet: see [`Repos::set_branch`].
    pub async fn import(&self, app: &AppName, import: Import) -> Result<Imported, GitError> {
        let path = self.needed(app)?;
        let work = move || run(&path, import);
        let done = self.settings().tasks.spawn_blocking(work).await;
        done.map_err(|error| GitError::io("read the archive")(error.into()))?
    }
}

fn run(path: &Path, import: Import) -> Result<Imported, GitError> {
    let repository = Repository::open_bare(path)?;
    let (leaves, found) = read::leaves(&repository, import.archive, import.kind, import.caps)?;
    let leaves = hoisted(leaves);
    if leaves.is_empty() {
        return Err(GitError::Refused("the archive holds no files".to_owned()));
    }
    let tree = write_tree(&repository, &leaves, Path::new(""))?;
    let tree = repository.find_tree(tree)?;
    let name = format!("refs/heads/{}", import.branch);
    let parent = match repository.find_reference(&name) {
        Ok(reference) => Some(reference.peel_to_commit()?),
        Err(_) => None,
    };
    let id = |oid: Oid| {
        CommitId::parse(&oid.to_string()).map_err(|error| GitError::Refused(error.to_string()))
    };
    if let Some(parent) = parent
        .as_ref()
        .filter(|parent| parent.tree_id() == tree.id())
    {
        return Ok(Imported::Unchanged(id(parent.id())?));
    }
    let (name, mail) = &import.author;
    let author = Signature::now(name, mail)?;
    let parents: Vec<_> = parent.iter().collect();
    let commit = repository.commit(None, &author, &author, &import.message, &tree, &parents)?;
    let kind = import.kind.unwrap_or(found);
    Ok(Imported::Commit(id(commit)?, kind))
}

/// Takes away the one folder that code hosts put around everything.
fn hoisted(leaves: Leaves) -> Leaves {
    let top = |path: &PathBuf| {
        path.components()
            .next()
            .map(|part| part.as_os_str().to_owned())
    };
    let first = leaves.keys().next().and_then(top);
    let deep = |path: &PathBuf| top(path) == first && path.components().count() > 1;
    if first.is_none() || !leaves.keys().all(deep) {
        return leaves;
    }
    let strip = |path: PathBuf| path.components().skip(1).collect();
    leaves
        .into_iter()
        .map(|(path, leaf)| (strip(path), leaf))
        .collect()
}

/// Writes the tree of a folder, inner ones first.
fn write_tree(repository: &Repository, leaves: &Leaves, folder: &Path) -> Result<Oid, GitError> {
    let mut builder = repository.treebuilder(None)?;
    let mut folders: Vec<PathBuf> = Vec::new();
    let depth = folder.components().count();
    for (path, leaf) in leaves.range(folder.to_owned()..) {
        if !path.starts_with(folder) {
            break;
        }
        let mut rest = path.components().skip(depth);
        let (Some(Component::Normal(name)), more) = (rest.next(), rest.next()) else {
            continue;
        };
        if more.is_none() {
            builder.insert(name, leaf.blob, leaf.mode)?;
        } else if folders.last().is_none_or(|last| !path.starts_with(last)) {
            folders.push(folder.join(name));
        }
    }
    for folder in folders {
        let tree = write_tree(repository, leaves, &folder)?;
        let Some(name) = folder.file_name() else {
            continue;
        };
        builder.insert(name, tree, FOLDER)?;
    }
    Ok(builder.write()?)
}

/// Writes an object as it comes.
fn write_blob(
    repository: &Repository,
    size: u64,
    mut from: impl std::io::Read,
) -> Result<Oid, GitError> {
    let odb = repository.odb()?;
    let wanted = usize::try_from(size).unwrap_or(usize::MAX);
    let mut writer = odb.writer(wanted, ObjectType::Blob)?;
    let copied = std::io::copy(&mut from, &mut writer).map_err(GitError::io("read the archive"))?;
    if copied != size {
        return Err(GitError::Refused(
            "the archive ends in the middle of a file".to_owned(),
        ));
    }
    Ok(writer.finalize()?)
}
