//! Tar streams, rewritten as they pass and never unpacked on the host.
//!
//! Every archive that goes into a container goes through here: paths that are absolute or climb are refused,
//! nothing is written through a link, and set-user-id bits and foreign owners are gone.

mod memory;
mod pipe;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use memory::{First, Memory, first_file};
pub(crate) use pipe::{Input, Rewritten, rewrite};
pub(crate) use rules::{Rule, keep, rebase, strictly_under, without};

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub(crate) use sarsen_domain::archive::Caps;
use sarsen_domain::{Invalid, archive};
use tar::EntryType;

/// The user and group of everything that belongs to an app.
pub(crate) const APP_USER: u64 = 32767;

/// One thing in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Relative, without `.` and `..`.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    /// What a link points to. Of a hard link: a path in the archive.
    pub(crate) link: PathBuf,
    pub(crate) mode: u32,
    pub(crate) size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Symlink,
    HardLink,
    /// A named pipe.
    Pipe,
    /// A device, or something newer than this code.
    Other,
}

impl Kind {
    /// `None` for what describes the archive.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's list is open, and what is not known here is refused"
    )]
    fn of(kind: EntryType) -> Option<Self> {
        Some(match kind {
            EntryType::XGlobalHeader => return None,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Self::File,
            EntryType::Directory => Self::Folder,
            EntryType::Symlink => Self::Symlink,
            EntryType::Link => Self::HardLink,
            EntryType::Fifo => Self::Pipe,
            _ => Self::Other,
        })
    }
}

/// What becomes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Keep,
    Skip,
}

/// For a buildpack; the largest known ones have a few thousand files.
pub(crate) const BUILDPACK: Caps = Caps {
    members: 100_000,
    bytes: 1 << 30,
};

/// For a build cache that somebody brings.
pub(crate) const CACHE: Caps = Caps {
    members: 2_000_000,
    bytes: 20 << 30,
};

/// What is done to an archive.
pub(crate) struct Rewrite {
    /// User and group of every member.
    pub(crate) owner: u64,
    pub(crate) caps: Caps,
    pub(crate) rule: Rule,
}

impl Rewrite {
    /// For what becomes the app's.
    pub(crate) fn for_app(rule: Rule) -> Self {
        Self {
            owner: APP_USER,
            caps: Caps::NONE,
            rule,
        }
    }

    fn run(mut self, reader: impl Read, writer: impl Write) -> io::Result<()> {
        let mut archive = tar::Archive::new(reader);
        let mut output = Output::new(writer, self.owner);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let Some(mut member) = Member::of(&entry)? else {
                continue;
            };
            self.caps.count(member.size).map_err(at_fault)?;
            if (self.rule)(&mut member)? == Verdict::Keep {
                let modified = entry.header().mtime().unwrap_or_default();
                output.append(&member, modified, &mut entry)?;
            }
        }
        output.finish()
    }
}

/// An error that says the archive is at fault.
fn refused(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn at_fault(error: Invalid) -> io::Error {
    refused(error.0)
}

impl Member {
    /// `None` for the archive's own root and for what only describes the archive.
    fn of(entry: &tar::Entry<'_, impl Read>) -> io::Result<Option<Self>> {
        let Some(kind) = Kind::of(entry.header().entry_type()) else {
            return Ok(None);
        };
        let Some(path) = clean(&entry.path_bytes())? else {
            return Ok(None);
        };
        let target = entry.link_name_bytes().unwrap_or_default();
        let link = match kind {
            Kind::HardLink => clean(&target)?
                .ok_or_else(|| refused(format!("{} is a link to nothing", path.display())))?,
            Kind::Symlink => PathBuf::from(OsStr::from_bytes(&target)),
            Kind::File | Kind::Folder | Kind::Pipe | Kind::Other => PathBuf::new(),
        };
        Ok(Some(Self {
            path,
            kind,
            link,
            // Neither set-user-id nor sticky: nothing of an app's needs them.
            mode: entry.header().mode().unwrap_or(0o644) & 0o777,
            size: if kind == Kind::File { entry.size() } else { 0 },
        }))
    }
}

/// A member's path; `None` is the root itself.
fn clean(path: &[u8]) -> io::Result<Option<PathBuf>> {
    archive::clean(path).map_err(at_fault)
}

/// A tar being written, in which no member lies behind a link and every folder is there before what it holds.
struct Output<W: Write> {
    builder: tar::Builder<W>,
    owner: u64,
    folders: HashSet<PathBuf>,
    links: HashSet<PathBuf>,
}

impl<W: Write> Output<W> {
    fn new(writer: W, owner: u64) -> Self {
        Self {
            builder: tar::Builder::new(writer),
            owner,
            folders: HashSet::new(),
            links: HashSet::new(),
        }
    }

    fn append(&mut self, member: &Member, modified: u64, data: impl Read) -> io::Result<()> {
        self.behind_no_link(&member.path)?;
        self.add_parents(&member.path, modified)?;
        let mut header = tar::Header::new_gnu();
        header.set_mode(member.mode);
        header.set_uid(self.owner);
        header.set_gid(self.owner);
        header.set_mtime(modified);
        header.set_size(member.size);
        if member.kind != Kind::Symlink {
            self.links.remove(&member.path);
        }
        match member.kind {
            Kind::File => {
                header.set_entry_type(EntryType::Regular);
                self.builder.append_data(&mut header, &member.path, data)
            }
            Kind::Folder => {
                self.folders.insert(member.path.clone());
                header.set_entry_type(EntryType::Directory);
                self.builder
                    .append_data(&mut header, &member.path, io::empty())
            }
            Kind::Symlink => {
                self.links.insert(member.path.clone());
                header.set_entry_type(EntryType::Symlink);
                self.builder
                    .append_link(&mut header, &member.path, &member.link)
            }
            Kind::HardLink => {
                self.behind_no_link(&member.link)?;
                header.set_entry_type(EntryType::Link);
                self.builder
                    .append_link(&mut header, &member.path, &member.link)
            }
            Kind::Pipe | Kind::Other => Err(refused(format!(
                "{} is a device or another special file",
                member.path.display()
            ))),
        }
    }

    fn behind_no_link(&self, path: &Path) -> io::Result<()> {
        let behind = |folder: &Path| self.links.contains(folder);
        if !self.links.is_empty() && path.ancestors().skip(1).any(behind) {
            return Err(refused(format!("{} lies behind a link", path.display())));
        }
        Ok(())
    }

    /// Folders that the archive does not mention would be root's.
    fn add_parents(&mut self, path: &Path, modified: u64) -> io::Result<()> {
        let missing: Vec<PathBuf> = path
            .ancestors()
            .skip(1)
            .take_while(|folder| !folder.as_os_str().is_empty() && !self.folders.contains(*folder))
            .map(Path::to_path_buf)
            .collect();
        for path in missing.into_iter().rev() {
            let folder = Member {
                path,
                kind: Kind::Folder,
                link: PathBuf::new(),
                mode: 0o755,
                size: 0,
            };
            self.append(&folder, modified, io::empty())?;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<()> {
        self.builder.finish()?;
        self.builder.get_mut().flush()
    }
}
