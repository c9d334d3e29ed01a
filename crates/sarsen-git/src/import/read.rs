//! Reading archives member by member. Paths are checked before anything is written.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use git2::Repository;
use sarsen_domain::Invalid;
use sarsen_domain::archive::{self, Caps};
use tar::EntryType;
use zip::ZipArchive;

use super::{ArchiveType, FILE, LINK, Leaf, Leaves, PROGRAM, write_blob};
use crate::error::GitError;

/// A link's target is a path; the kernel takes no longer one.
const TARGET_MAX: u64 = 4096;
const DEPTH_MAX: usize = 200;
const HEADERS: u64 = 4096;

/// Everything in the archive, written to the object store, and what the archive is.
pub(super) fn leaves(
    repository: &Repository,
    mut file: File,
    kind: Option<ArchiveType>,
    caps: Caps,
) -> Result<(Leaves, ArchiveType), GitError> {
    let found = sniff(&mut file).map_err(GitError::io("read the archive"))?;
    let fits = match kind {
        None => true,
        // As tar itself, which looks for itself whether it is packed.
        Some(ArchiveType::Tar) => found != ArchiveType::Zip,
        Some(kind) => found == kind,
    };
    if !fits {
        return Err(GitError::Refused(
            "the archive is of another type than was said".to_owned(),
        ));
    }
    let mut reading = Reading {
        repository,
        caps,
        leaves: Leaves::new(),
    };
    // A small file can unpack to a huge one, and headers count as well.
    let most = caps
        .members
        .saturating_mul(HEADERS)
        .saturating_add(caps.bytes);
    match found {
        ArchiveType::Tar => reading.tar(BufReader::new(file).take(most))?,
        ArchiveType::TarGz => {
            reading.tar(MultiGzDecoder::new(BufReader::new(file)).take(most))?;
        }
        ArchiveType::Zip => reading.zip(BufReader::new(file))?,
    }
    Ok((reading.leaves, found))
}

fn sniff(file: &mut File) -> io::Result<ArchiveType> {
    let mut start = [0_u8; 4];
    file.rewind()?;
    let mut read = 0;
    while let Some(rest) = start.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            count => read += count,
        }
    }
    file.rewind()?;
    Ok(match start {
        [0x1f, 0x8b, ..] => ArchiveType::TarGz,
        [b'P', b'K', 3 | 5, 4 | 6] => ArchiveType::Zip,
        _ => ArchiveType::Tar,
    })
}

struct Reading<'a> {
    repository: &'a Repository,
    caps: Caps,
    leaves: Leaves,
}

impl Reading<'_> {
    fn tar(&mut self, reader: impl Read) -> Result<(), GitError> {
        let unreadable = |error: io::Error| GitError::Refused(format!("the archive: {error}"));
        let mut archive = tar::Archive::new(reader);
        for entry in archive.entries().map_err(unreadable)? {
            let mut entry = entry.map_err(unreadable)?;
            self.member(&mut entry)?;
        }
        Ok(())
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's list is open, and what is not known here is refused"
    )]
    fn member(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<(), GitError> {
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            return Ok(());
        }
        let size = if kind.is_file() { entry.size() } else { 0 };
        let Some(path) = self.admit(&entry.path_bytes(), size)? else {
            return Ok(());
        };
        let target = entry.link_name_bytes().unwrap_or_default().into_owned();
        match kind {
            EntryType::Directory => Ok(()),
            EntryType::Regular | EntryType::Continuous => {
                let executable = entry.header().mode().unwrap_or_default() & 0o111 != 0;
                self.file(path, size, executable.into(), entry)
            }
            EntryType::Symlink => self.link(path, &target),
            EntryType::Link => {
                let target = archive::clean(&target).map_err(at_fault)?;
                let leaf = target.and_then(|target| self.leaves.get(&target).copied());
                let leaf = leaf.ok_or_else(|| refused(&path, "is a link to nothing"))?;
                self.add(path, leaf)
            }
            _ => Err(refused(&path, "is a device or another special file")),
        }
    }

    fn zip(&mut self, reader: BufReader<File>) -> Result<(), GitError> {
        let unreadable =
            |error: zip::result::ZipError| GitError::Refused(format!("the archive: {error}"));
        let mut archive = ZipArchive::new(reader).map_err(unreadable)?;
        for index in 0..archive.len() {
            let mut member = archive.by_index(index).map_err(unreadable)?;
            let size = member.size();
            let name = member.name_raw().to_vec();
            let Some(path) = self.admit(&name, size)? else {
                continue;
            };
            let mode = member.unix_mode().unwrap_or(0o644);
            if member.is_dir() {
                continue;
            }
            if member.is_symlink() {
                let mut target = Vec::new();
                let read = (&mut member).take(TARGET_MAX).read_to_end(&mut target);
                read.map_err(GitError::io("read the archive"))?;
                self.link(path, &target)?;
            } else {
                // The directory at the end says the size; the data must not say another one.
                let data = (&mut member).take(size);
                self.file(path, size, (mode & 0o111 != 0).into(), data)?;
            }
        }
        Ok(())
    }

    /// The path, if it may be there; `None` for the root.
    fn admit(&mut self, path: &[u8], size: u64) -> Result<Option<PathBuf>, GitError> {
        self.caps.count(size).map_err(at_fault)?;
        let Some(path) = archive::clean(path).map_err(at_fault)? else {
            return Ok(None);
        };
        if path.components().count() > DEPTH_MAX {
            return Err(refused(&path, "lies too deep"));
        }
        // The library refuses other spellings when the tree is written.
        if path.iter().any(|part| part.eq_ignore_ascii_case(".git")) {
            return Err(refused(&path, "would be taken for a repository"));
        }
        let behind = |folder: &Path| self.leaves.contains_key(folder);
        if path.ancestors().skip(1).any(behind) {
            return Err(refused(&path, "lies behind a file or a link"));
        }
        Ok(Some(path))
    }

    fn file(
        &mut self,
        path: PathBuf,
        size: u64,
        mode: Mode,
        data: impl Read,
    ) -> Result<(), GitError> {
        let blob = write_blob(self.repository, size, data)?;
        self.add(path, Leaf { blob, mode: mode.0 })
    }

    fn link(&mut self, path: PathBuf, target: &[u8]) -> Result<(), GitError> {
        archive::check_link(&path, Path::new(OsStr::from_bytes(target))).map_err(at_fault)?;
        let blob = write_blob(self.repository, target.len() as u64, target)?;
        self.add(path, Leaf { blob, mode: LINK })
    }

    fn add(&mut self, path: PathBuf, leaf: Leaf) -> Result<(), GitError> {
        let inside = self.leaves.range(path.join("\u{0}")..).next();
        if inside.is_some_and(|(other, _)| other.starts_with(&path)) {
            return Err(refused(&path, "is a folder as well"));
        }
        self.leaves.insert(path, leaf);
        Ok(())
    }
}

/// Of a file.
#[derive(Clone, Copy)]
struct Mode(i32);

impl From<bool> for Mode {
    fn from(executable: bool) -> Self {
        Self(if executable { PROGRAM } else { FILE })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is made for map_err")]
fn at_fault(error: Invalid) -> GitError {
    GitError::Refused(format!("the archive: {}", error.0))
}

fn refused(path: &Path, why: &str) -> GitError {
    GitError::Refused(format!("the archive: {} {why}", path.display()))
}
