//! Unpacking gzipped tars: nothing leaves the folder, nothing is written through a link, and size is bounded.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

/// How much may come out of an archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    pub(crate) members: usize,
    pub(crate) bytes: u64,
}

impl Caps {
    /// The largest plugins known have a few hundred files.
    pub(crate) const PLUGIN: Self = Self {
        members: 20_000,
        bytes: 256 << 20,
    };
}

/// Unpacks into a folder that exists and is empty.
pub(crate) fn unpack(packed: impl Read, into: &Path, caps: Caps) -> io::Result<()> {
    let plain = MultiGzDecoder::new(BufReader::new(packed));
    // Headers and padding count as well: a bomb of empty members ends here.
    let slack = (caps.members as u64).saturating_mul(4096);
    let mut archive = Archive::new(plain.take(caps.bytes.saturating_add(slack)));
    let mut unpacking = Unpacking {
        into: into.to_owned(),
        caps,
        links: HashSet::new(),
    };
    for entry in archive.entries()? {
        unpacking.member(&mut entry?)?;
    }
    Ok(())
}

/// The folder that holds the plugin: the archive's root, or the one folder that code hosts put around everything.
pub(crate) fn hoist(unpacked: &Path) -> io::Result<PathBuf> {
    let mut entries = fs::read_dir(unpacked)?.collect::<io::Result<Vec<_>>>()?;
    match (entries.pop(), entries.is_empty()) {
        (Some(only), true) if only.file_type()?.is_dir() => Ok(only.path()),
        _ => Ok(unpacked.to_owned()),
    }
}

struct Unpacking {
    into: PathBuf,
    caps: Caps,
    links: HashSet<PathBuf>,
}

impl Unpacking {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's list is open, and what is not known here is refused"
    )]
    fn member(&mut self, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let left = self.caps.members.checked_sub(1);
        self.caps.members = left.ok_or_else(|| refused("it holds too many files"))?;
        let Some(path) = clean(&entry.path_bytes())? else {
            return Ok(());
        };
        if path.ancestors().any(|part| self.links.contains(part)) {
            return Err(refused(format!("{} lies behind a link", path.display())));
        }
        let place = self.into.join(&path);
        match kind {
            EntryType::Directory => fs::create_dir_all(&place),
            EntryType::Regular | EntryType::Continuous => self.file(entry, &place),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = PathBuf::from(OsStr::from_bytes(&target));
                check_target(&path, &target)?;
                make_parents(&place)?;
                symlink(target, &place)?;
                self.links.insert(path);
                Ok(())
            }
            _ => Err(refused(format!(
                "{} is a hard link, a device or another special file",
                path.display()
            ))),
        }
    }

    fn file(&mut self, entry: &mut Entry<'_, impl Read>, place: &Path) -> io::Result<()> {
        let left = self.caps.bytes.checked_sub(entry.size());
        self.caps.bytes = left.ok_or_else(|| refused("it is too large when unpacked"))?;
        make_parents(place)?;
        let executable = entry.header().mode().unwrap_or_default() & 0o111 != 0;
        let mode = if executable { 0o755 } else { 0o644 };
        // Never over something: a member that comes twice is a trick, not a plugin.
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(place)?;
        io::copy(entry, &mut file)?;
        Ok(())
    }
}

fn make_parents(place: &Path) -> io::Result<()> {
    place.parent().map_or(Ok(()), fs::create_dir_all)
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// A path without `.`; refuses what would leave the folder. `None` is the folder itself.
fn clean(path: &[u8]) -> io::Result<Option<PathBuf>> {
    let path = Path::new(OsStr::from_bytes(path));
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(refused(format!(
                    "{} would be unpacked outside of its folder",
                    path.display()
                )));
            }
        }
    }
    Ok((!cleaned.as_os_str().is_empty()).then_some(cleaned))
}

/// A link may climb at its beginning only, and not above the root: what it passes through later may be a link itself.
fn check_target(link: &Path, target: &Path) -> io::Result<()> {
    let escapes = || refused(format!("{} is a link out of the archive", link.display()));
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
mod tests;
