//! The file that holds the sealing key: 32 bytes, readable by its owner only, made once.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::SealError;

const KEY_BYTES: usize = 32;
const OTHERS: u32 = 0o077;

/// The key, or nothing when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, SealError> {
    match open(path)? {
        Some(file) => {
            close_to_others(&file, path);
            content(file, path).map(Some)
        }
        None => Ok(None),
    }
}

/// As [`read`], for somebody who only looks: the file's mode stays as it is.
pub(crate) fn look(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, SealError> {
    open(path)?.map(|file| content(file, path)).transpose()
}

fn open(path: &Path) -> Result<Option<File>, SealError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(unusable(path, source)),
    }
}

fn content(file: File, path: &Path) -> Result<[u8; KEY_BYTES], SealError> {
    let mut content = Vec::with_capacity(KEY_BYTES + 1);
    file.take(KEY_BYTES as u64 + 1)
        .read_to_end(&mut content)
        .map_err(|source| unusable(path, source))?;
    content
        .try_into()
        .map_err(|_| SealError::KeyDamaged(path.to_owned()))
}

/// Makes a new key. When another process was faster, its key is the one returned.
pub(crate) fn create(path: &Path) -> Result<[u8; KEY_BYTES], SealError> {
    let draft = draft_path(path);
    let made = write_draft(&draft).and_then(|key| {
        // A link, unlike a rename, never replaces a key that is there already; and a crash leaves no half key.
        match fs::hard_link(&draft, path) {
            Ok(()) => sync_folder(path).map(|()| Some(key)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(error),
        }
    });
    // Best effort: a draft that stays behind is private and used by nobody.
    drop(fs::remove_file(&draft));
    match made {
        Ok(Some(key)) => Ok(key),
        Ok(None) => read(path)?.ok_or_else(|| SealError::KeyMissing(path.to_owned())),
        Err(source) => Err(unusable(path, source)),
    }
}

fn write_draft(draft: &Path) -> std::io::Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    OsRng
        .try_fill_bytes(&mut key)
        .map_err(std::io::Error::other)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    Ok(key)
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    match path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn draft_path(path: &Path) -> PathBuf {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{:016x}", rand::random::<u64>()));
    PathBuf::from(draft)
}

/// A restored backup often comes with a wide mode. A file system that has no modes is the operator's choice.
fn close_to_others(file: &File, path: &Path) {
    let wide = |file: &File| {
        file.metadata()
            .is_ok_and(|meta| meta.permissions().mode() & OTHERS != 0)
    };
    if wide(file) && file.set_permissions(Permissions::from_mode(0o600)).is_err() {
        tracing::warn!(file.path = %path.display(), "other users can read the key file");
    }
}

fn unusable(path: &Path, source: std::io::Error) -> SealError {
    SealError::KeyFile {
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_new_key_is_private_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(read(&path).unwrap().is_none());
        let key = create(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(
            create(&path).unwrap(),
            key,
            "a second maker gets the first one's key"
        );
        assert_eq!(read(&path).unwrap(), Some(key));
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn a_wide_mode_is_narrowed_and_damage_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, [1; 32]).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&path).unwrap(), Some([1; 32]));
        assert_eq!(mode(&path), 0o600);
        for length in [0, 31, 33] {
            fs::write(&path, vec![1; length]).unwrap();
            assert!(
                matches!(read(&path), Err(SealError::KeyDamaged(_))),
                "{length}"
            );
        }
        assert!(matches!(
            read(folder.path()),
            Err(SealError::KeyFile { .. })
        ));
        let nowhere = folder.path().join("no/such/key");
        let error = create(&nowhere).unwrap_err();
        assert!(error.to_string().contains("no/such/key"), "{error}");
    }
}
