//! Going through a source in git's order, with everything checked that a hostile tree could hold.

use std::collections::{BTreeMap, HashSet};

use git2::{ObjectType, Oid, Tree, TreeEntry};
use sarsen_domain::CommitId;

use super::attributes::{Attributes, PathKind};
use super::store::{Place, Store, to_oid};
use super::{SourceTree, Survey};
use crate::error::GitError;

const DEPTH_MAX: usize = 200;
const PATH_MAX: usize = 4096;
const ATTRIBUTES_MAX: u64 = 1024 * 1024;

/// A submodule's commit, and where its objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) place: Place,
    pub(crate) commit: Oid,
}

impl Mount {
    pub(crate) fn new(place: Place, commit: &CommitId) -> Result<Self, GitError> {
        Ok(Self {
            place,
            commit: to_oid(commit)?,
        })
    }
}

/// Submodules by their path in the outermost repository.
pub(crate) type Mounts = BTreeMap<Vec<u8>, Mount>;

/// One thing on the way. Folders come before what they hold, and only if they hold more than folders.
pub(crate) enum Entry<'a> {
    Folder,
    File {
        id: Oid,
        size: u64,
        executable: bool,
    },
    Link {
        target: &'a [u8],
    },
    /// A submodule that was not filled in.
    Submodule {
        id: Oid,
    },
}

/// Receives what is found, by its path in the source.
pub(crate) trait Visit {
    fn visit(&mut self, store: &Store, path: &[u8], entry: Entry<'_>) -> Result<(), GitError>;
}

/// A repository on the way: the outermost one, or a submodule.
struct Layer<'a> {
    store: &'a Store,
    attributes: Attributes,
    /// How much of the path lies outside this repository.
    base: usize,
}

struct Walk<'a> {
    source: &'a SourceTree,
    visitor: &'a mut dyn Visit,
    /// The path from the root of the outermost repository.
    path: Vec<u8>,
    /// How much of the path is not shown: the folder that is built from.
    hidden: usize,
    depth: usize,
    /// Folders (as lengths of the path) in which no file was found so far.
    pending: Vec<usize>,
    survey: Survey,
}

/// Goes through the whole source.
pub(crate) fn walk(source: &SourceTree, visitor: &mut dyn Visit) -> Result<Survey, GitError> {
    let store = Store::at(&source.place)?;
    let mut tree = store
        .repository()
        .find_commit(to_oid(&source.commit)?)?
        .tree()?;
    let mut layer = Layer {
        store: &store,
        attributes: Attributes::default(),
        base: 0,
    };
    let mut path = Vec::new();
    for name in source.subdir.iter().flat_map(|subdir| subdir.split('/')) {
        layer
            .attributes
            .enter(&path, attribute_file(&store, &tree)?.as_deref());
        let next = tree.get_name(name).map(|entry| entry.id());
        let next = next.ok_or_else(|| GitError::NoDirectory(name.to_owned()))?;
        tree = store.repository().find_tree(next)?;
        path.extend_from_slice(name.as_bytes());
        path.push(b'/');
    }
    let mut walk = Walk {
        source,
        visitor,
        hidden: path.len(),
        path,
        depth: 0,
        pending: Vec::new(),
        survey: Survey::default(),
    };
    walk.tree(&mut layer, &tree)?;
    Ok(walk.survey)
}

