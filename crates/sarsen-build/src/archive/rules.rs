//! What is kept of an archive, and where it goes.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::{Kind, Member, Verdict, refused};
use crate::ignore::Ignore;

/// Looks at each member in turn, and may change it.
pub(crate) type Rule = Box<dyn FnMut(&mut Member) -> io::Result<Verdict> + Send>;

/// Everything as it is.
pub(crate) fn keep() -> Rule {
    Box::new(|_| Ok(Verdict::Keep))
}

/// Everything that is not ignored. Folders are made for what is in them.
pub(crate) fn without(ignore: Ignore) -> Rule {
    Box::new(move |member| {
        let skip = member.kind == Kind::Folder || ignore.ignores(&member.path);
        Ok(if skip { Verdict::Skip } else { Verdict::Keep })
    })
}

/// Moves a folder: `from/x` becomes `to/x`, or `x` when `to` is empty. Named pipes are left behind.
pub(crate) fn rebase(from: &'static str, to: &'static str) -> Rule {
    Box::new(move |member| {
        if member.kind == Kind::Pipe {
            return Ok(Verdict::Skip);
        }
        member.path = moved(&member.path, from, to)?;
        if member.kind == Kind::HardLink {
            member.link = moved(&member.link, from, to)?;
        }
        Ok(if member.path.as_os_str().is_empty() {
            Verdict::Skip
        } else {
            Verdict::Keep
        })
    })
}

fn moved(path: &Path, from: &str, to: &str) -> io::Result<PathBuf> {
    let rest = path
        .strip_prefix(from)
        .map_err(|_| refused(format!("{} is not in {from}", path.display())))?;
    let moved = Path::new(to).join(rest);
    // Joining nothing would leave a slash at the end.
    Ok(moved.components().collect())
}

/// Puts all under a folder, for archives by strangers: links must stay inside, and the first `strip` folders of
/// each path are taken off.
pub(crate) fn strictly_under(folder: PathBuf, strip: usize) -> Rule {
    Box::new(move |member| {
        let Some(path) = stripped(&member.path, strip) else {
            return Ok(Verdict::Skip);
        };
        match member.kind {
            Kind::Symlink if leaves(&path, &member.link) => {
                return Err(refused(format!(
                    "{} is a link that leaves its folder",
                    member.path.display()
                )));
            }
            Kind::HardLink => {
                let target = stripped(&member.link, strip).unwrap_or_default();
                member.link = folder.join(target);
            }
            Kind::File | Kind::Folder | Kind::Symlink | Kind::Pipe | Kind::Other => {}
        }
        member.path = folder.join(path);
        Ok(Verdict::Keep)
    })
}

fn stripped(path: &Path, count: usize) -> Option<PathBuf> {
    let rest: PathBuf = path.components().skip(count).collect();
    (!rest.as_os_str().is_empty()).then_some(rest)
}

/// Whether a symbolic link at this path points out of the root.
pub(super) fn leaves(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}
