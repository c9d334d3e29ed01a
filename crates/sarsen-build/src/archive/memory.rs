//! Small archives, made and read in memory.

use std::io::{self, Read};
use std::path::PathBuf;

use bytes::Bytes;
use futures_util::stream;
use sarsen_runtime::EngineStream;

use super::{APP_USER, Kind, Member, Output};

/// An archive of a few files of the app's user.
pub(crate) struct Memory(Output<Vec<u8>>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(Output::new(Vec::new(), APP_USER))
    }

    pub(crate) fn folder(self, path: &str, mode: u32) -> io::Result<Self> {
        self.add(Kind::Folder, path, mode, &[])
    }

    pub(crate) fn file(self, path: &str, mode: u32, content: &[u8]) -> io::Result<Self> {
        self.add(Kind::File, path, mode, content)
    }

    pub(crate) fn symlink(mut self, path: &str, target: &str) -> io::Result<Self> {
        let member = Member {
            path: PathBuf::from(path),
            kind: Kind::Symlink,
            link: PathBuf::from(target),
            mode: 0o777,
            size: 0,
        };
        self.0.append(&member, 0, io::empty())?;
        Ok(self)
    }

    fn add(mut self, kind: Kind, path: &str, mode: u32, content: &[u8]) -> io::Result<Self> {
        let member = Member {
            path: PathBuf::from(path),
            kind,
            link: PathBuf::new(),
            mode,
            size: content.len() as u64,
        };
        self.0.append(&member, 0, content)?;
        Ok(self)
    }

    pub(crate) fn into_stream(self) -> io::Result<EngineStream<Bytes>> {
        let bytes = self.0.builder.into_inner()?;
        Ok(Box::pin(stream::iter([Ok(Bytes::from(bytes))])))
    }
}

/// What the engine gives for one path.
pub(crate) enum First {
    File(Vec<u8>),
    /// A link and where it points.
    Link(PathBuf),
    Other,
}

/// The first member of an archive.
pub(crate) fn first_file(archive: &[u8]) -> io::Result<First> {
    let mut archive = tar::Archive::new(archive);
    let Some(entry) = archive.entries()?.next() else {
        return Ok(First::Other);
    };
    let mut entry = entry?;
    match Member::of(&entry)? {
        Some(member) if member.kind == Kind::File => {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            Ok(First::File(content))
        }
        Some(member) if member.kind == Kind::Symlink => Ok(First::Link(member.link)),
        _ => Ok(First::Other),
    }
}
