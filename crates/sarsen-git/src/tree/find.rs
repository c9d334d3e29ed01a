//! Looking up single files of a source.

use std::collections::VecDeque;
use std::rc::Rc;

use git2::{ObjectType, Oid};

use super::store::Store;
use super::{Mount, SourceTree};
use crate::error::GitError;

/// Links followed on the way to one file.
const LINKS_MAX: usize = 16;
const TARGET_MAX: u64 = 4096;

/// What a path leads to.
enum Found {
    Folder(Rc<Store>, Oid),
    File(Rc<Store>, Oid),
}

/// What one name in a folder is.
enum Named {
    Folder(Oid),
    File(Oid),
    Link(Oid),
    Submodule,
    Nothing,
}

impl SourceTree {
    /// A file's content; links inside the source are followed. None if there is no such file.
    ///
    /// Reads the local disk: meant for small files such as a Procfile.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        match self.find(path)? {
            Some(Found::File(store, id)) => store.blob(id, self.limits.read, path).map(Some),
            Some(Found::Folder(..)) | None => Ok(None),
        }
    }

    /// Whether there is a file or folder of that name.
    pub fn exists(&self, path: &str) -> bool {
        matches!(self.find(path), Ok(Some(_)))
    }

    /// The names in the top folder, sorted.
    pub fn list_root(&self) -> Result<Vec<String>, GitError> {
        let Some(Found::Folder(store, id)) = self.find("")? else {
            return Ok(Vec::new());
        };
        let tree = store.repository().find_tree(id)?;
        let mut names: Vec<_> = tree
            .iter()
            .map(|entry| String::from_utf8_lossy(entry.name_bytes()).into_owned())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Narrows the source to one of its folders.
    pub(super) fn go_into(&mut self, subdir: &str) -> Result<(), GitError> {
        let missing = || GitError::NoDirectory(subdir.escape_debug().to_string());
        let names: Vec<_> = subdir
            .split('/')
            .filter(|name| !matches!(*name, "" | "."))
            .collect();
        let store = Store::at(&self.place)?;
        let mut tree = store.peel(&self.commit)?.tree()?;
        for name in &names {
            let Named::Folder(next) = named(&store, tree.id(), name)? else {
                return Err(missing());
            };
            tree = store.repository().find_tree(next)?;
        }
        self.tree_id = tree.id().to_string();
        self.subdir = (!names.is_empty()).then(|| names.join("/"));
        Ok(())
    }

    /// Walks along a path. What leads out of the source leads nowhere.
    fn find(&self, path: &str) -> Result<Option<Found>, GitError> {
        let root = (
            Rc::new(Store::at(&self.place)?),
            Oid::from_str(&self.tree_id)?,
        );
        let mut trail = Trail {
            folders: vec![root],
            names: Vec::new(),
            ahead: path.split('/').map(str::to_owned).collect(),
            links: 0,
        };
        while let Some(name) = trail.ahead.pop_front() {
            match name.as_str() {
                "" | "." => {}
                ".." => trail.up(),
                _ => {
                    if let Some(end) = self.step(&mut trail, name)? {
                        return Ok(end);
                    }
                }
            }
        }
        Ok(trail
            .folders
            .pop()
            .map(|(store, id)| Found::Folder(store, id)))
    }

    /// Takes one step; something is returned when the way ends here, in a file or nowhere.
    fn step(&self, trail: &mut Trail, name: String) -> Result<Option<Option<Found>>, GitError> {
        let Some((store, folder)) = trail.folders.last().cloned() else {
            return Ok(Some(None));
        };
        match named(&store, folder, &name)? {
            Named::Nothing => Ok(Some(None)),
            Named::File(id) => {
                let last = trail.ahead.is_empty();
                Ok(Some(last.then_some(Found::File(store, id))))
            }
            Named::Folder(id) => {
                trail.down(name, (store, id));
                Ok(None)
            }
            Named::Submodule => {
                let path = format!("{}{}", self.hidden(), trail.path_to(&name));
                let Some(mount) = self.mounts.get(path.as_bytes()) else {
                    return Ok(Some(None));
                };
                trail.down(name, open_mount(mount)?);
                Ok(None)
            }
            Named::Link(id) => {
                let target = store.blob(id, TARGET_MAX, &name)?;
                let target = String::from_utf8_lossy(&target);
                Ok((!trail.follow(&target)).then_some(None))
            }
        }
    }
}

type Folder = (Rc<Store>, Oid);

/// How far a look-up has come.
struct Trail {
    /// The root, and the folders gone into.
    folders: Vec<Folder>,
    /// Their names, without the root's.
    names: Vec<String>,
    ahead: VecDeque<String>,
    links: usize,
}

impl Trail {
    fn up(&mut self) {
        self.folders.pop();
        self.names.pop();
    }

    fn down(&mut self, name: String, folder: Folder) {
        self.names.push(name);
        self.folders.push(folder);
    }

    fn path_to(&self, name: &str) -> String {
        let names = self.names.iter().map(String::as_str);
        names.chain([name]).collect::<Vec<_>>().join("/")
    }

    /// Goes on along a link's target; false if it leads out, or round in circles.
    fn follow(&mut self, target: &str) -> bool {
        self.links += 1;
        if self.links > LINKS_MAX || target.starts_with('/') {
            return false;
        }
        for part in target.split('/').rev() {
            self.ahead.push_front(part.to_owned());
        }
        true
    }
}

fn open_mount(mount: &Mount) -> Result<Folder, GitError> {
    let store = Rc::new(Store::at(&mount.place)?);
    let tree = store.repository().find_commit(mount.commit)?.tree_id();
    Ok((store, tree))
}

fn named(store: &Store, folder: Oid, name: &str) -> Result<Named, GitError> {
    let tree = store.repository().find_tree(folder)?;
    let Some(entry) = tree.get_name(name) else {
        return Ok(Named::Nothing);
    };
    Ok(match entry.kind() {
        Some(ObjectType::Tree) => Named::Folder(entry.id()),
        Some(ObjectType::Commit) => Named::Submodule,
        _ if entry.filemode_raw() & 0o170_000 == 0o120_000 => Named::Link(entry.id()),
        _ => Named::File(entry.id()),
    })
}