impl Walk<'_> {
    /// Goes through a folder; the path ends with its slash.
    fn tree(&mut self, layer: &mut Layer<'_>, tree: &Tree<'_>) -> Result<(), GitError> {
        if self.depth >= DEPTH_MAX || self.path.len() > PATH_MAX {
            return Err(self.refused("is nested too deeply"));
        }
        self.depth += 1;
        let content = attribute_file(layer.store, tree)?;
        let folder = self.path.get(layer.base..).unwrap_or_default();
        layer.attributes.enter(folder, content.as_deref());
        let mut names = HashSet::with_capacity(tree.len());
        for entry in tree {
            let name = entry.name_bytes();
            let length = self.path.len();
            self.path.extend_from_slice(name);
            if !is_honest(name) || !names.insert(name.to_vec()) {
                return Err(self.refused("has a name that no file may have"));
            }
            self.entry(layer, &entry)?;
            self.path.truncate(length);
        }
        layer.attributes.leave();
        self.depth -= 1;
        Ok(())
    }

    fn entry(&mut self, layer: &mut Layer<'_>, entry: &TreeEntry<'_>) -> Result<(), GitError> {
        let kind = match entry.kind() {
            Some(ObjectType::Tree | ObjectType::Commit) => PathKind::Folder,
            _ => PathKind::File,
        };
        if entry.kind() != Some(ObjectType::Tree) {
            // Even before a file that is kept out: git's archives have such empty folders.
            self.flush(layer.store)?;
        }
        let inside = self.path.get(layer.base..).unwrap_or_default();
        if layer.attributes.ignores(inside, kind) {
            return Ok(());
        }
        self.survey.entries += 1;
        if self.survey.entries > self.source.limits.entries {
            return Err(GitError::Refused(format!(
                "it has more than {} files and folders",
                self.source.limits.entries
            )));
        }
        match entry.kind() {
            Some(ObjectType::Tree) => {
                let tree = layer.store.repository().find_tree(entry.id())?;
                self.folder(layer, &tree)
            }
            Some(ObjectType::Commit) => self.submodule(layer, entry.id()),
            _ if entry.filemode_raw() & 0o170_000 == 0o120_000 => self.link(layer, entry.id()),
            _ => self.file(layer, entry),
        }
    }

    fn folder(&mut self, layer: &mut Layer<'_>, tree: &Tree<'_>) -> Result<(), GitError> {
        self.pending.push(self.path.len());
        self.path.push(b'/');
        self.tree(layer, tree)?;
        self.path.pop();
        if self.pending.last() == Some(&self.path.len()) {
            self.pending.pop();
        }
        Ok(())
    }

    fn submodule(&mut self, layer: &Layer<'_>, id: Oid) -> Result<(), GitError> {
        let Some(mount) = self.source.mounts.get(&self.path) else {
            return self.emit(layer.store, Entry::Submodule { id });
        };
        self.emit(layer.store, Entry::Folder)?;
        let store = Store::at(&mount.place)?;
        let tree = store.repository().find_commit(mount.commit)?.tree()?;
        self.path.push(b'/');
        let mut layer = Layer {
            store: &store,
            attributes: Attributes::default(),
            base: self.path.len(),
        };
        self.tree(&mut layer, &tree)?;
        self.path.pop();
        Ok(())
    }

    fn link(&mut self, layer: &Layer<'_>, id: Oid) -> Result<(), GitError> {
        let target = layer.store.blob(id, PATH_MAX as u64, &self.shown())?;
        if target.is_empty() || target.contains(&0) {
            return Err(self.refused("is a link to nowhere"));
        }
        let folders = self.visible().iter().filter(|&&byte| byte == b'/').count();
        if climbs_out(&target, folders) {
            self.survey.left_out.push(self.shown());
            return Ok(());
        }
        self.emit(layer.store, Entry::Link { target: &target })
    }

    fn file(&mut self, layer: &Layer<'_>, entry: &TreeEntry<'_>) -> Result<(), GitError> {
        let size = layer.store.size(entry.id())?;
        self.survey.bytes = self.survey.bytes.saturating_add(size);
        if self.survey.bytes > self.source.limits.bytes {
            return Err(GitError::Refused(format!(
                "it has more than {} bytes",
                self.source.limits.bytes
            )));
        }
        let file = Entry::File {
            id: entry.id(),
            size,
            executable: entry.filemode_raw() & 0o100 != 0,
        };
        self.emit(layer.store, file)
    }

    /// Hands over the folders on the way here.
    fn flush(&mut self, store: &Store) -> Result<(), GitError> {
        for length in self.pending.drain(..) {
            let folder = self.path.get(self.hidden..length).unwrap_or_default();
            self.visitor.visit(store, folder, Entry::Folder)?;
        }
        Ok(())
    }

    /// Hands over an entry.
    fn emit(&mut self, store: &Store, entry: Entry<'_>) -> Result<(), GitError> {
        let path = self.path.get(self.hidden..).unwrap_or_default();
        self.visitor.visit(store, path, entry)
    }

    fn visible(&self) -> &[u8] {
        self.path.get(self.hidden..).unwrap_or_default()
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(self.visible())
            .escape_debug()
            .to_string()
    }

    fn refused(&self, what: &str) -> GitError {
        GitError::Refused(format!("'{}' {what}", self.shown()))
    }
}

/// The content of the tree's `.gitattributes`, unless it is a link or absurd.
fn attribute_file(store: &Store, tree: &Tree<'_>) -> Result<Option<Vec<u8>>, GitError> {
    match tree.get_name(".gitattributes") {
        Some(entry) if entry.filemode_raw() & 0o170_000 == 0o100_000 => store
            .blob(entry.id(), ATTRIBUTES_MAX, ".gitattributes")
            .map(Some),
        _ => Ok(None),
    }
}

/// Git's own check refuses such names in a push; what comes from elsewhere may not have been checked.
fn is_honest(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && !name.eq_ignore_ascii_case(b".git")
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Whether a relative link in a folder this deep points out of the source.
///
/// Absolute ones stay: they mean something inside the container.
fn climbs_out(target: &[u8], folders: usize) -> bool {
    if target.starts_with(b"/") {
        return false;
    }
    let mut depth = folders;
    for name in target.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_source() {
        for (target, folders, out) in [
            ("x", 0, false),
            ("../x", 0, true),
            ("../x", 1, false),
            ("a/../../x", 0, true),
            ("a/../b/./../x", 0, false),
            ("..", 0, true),
            ("../..", 1, true),
            ("/etc/passwd", 0, false),
        ] {
            assert_eq!(
                climbs_out(target.as_bytes(), folders),
                out,
                "{target} {folders}"
            );
        }
    }

    #[test]
    fn dishonest_names() {
        for name in ["", ".", "..", ".git", ".GIT", "a/b", "a\0"] {
            assert!(!is_honest(name.as_bytes()), "{name:?}");
        }
        assert!(is_honest(b".gitignore") && is_honest("ä b".as_bytes()) && is_honest(b"..."));
    }
}
