//! Where backups are kept: a folder of this host, or a bucket of an S3 storage.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::S3Storage;
use crate::AddonError;

const BUCKET_MIN: usize = 3;
const BUCKET_MAX: usize = 63;
const PREFIX_MAX: usize = 512;

/// Where a backup goes, as people say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// `/mnt/backups`
    Folder(PathBuf),
    /// `my-bucket`, `my-bucket/some/prefix`
    Bucket { name: String, prefix: String },
}

/// A destination that can be reached.
pub enum Place {
    Folder(PathBuf),
    Bucket {
        storage: Box<S3Storage>,
        prefix: String,
    },
}

impl Destination {
    /// Reads what people say; the sentence says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            let climbs = text.split('/').any(|part| part == "..");
            if climbs || text.chars().any(char::is_control) {
                return Err(format!("'{}' is no folder to use", text.escape_debug()));
            }
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        let (name, prefix) = text.split_once('/').unwrap_or((text, ""));
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        let right = (BUCKET_MIN..=BUCKET_MAX).contains(&name.len());
        let ends = |c: char| c.is_ascii_alphanumeric();
        if !(right && name.chars().all(legal) && name.starts_with(ends) && name.ends_with(ends)) {
            return Err(format!(
                "'{}' is neither a bucket's name nor an absolute path",
                text.escape_debug()
            ));
        }
        let prefix = prefix.trim_matches('/');
        let legal = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        let empty = !prefix.is_empty()
            && prefix
                .split('/')
                .any(|part| matches!(part, "" | "." | ".."));
        if empty || prefix.len() > PREFIX_MAX || !prefix.chars().all(legal) {
            let prefix = prefix.escape_debug();
            return Err(format!("'{prefix}' cannot stand behind a bucket's name"));
        }
        Ok(Self::Bucket {
            name: name.to_owned(),
            prefix: prefix.to_owned(),
        })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Bucket { name, prefix } if prefix.is_empty() => f.write_str(name),
            Self::Bucket { name, prefix } => write!(f, "{name}/{prefix}"),
        }
    }
}

impl Place {
    /// Puts a file there under this name. The file may be moved away.
    pub async fn put(&self, file: &Path, name: &str) -> Result<(), AddonError> {
        match self {
            Self::Folder(folder) => {
                let moved = put_file(file, folder, name).await;
                moved.map_err(|error| failed("Cannot write to", folder, error))
            }
            Self::Bucket { storage, prefix } => storage.put(file, &key(prefix, name)).await,
        }
    }

    /// Makes a copy of what is there under this name.
    pub async fn get(&self, name: &str, to: &Path) -> Result<(), AddonError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let copied = tokio::fs::copy(&path, to).await;
                copied.map_err(|error| failed("Cannot read", &path, error))?;
                Ok(())
            }
            Self::Bucket { storage, prefix } => storage.get(&key(prefix, name), to).await,
        }
    }

    /// Removes what is there under this name; gone is fine.
    pub async fn delete(&self, name: &str) -> Result<(), AddonError> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                match tokio::fs::remove_file(&path).await {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        Err(failed("Cannot remove", &path, error))
                    }
                    _ => Ok(()),
                }
            }
            Self::Bucket { storage, prefix } => storage.delete(&key(prefix, name)).await,
        }
    }
}

fn key(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        return name.to_owned();
    }
    format!("{prefix}/{name}")
}

/// Under its name it is there whole, or not at all.
async fn put_file(file: &Path, folder: &Path, name: &str) -> io::Result<()> {
    let path = folder.join(name);
    match tokio::fs::rename(file, &path).await {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {}
        other => return other,
    }
    let partial = folder.join(format!(".{name}.part"));
    let copied = async {
        tokio::fs::copy(file, &partial).await?;
        tokio::fs::File::open(&partial).await?.sync_all().await?;
        tokio::fs::rename(&partial, &path).await
    };
    let copied = copied.await;
    if copied.is_err() {
        match tokio::fs::remove_file(&partial).await {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    copied
}

fn failed(what: &str, path: &Path, source: io::Error) -> AddonError {
    let what = format!("{what} {}", path.display());
    AddonError::File { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read() {
        let shown = |text: &str| Destination::parse(text).map(|place| place.to_string());
        assert_eq!(shown("/mnt/backups").unwrap(), "/mnt/backups");
        assert_eq!(shown("my-bucket").unwrap(), "my-bucket");
        assert_eq!(shown("my-bucket/a/b/").unwrap(), "my-bucket/a/b");
        for bad in [
            "",
            "ab",
            "My-Bucket",
            "-bucket",
            "b cket",
            "../x",
            "bucket/../x",
            "bucket/a//b",
            "bucket/a b",
            "/mnt/../etc",
            "/mnt/\n",
            "s3://bucket",
        ] {
            assert!(Destination::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_folder_keeps_files() {
        let folder = tempfile::tempdir().unwrap();
        let spool = tempfile::tempdir().unwrap();
        let file = spool.path().join("x");
        std::fs::write(&file, "data").unwrap();
        let place = Place::Folder(folder.path().to_owned());
        place.put(&file, "a.rdb").await.unwrap();
        place.get("a.rdb", &spool.path().join("y")).await.unwrap();
        assert_eq!(std::fs::read(spool.path().join("y")).unwrap(), b"data");
        place.delete("a.rdb").await.unwrap();
        place.delete("a.rdb").await.unwrap();
        let error = place.get("a.rdb", &spool.path().join("z")).await;
        assert!(error.unwrap_err().to_string().starts_with("Cannot read"));
        let nowhere = Place::Folder(folder.path().join("none"));
        std::fs::write(&file, "data").unwrap();
        assert!(nowhere.put(&file, "a").await.is_err());
    }
}
