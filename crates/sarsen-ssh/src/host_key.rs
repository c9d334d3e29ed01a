//! The server's own key: made at the first start, private to its owner, the same ever after.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use russh::keys::key::safe_rng;
use russh::keys::ssh_key::{Algorithm, LineEnding, PrivateKey};
use thiserror::Error;

/// Why the server has no key.
#[derive(Debug, Error)]
pub enum HostKeyError {
    #[error("Cannot read or write the ssh host key {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error(
        "The ssh host key {path} is not an OpenSSH private key without passphrase ({reason}). Put the right file back, or move it away to get a new key"
    )]
    Malformed { path: PathBuf, reason: String },
}

/// Reads the key, or makes one when there is none yet.
pub(crate) fn load_or_create(path: &Path) -> Result<PrivateKey, HostKeyError> {
    let failed = |source| HostKeyError::File {
        path: path.to_owned(),
        source,
    };
    match fs::read_to_string(path) {
        Ok(text) => {
            // A copy or a backup may have left it open to others.
            fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(failed)?;
            parse(path, &text)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => create(path),
        Err(error) => Err(failed(error)),
    }
}

fn parse(path: &Path, text: &str) -> Result<PrivateKey, HostKeyError> {
    let malformed = |reason: String| HostKeyError::Malformed {
        path: path.to_owned(),
        reason,
    };
    let key = PrivateKey::from_openssh(text).map_err(|error| malformed(error.to_string()))?;
    if key.is_encrypted() {
        return Err(malformed("it has a passphrase".to_owned()));
    }
    Ok(key)
}

fn create(path: &Path) -> Result<PrivateKey, HostKeyError> {
    let malformed = |error: russh::keys::ssh_key::Error| HostKeyError::Malformed {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).map_err(malformed)?;
    let text = key.to_openssh(LineEnding::LF).map_err(malformed)?;
    write_whole(path, text.as_bytes()).map_err(|source| HostKeyError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(key)
}

/// Beside it first, then renamed: a crash leaves no half a key behind.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/host_ed25519");
        let first = load_or_create(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let second = load_or_create(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(first.public_key(), second.public_key());
    }

    #[test]
    fn a_broken_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("host");
        fs::write(&path, "not a key").unwrap();
        let error = load_or_create(&path).unwrap_err();
        assert!(error.to_string().contains("move it away"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a key");
    }
}
