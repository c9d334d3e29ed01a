//! The folders themselves, on the host.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use sarsen_store::StorageEntry;

use crate::control::Control;
use crate::failure::{Failure, Outcome};

/// Makes an entry's folder with its owner and mode; what is there keeps its contents. Volumes are the engine's.
pub(super) async fn prepare(control: &Control, entry: &StorageEntry) -> Outcome {
    if !entry.source.starts_with('/') {
        return Ok(());
    }
    let (root, entry) = (PathBuf::from(control.storage_root()), entry.clone());
    blocking(move || {
        let path = Path::new(&entry.source);
        fs::create_dir_all(&root).map_err(|error| cannot("make", &root, &error))?;
        check(&root, path)?;
        fs::create_dir_all(path).map_err(|error| cannot("make", path, &error))?;
        if let Some(mode) = entry.mode {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(path, mode).map_err(|error| cannot("change", path, &error))?;
        }
        match entry.owner {
            Some(id) => own(path, id),
            None => Ok(()),
        }
    })
    .await
}

/// Gives a folder, not what is in it, to a user.
pub(super) async fn chown(control: &Control, path: &str, id: u32) -> Outcome {
    let (root, path) = (PathBuf::from(control.storage_root()), PathBuf::from(path));
    blocking(move || {
        check(&root, &path)?;
        fs::create_dir_all(&path).map_err(|error| cannot("make", &path, &error))?;
        own(&path, id)
    })
    .await
}

/// Removes a folder and all that is in it.
pub(super) async fn remove(control: &Control, path: &str) -> Outcome {
    let (root, path) = (PathBuf::from(control.storage_root()), PathBuf::from(path));
    blocking(move || {
        check(&root, &path)?;
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(cannot("remove", &path, &error))
            }
            _ => Ok(()),
        }
    })
    .await
}

/// Whether each of these that is below data/storage really is.
pub(super) async fn check_inside(control: &Control, paths: Vec<String>) -> Outcome {
    let root = PathBuf::from(control.storage_root());
    blocking(move || {
        paths
            .iter()
            .try_for_each(|path| check(&root, Path::new(path)))
    })
    .await
}

async fn blocking(work: impl FnOnce() -> Outcome + Send + 'static) -> Outcome {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(format!("The folder could not be prepared: {error}")))?
}

/// A path below the root, as far as it is there, must not leave it by a symbolic link.
fn check(root: &Path, path: &Path) -> Outcome {
    if !path.starts_with(root) {
        return Ok(());
    }
    let Ok(root) = root.canonicalize() else {
        return Ok(());
    };
    for ancestor in path.ancestors() {
        // One that leads nowhere would be followed as soon as it leads somewhere.
        if ancestor.symlink_metadata().is_err() {
            continue;
        }
        let real = ancestor.canonicalize();
        if real.is_ok_and(|real| real.starts_with(&root)) {
            return Ok(());
        }
        break;
    }
    Err(Failure::new(format!(
        "{} leads out of {} by a symbolic link, so it is not mounted",
        path.display(),
        root.display()
    )))
}

fn own(path: &Path, id: u32) -> Outcome {
    lchown(path, Some(id), Some(id)).map_err(|error| cannot("change the owner of", path, &error))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("Cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_out_of_the_storage_folder_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("storage");
        fs::create_dir_all(root.join("app/real")).unwrap();
        symlink("/etc", root.join("app/out")).unwrap();
        symlink("/nowhere", root.join("app/dangling")).unwrap();
        symlink("real", root.join("app/in")).unwrap();
        for good in ["app", "app/real", "app/in", "app/new/deep"] {
            assert!(check(&root, &root.join(good)).is_ok(), "{good}");
        }
        for bad in [
            "app/out",
            "app/out/passwd",
            "app/dangling",
            "app/dangling/x",
        ] {
            assert!(check(&root, &root.join(bad)).is_err(), "{bad}");
        }
        assert!(check(&root, Path::new("/etc")).is_ok());
    }
}
