//! Writing views: what differs is replaced as a whole, what is wanted no longer is removed, and no link is followed.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown,
};
use std::path::{Path, PathBuf};

/// What the host's own files are listed under.
pub(super) const GLOBAL: &str = "--global";

/// Where views go.
pub(super) struct Files {
    pub(super) root: PathBuf,
    pub(super) lib: PathBuf,
    /// A list for each app of what was written for it: only that is ever removed.
    pub(super) lists: PathBuf,
    /// User and group of what is written.
    pub(super) owner: Option<(u32, u32)>,
}

/// One of Dokku's two folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Folder {
    /// `DOKKU_ROOT`
    Root,
    /// `DOKKU_LIB_ROOT`
    Lib,
}

/// A folder and the path below it.
pub(super) type Place = (Folder, String);

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Public,
    Private,
}

/// A file as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) place: Place,
    pub(super) bytes: Vec<u8>,
    pub(super) mode: Mode,
}

impl Files {
    /// Makes the folders under `DOKKU_LIB_ROOT` that scripts take for granted, and `DOKKU_ROOT`.
    pub(super) fn make_folders(&self, folders: &[&str]) -> io::Result<()> {
        for base in [&self.root, &self.lib] {
            if let Some(parent) = base.parent() {
                fs::create_dir_all(parent)?;
            }
            self.folder(base)?;
        }
        let make = |path: &&str| self.folders(&self.lib, Path::new(path));
        folders.iter().try_for_each(make)
    }

    /// Makes these the files of `name`; those that were written come back.
    pub(super) fn apply(&self, name: &str, wanted: &[Wanted]) -> io::Result<Vec<Place>> {
        let before = self.list(name)?;
        let wanted: Vec<_> = wanted.iter().filter(|file| self.has_room(file)).collect();
        let after: BTreeSet<Place> = wanted.iter().map(|file| file.place.clone()).collect();
        if !after.is_subset(&before) {
            // First the list: a crash in between leaves no file that nobody knows.
            self.write_list(name, &before.union(&after).cloned().collect())?;
        }
        let mut written = Vec::new();
        for file in wanted {
            if self.write(file)? {
                written.push(file.place.clone());
            }
        }
        for place in before.difference(&after) {
            self.remove(place)?;
        }
        if before != after {
            self.write_list(name, &after)?;
        }
        if name != GLOBAL {
            self.hand_over(&self.root.join(name))?;
        }
        Ok(written)
    }

    /// Who has a list.
    pub(super) fn listed(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.lists).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name != GLOBAL).collect()
    }

    /// The folder of an app is its repository, which others make.
    fn has_room(&self, file: &Wanted) -> bool {
        let (folder, path) = &file.place;
        match (folder, path.split_once('/')) {
            (Folder::Root, Some((app, _))) => self.root.join(app).is_dir(),
            (Folder::Root, None) | (Folder::Lib, _) => true,
        }
    }

    /// True when the file was another one before.
    fn write(&self, file: &Wanted) -> io::Result<bool> {
        let (folder, path) = &file.place;
        let (base, path) = (self.base(*folder), Path::new(path));
        let mode = match file.mode {
            Mode::Public => 0o644,
            Mode::Private => 0o600,
        };
        let target = base.join(path);
        if let Some(parent) = path.parent() {
            self.folders(base, parent)?;
        }
        if let Ok(found) = fs::symlink_metadata(&target)
            && found.is_file()
            && found.permissions().mode() & 0o7777 == mode
            && fs::read(&target).is_ok_and(|bytes| bytes == file.bytes)
        {
            return Ok(false);
        }
        let fresh = beside(&target)?;
        let mut out = create(&fresh, mode)?;
        out.write_all(&file.bytes)?;
        if let Some((user, group)) = self.owner {
            fchown(&out, Some(user), Some(group))?;
        }
        fs::rename(&fresh, &target)?;
        Ok(true)
    }

    /// Removes a file, and the folders that are empty without it.
    fn remove(&self, (folder, path): &Place) -> io::Result<()> {
        let base = self.base(*folder);
        let path = Path::new(path);
        if !is_real(base, path.parent().unwrap_or(Path::new(""))) {
            return Ok(());
        }
        match fs::remove_file(base.join(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // `config/PLUGIN/APP`, `APP/tls`: what a plugin keeps beside ours stays, and so does the folder then.
        if let Some(parent) = path.parent()
            && (*folder == Folder::Lib || parent.ends_with("tls"))
        {
            fs::remove_dir(base.join(parent)).ok();
        }
        Ok(())
    }

    fn base(&self, folder: Folder) -> &Path {
        match folder {
            Folder::Root => &self.root,
            Folder::Lib => &self.lib,
        }
    }

    /// Makes folders one by one, and refuses a link in their place.
    fn folders(&self, base: &Path, path: &Path) -> io::Result<()> {
        let mut folder = base.to_owned();
        for part in path {
            folder.push(part);
            self.folder(&folder)?;
            if !fs::symlink_metadata(&folder)?.is_dir() {
                let text = format!("{} is not a folder", folder.display());
                return Err(io::Error::new(ErrorKind::NotADirectory, text));
            }
        }
        Ok(())
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o755).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
            Ok(()) => match self.owner {
                Some((user, group)) => chown(path, Some(user), Some(group)),
                None => Ok(()),
            },
        }
    }

    /// Lets the `dokku` user into an app's folder, where plugins keep files of their own.
    fn hand_over(&self, folder: &Path) -> io::Result<()> {
        let Some((user, group)) = self.owner else {
            return Ok(());
        };
        let Ok(found) = fs::symlink_metadata(folder) else {
            return Ok(());
        };
        if found.is_dir() && (found.uid(), found.gid()) != (user, group) {
            chown(folder, Some(user), Some(group))?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    fn list(&self, name: &str) -> io::Result<BTreeSet<Place>> {
        let text = match fs::read_to_string(self.lists.join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            read => read?,
        };
        Ok(text.lines().filter_map(place).collect())
    }

    fn write_list(&self, name: &str, places: &BTreeSet<Place>) -> io::Result<()> {
        let path = self.lists.join(name);
        if places.is_empty() {
            return match fs::remove_file(path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            };
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.lists)?;
        let line = |(folder, path): &Place| match folder {
            Folder::Root => format!("root {path}\n"),
            Folder::Lib => format!("lib {path}\n"),
        };
        let fresh = self.lists.join(format!(".{name}.new"));
        fs::write(&fresh, places.iter().map(line).collect::<String>())?;
        fs::rename(fresh, path)
    }
}

fn place(line: &str) -> Option<Place> {
    let (folder, path) = line.split_once(' ')?;
    let folder = match folder {
        "root" => Folder::Root,
        "lib" => Folder::Lib,
        _ => return None,
    };
    Some((folder, path.to_owned()))
}

/// Whether every part of the path is a folder and no link.
fn is_real(base: &Path, path: &Path) -> bool {
    let mut folder = base.to_owned();
    path.iter().all(|part| {
        folder.push(part);
        fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir())
    })
}

/// A name in the same folder that nobody else uses.
fn beside(target: &Path) -> io::Result<PathBuf> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let fresh = target.with_file_name(format!(".{name}.new"));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(fresh),
    }
}

fn create(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    // The mode given above is subject to the process's mask.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}
