//! A source as a tar, made piece by piece while somebody reads it.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use git2::Oid;
use tar::{Builder, EntryType, Header};
use tokio::io::AsyncReadExt;
use tokio::process::ChildStdout;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use super::store::{Place, Store};
use super::walk::{Entry, Visit, walk};
use super::{ExtraFile, SourceTree, TarOptions};
use crate::child::{Git, Process};
use crate::error::GitError;

const CHUNK: usize = 64 * 1024;
/// Chunks in flight.
const QUEUE: usize = 8;
/// Larger files are not held in memory.
const STREAMED: u64 = 16 * 1024 * 1024;

/// A tar in chunks; dropping it stops the work.
#[derive(Debug)]
pub struct TarStream {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    work: Option<JoinHandle<()>>,
}

impl TarStream {
    pub(crate) fn start(source: SourceTree, options: TarOptions) -> Self {
        let (sender, chunks) = mpsc::channel(QUEUE);
        let tasks = source.tasks.clone();
        let work = move || {
            let end = write_tar(&source, &options, &sender);
            if let Err(error) = end
                && sender.blocking_send(Err(io::Error::other(error))).is_err()
            {
                tracing::debug!(commit = %source.commit, "nobody reads the tar any more");
            }
        };
        Self {
            chunks,
            work: Some(tasks.spawn_blocking(work)),
        }
    }
}

impl Stream for TarStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(chunk) = std::task::ready!(self.chunks.poll_recv(context)) {
            return Poll::Ready(Some(chunk));
        }
        // Work that broke off must not look like work that is done.
        let Some(work) = self.work.as_mut() else {
            return Poll::Ready(None);
        };
        let end = std::task::ready!(Pin::new(work).poll(context));
        self.work = None;
        Poll::Ready(end.err().map(|error| Err(io::Error::other(error))))
    }
}

type Sender = mpsc::Sender<io::Result<Bytes>>;

fn write_tar(source: &SourceTree, options: &TarOptions, sender: &Sender) -> Result<(), GitError> {
    let mut prefix = match &options.prefix {
        Some(prefix) => checked_path(prefix)?.as_bytes().to_vec(),
        None => Vec::new(),
    };
    if !prefix.is_empty() {
        prefix.push(b'/');
    }
    let extra = options.extra.iter().map(|file| checked_path(&file.path));
    let mut writer = TarWriter {
        builder: Builder::new(Chunks::new(sender.clone())),
        replaced: extra
            .map(|path| Ok(path?.as_bytes().to_vec()))
            .collect::<Result<_, GitError>>()?,
        prefix,
        mtime: u64::try_from(source.time).unwrap_or_default(),
        tasks: source.tasks.clone(),
    };
    walk(source, &mut writer)?;
    writer.finish(&options.extra).map_err(writing)
}

/// A relative path that stays inside, without slashes at its ends.
fn checked_path(path: &str) -> Result<&str, GitError> {
    let trimmed = path.trim_end_matches('/');
    let bad = |name: &str| matches!(name, "" | "." | "..") || name.contains('\0');
    if trimmed.split('/').any(bad) {
        return Err(GitError::Refused(format!(
            "'{}' is not a path inside it",
            path.escape_debug()
        )));
    }
    Ok(trimmed)
}

fn writing(error: io::Error) -> GitError {
    GitError::io("write the tar")(error)
}

struct TarWriter {
    builder: Builder<Chunks>,
    replaced: HashSet<Vec<u8>>,
    prefix: Vec<u8>,
    mtime: u64,
    tasks: TaskTracker,
}

