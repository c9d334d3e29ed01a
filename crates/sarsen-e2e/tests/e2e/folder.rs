//! The working copies of a user: made from an example or a small test app, changed, committed.

use std::fs;
use std::path::{Path, PathBuf};

/// Copies the files of an app: `hello` is one of `tests/apps`, `examples/static` one of `deploy/examples`.
pub(crate) fn copy_app(kind: &str, to: &Path) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let from = match kind.strip_prefix("examples/") {
        Some(example) => here.join("../../deploy/examples").join(example),
        None => here.join("tests/apps").join(kind),
    };
    assert!(
        from.is_dir(),
        "there is no app {kind}: {} is missing",
        from.display()
    );
    copy_all(&from, to);
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            // With the mode: scripts stay executable.
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Writes a file and the folders above it. What begins like a script can be executed.
pub(crate) fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    if text.starts_with("#!") {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// All files below a folder.
pub(crate) fn files(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(below) else {
        return found;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
