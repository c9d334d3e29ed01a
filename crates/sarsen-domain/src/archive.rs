//! Rules for what comes out of archives, whoever unpacks them: nothing outside of the folder, bounded size.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::Invalid;

/// How much may still come out of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Files, folders and links.
    pub members: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

impl Caps {
    /// For what this host made itself.
    pub const NONE: Self = Self {
        members: u64::MAX,
        bytes: u64::MAX,
    };

    /// Counts one member; an error when that is one too many.
    pub fn count(&mut self, bytes: u64) -> Result<(), Invalid> {
        let left = self.members.checked_sub(1);
        self.members = left.ok_or_else(|| Invalid::new("it holds too many files"))?;
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.ok_or_else(|| Invalid::new("it is too large when unpacked"))?;
        Ok(())
    }
}

/// A member's path without `.`; refuses what would leave the folder. `None` is the folder itself.
pub fn clean(path: &[u8]) -> Result<Option<PathBuf>, Invalid> {
    let path = Path::new(OsStr::from_bytes(path));
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(Invalid::new(format!(
                    "{} would be unpacked outside of its folder",
                    path.display()
                )));
            }
        }
    }
    Ok((!cleaned.as_os_str().is_empty()).then_some(cleaned))
}

/// A link may climb at its beginning only, and not above the root: what it passes through later may be a link itself.
pub fn check_link(link: &Path, target: &Path) -> Result<(), Invalid> {
    let escapes = || Invalid::new(format!("{} is a link out of the archive", link.display()));
    let mut room = link.components().count().saturating_sub(1);
    let mut descended = false;
    for component in target.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => descended = true,
            Component::ParentDir if !descended => {
                room = room.checked_sub(1).ok_or_else(escapes)?;
            }
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(escapes());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_stay_inside() {
        let clean = |path: &str| clean(path.as_bytes());
        assert_eq!(clean("./a//b/").unwrap(), Some("a/b".into()));
        assert_eq!(clean("./").unwrap(), None);
        for bad in ["/etc/passwd", "../x", "a/../../b", "a/.."] {
            assert!(clean(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn links_stay_inside() {
        let check = |link: &str, target: &str| check_link(Path::new(link), Path::new(target));
        assert!(check("a/b", "../c").is_ok());
        assert!(check("a", "b/c").is_ok());
        for (link, target) in [
            ("a", "../c"),
            ("a/b", "../../c"),
            ("a", "/etc"),
            ("a/b", "x/../../.."),
        ] {
            assert!(check(link, target).is_err(), "{link} -> {target}");
        }
    }

    #[test]
    fn caps_are_kept() {
        let mut caps = Caps {
            members: 2,
            bytes: 10,
        };
        assert!(caps.count(10).is_ok());
        assert!(caps.clone().count(1).is_err());
        assert!(caps.count(0).is_ok());
        assert!(caps.count(0).is_err());
    }

    proptest! {
        #[test]
        fn a_clean_path_has_only_names(path in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some(cleaned)) = clean(&path) {
                prop_assert!(cleaned.components().all(|part| matches!(part, Component::Normal(_))));
            }
        }

        #[test]
        fn a_link_that_passes_stays_inside(depth in 1_usize..5, target in "[a./]{0,20}") {
            let link: PathBuf = vec!["d"; depth].iter().collect();
            if check_link(&link, Path::new(&target)).is_ok() {
                let mut level = depth as i64 - 1;
                for part in Path::new(&target).components() {
                    level += match part { Component::ParentDir => -1, Component::Normal(_) => 1, Component::CurDir | Component::RootDir | Component::Prefix(_) => 0 };
                    prop_assert!(level >= 0);
                }
                prop_assert!(!target.starts_with('/'));
            }
        }
    }
}