impl Visit for TarWriter {
    fn visit(&mut self, store: &Store, path: &[u8], entry: Entry<'_>) -> Result<(), GitError> {
        if self.replaced.contains(path) {
            return Ok(());
        }
        match entry {
            Entry::Folder | Entry::Submodule { .. } => {
                let path = [path, b"/"].concat();
                self.append(&path, Item::Folder, io::empty())
                    .map_err(writing)
            }
            Entry::Link { target } => self
                .append(path, Item::Link(target), io::empty())
                .map_err(writing),
            Entry::File {
                id,
                size,
                executable,
            } => {
                let item = Item::File {
                    size,
                    mode: if executable { 0o755 } else { 0o644 },
                };
                if size <= STREAMED {
                    let blob = store.repository().find_blob(id)?;
                    return self.append(path, item, blob.content()).map_err(writing);
                }
                let mut reader = BlobReader::start(store.place(), id, &self.tasks)?;
                self.append(path, item, &mut reader).map_err(writing)
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Item<'a> {
    Folder,
    File { size: u64, mode: u32 },
    Link(&'a [u8]),
}

impl TarWriter {
    fn append(&mut self, path: &[u8], item: Item<'_>, content: impl Read) -> io::Result<()> {
        let (kind, mode, size) = match item {
            Item::Folder => (EntryType::Directory, 0o755, 0),
            Item::File { size, mode } => (EntryType::Regular, mode, size),
            Item::Link(_) => (EntryType::Symlink, 0o777, 0),
        };
        let mut header = self.header(kind, mode, size);
        let path = [self.prefix.as_slice(), path].concat();
        if !fill(&mut header.as_old_mut().name, &path) {
            self.append_long(EntryType::GNULongName, &path)?;
        }
        if let Item::Link(target) = item
            && !fill(&mut header.as_old_mut().linkname, target)
        {
            self.append_long(EntryType::GNULongLink, target)?;
        }
        header.set_cksum();
        let mut content = Counted { content, count: 0 };
        self.builder.append(&header, &mut content)?;
        if content.count != size {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!(
                    "{} has another size than git says",
                    String::from_utf8_lossy(&path)
                ),
            ));
        }
        Ok(())
    }

    /// A path or target that has no room in the header goes before it, GNU's way.
    fn append_long(&mut self, kind: EntryType, text: &[u8]) -> io::Result<()> {
        let text = [text, b"\0"].concat();
        let mut header = self.header(kind, 0o644, text.len() as u64);
        fill(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_cksum();
        self.builder.append(&header, text.as_slice())
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header
    }

    fn finish(mut self, extra: &[ExtraFile]) -> io::Result<()> {
        for file in extra {
            let item = Item::File {
                size: file.bytes.len() as u64,
                mode: file.mode & 0o777,
            };
            self.append(file.path.as_bytes(), item, file.bytes.as_slice())?;
        }
        self.builder.into_inner()?.flush()
    }
}

/// Copies text into a header field; false if it is too long.
fn fill(field: &mut [u8], text: &[u8]) -> bool {
    match field.get_mut(..text.len()) {
        Some(start) => {
            start.copy_from_slice(text);
            true
        }
        None => false,
    }
}

struct Counted<R> {
    content: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

/// Collects bytes to chunks and waits while the reader is slow.
struct Chunks {
    buffer: BytesMut,
    sender: Sender,
}

impl Chunks {
    fn new(sender: Sender) -> Self {
        Self {
            buffer: BytesMut::with_capacity(CHUNK),
            sender,
        }
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK - self.buffer.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.buffer.extend_from_slice(taken);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = self.buffer.split().freeze();
        self.buffer.reserve(CHUNK);
        self.sender
            .blocking_send(Ok(chunk))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// A large file, read from a git that streams it.
struct BlobReader {
    // Dropped with the reader, which stops git.
    process: Process,
    stdout: ChildStdout,
    runtime: Handle,
}

impl BlobReader {
    fn start(place: &Place, id: Oid, tasks: &TaskTracker) -> Result<Self, GitError> {
        let objects = place.repo.join("objects");
        let own = place.quarantine.as_deref().unwrap_or(Path::new(&objects));
        let git = Git::new(&place.repo, tasks, "read a large file", "cat-file")
            .in_repo(&place.repo)
            .env("GIT_OBJECT_DIRECTORY", own)
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", &objects)
            .arg("blob")
            .arg(id.to_string());
        let runtime = Handle::current();
        let _guard = runtime.enter();
        let mut process = git.start(Stdio::null())?;
        let stdout = process.child().ok().and_then(|child| {
            // A full pipe of complaints would hold git up; the size tells what is wrong.
            child.stderr = None;
            child.stdout.take()
        });
        Ok(Self {
            stdout: stdout.ok_or_else(|| git.failed("a pipe is missing"))?,
            process,
            runtime: runtime.clone(),
        })
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.runtime.block_on(self.stdout.read(buffer))?;
        if count == 0
            && let Ok(child) = self.process.child()
        {
            let status = self.runtime.block_on(child.wait())?;
            self.process.ended();
            if !status.success() {
                return Err(io::Error::other("git could not read a large file"));
            }
        }
        Ok(count)
    }
}
