//! Buildpacks on this host. Only what looks like a buildpack is read: the path came from a user.

use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;

use super::{PackFiles, tarball};
use crate::archive::Input;

/// A folder or a gzipped tar.
pub(super) async fn open(path: &Path) -> Result<PackFiles, String> {
    let kind = tokio::fs::metadata(path)
        .await
        .map_err(|error| format!("it cannot be read: {error}"))?;
    if kind.is_file() {
        let file = File::open(path).map_err(|error| format!("it cannot be read: {error}"))?;
        return tarball::open(file).await;
    }
    let folder = path.to_path_buf();
    let packed = tokio::task::spawn_blocking(move || pack(&folder));
    let packed = packed.await.map_err(|error| error.to_string())?;
    let file = packed.map_err(|error| format!("it cannot be read: {error}"))?;
    Ok(PackFiles::Tree {
        input: Input::Reader(Box::new(file)),
        strip: 0,
    })
}

/// The folder as a tar in a file without a name; links stay links.
fn pack(folder: &Path) -> io::Result<File> {
    for script in ["bin/detect", "bin/compile"] {
        if !folder.join(script).is_file() {
            return Err(io::Error::other(format!("there is no {script} in it")));
        }
    }
    let mut builder = tar::Builder::new(tempfile::tempfile()?);
    builder.follow_symlinks(false);
    builder.sparse(false);
    builder.append_dir_all("", folder)?;
    let mut file = builder.into_inner()?;
    file.rewind()?;
    Ok(file)
}
