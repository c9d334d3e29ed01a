//! Unpacking gzipped tars: nothing leaves the folder, nothing is written through a link, and size is bounded.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sarsen_domain::archive::Caps;
use sarsen_domain::{Invalid, archive};
use tar::{Archive, Entry, EntryType};

/// The largest plugins known have a few hundred files.
pub(crate) const PLUGIN: Caps = Caps {
    members: 20_000,
    bytes: 256 << 20,
};

/// Unpacks into a folder that exists and is empty.
pub(crate) fn unpack(packed: impl Read, into: &Path, caps: Caps) -> io::Result<()> {
    let plain = MultiGzDecoder::new(BufReader::new(packed));
    // Headers and padding count as well: a bomb of empty members ends here.
    let slack = caps.members.saturating_mul(4096);
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
        let bytes = if kind.is_file() { entry.size() } else { 0 };
        self.caps.count(bytes).map_err(at_fault)?;
        let Some(path) = archive::clean(&entry.path_bytes()).map_err(at_fault)? else {
            return Ok(());
        };
        if path.ancestors().any(|part| self.links.contains(part)) {
            return Err(refused(format!("{} lies behind a link", path.display())));
        }
        let place = self.into.join(&path);
        match kind {
            EntryType::Directory => fs::create_dir_all(&place),
            EntryType::Regular | EntryType::Continuous => Self::file(entry, &place),
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let target = PathBuf::from(OsStr::from_bytes(&target));
                archive::check_link(&path, &target).map_err(at_fault)?;
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

    fn file(entry: &mut Entry<'_, impl Read>, place: &Path) -> io::Result<()> {
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

fn at_fault(error: Invalid) -> io::Error {
    refused(error.0)
}

fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests;
