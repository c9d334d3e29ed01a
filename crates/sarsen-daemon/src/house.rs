//! The folder of all state: who may look into it, who works in it, and whose it is.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folder, held by this process alone.
#[derive(Debug)]
pub struct House {
    root: PathBuf,
    /// Unlocked by the kernel when we end, however we end.
    _lock: File,
}

impl House {
    /// Makes the folder when it is not there, private to us, and takes its lock.
    pub fn enter(root: &Path) -> Result<Self> {
        make_private(root)
            .with_context(|| format!("cannot make the data folder {}", root.display()))?;
        let lock = lock(root)?;
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
        })
    }

    pub fn database(&self) -> PathBuf {
        self.root.join("sarsen.db")
    }

    pub fn seal_key(&self) -> PathBuf {
        self.root.join("seal.key")
    }

    /// What this installation calls itself on containers and images: made once, random.
    pub fn owner(&self) -> Result<String> {
        let path = self.root.join("owner");
        match fs::read_to_string(&path) {
            Ok(text) if is_owner(text.trim()) => Ok(text.trim().to_owned()),
            Ok(_) => bail!(
                "{} does not hold the name of this installation: restore it from a backup, or take the value of the \
                 label com.sarsen.owner from one of its containers",
                path.display()
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let owner = format!("sarsen-{:08x}", rand::random::<u32>());
                write_whole(&path, &owner)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                Ok(owner)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

fn is_owner(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn make_private(root: &Path) -> std::io::Result<()> {
    if let Some(parent) = root.parent() {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(root) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        made => return made,
    }
    let mode = fs::metadata(root)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(root, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

fn lock(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path);
    let mut file = open.with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The number is a courtesy.
            file.read_to_string(&mut holder).ok();
            bail!(
                "another daemon (process {}) works in {}",
                holder.trim(),
                root.display()
            );
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("cannot lock {}", path.display()));
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(file)
}

/// Beside it first, then renamed: a crash leaves no half a name behind.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_in_private() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a/b");
        let house = House::enter(&root).unwrap();
        assert_eq!(
            fs::metadata(&root).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let error = House::enter(&root).unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {}", std::process::id())),
            "{error}"
        );
        drop(house);
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        House::enter(&root).unwrap();
        assert_eq!(
            fs::metadata(&root).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }

    #[test]
    fn the_owner_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let house = House::enter(folder.path()).unwrap();
        let owner = house.owner().unwrap();
        assert!(owner.starts_with("sarsen-") && owner.len() == 15, "{owner}");
        assert_eq!(house.owner().unwrap(), owner);
        fs::write(folder.path().join("owner"), "").unwrap();
        assert!(
            house
                .owner()
                .unwrap_err()
                .to_string()
                .contains("restore it")
        );
    }
}
