//! The hook: a link to our own executable, in a folder that only we choose. Nothing is generated.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::Path;

/// The one hook there is. The executable knows by this name that it is called as a hook.
pub(crate) const PRE_RECEIVE: &str = "pre-receive";

/// Makes `folder/pre-receive` point to the executable, at once for whoever is looking.
pub(crate) fn refresh(folder: &Path, executable: &Path) -> io::Result<()> {
    if !executable.is_absolute() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the hook's executable needs an absolute path",
        ));
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    let link = folder.join(PRE_RECEIVE);
    if fs::read_link(&link).is_ok_and(|target| target == executable) {
        return Ok(());
    }
    let fresh = folder.join(".pre-receive.new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    symlink(executable, &fresh)?;
    fs::rename(&fresh, &link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_follows_the_executable() {
        let folder = tempfile::tempdir().unwrap();
        let hooks = folder.path().join("x/hooks");
        for target in ["/bin/true", "/bin/true", "/bin/false"] {
            refresh(&hooks, Path::new(target)).unwrap();
            assert_eq!(
                fs::read_link(hooks.join(PRE_RECEIVE)).unwrap(),
                Path::new(target)
            );
        }
        assert_eq!(fs::read_dir(&hooks).unwrap().count(), 1);
        assert!(refresh(&hooks, Path::new("sarsen")).is_err());
    }
}
