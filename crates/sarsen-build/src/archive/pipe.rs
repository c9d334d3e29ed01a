//! Joins the tar library, which blocks, to streams, which don't.

use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sarsen_git::SourceTree;
use sarsen_runtime::{EngineStream, RuntimeError};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Rewrite;
use crate::BuildError;

const CHUNK: usize = 64 * 1024;

/// Where an archive comes from.
pub(crate) enum Input {
    Stream(EngineStream<Bytes>),
    /// A file, or a decoder over one.
    Reader(Box<dyn Read + Send>),
}

impl Input {
    /// All files of a commit.
    pub(crate) fn source(source: &SourceTree) -> Self {
        let chunks = source
            .tar()
            .map(|chunk| chunk.map_err(|error| RuntimeError::Engine(error.to_string())));
        Self::Stream(Box::pin(chunks))
    }
}

/// An archive after the rewriting.
pub(crate) struct Rewritten {
    /// The tar; ends with an error when the archive was refused, so that nothing takes a part for the whole.
    pub(crate) stream: EngineStream<Bytes>,
    /// What went wrong, in our words: whoever consumes the stream reports it in theirs.
    pub(crate) failure: Failure,
}

/// The first thing that went wrong in a rewriting.
#[derive(Clone, Default)]
pub(crate) struct Failure(Arc<OnceLock<(io::ErrorKind, String)>>);

impl Failure {
    /// The failure, when there was one.
    pub(crate) fn check(&self) -> Result<(), BuildError> {
        match self.0.get() {
            None => Ok(()),
            Some((io::ErrorKind::InvalidData, text)) => Err(BuildError::Archive(text.clone())),
            Some((_, text)) => Err(BuildError::Source(text.clone())),
        }
    }
}

/// Starts the rewriting on a thread of its own; it goes on as fast as the result is read, and stops when the result
/// is dropped.
pub(crate) fn rewrite(input: Input, rewrite: Rewrite) -> Rewritten {
    let (chunks, received) = mpsc::channel(8);
    let stop = CancellationToken::new();
    let failure = Failure::default();
    let noted = failure.clone();
    let reader: Box<dyn Read + Send> = match input {
        Input::Reader(reader) => reader,
        Input::Stream(input) => Box::new(StreamReader {
            input,
            current: Bytes::new(),
            handle: Handle::current(),
            stop: stop.clone(),
        }),
    };
    let work = tokio::task::spawn_blocking(move || {
        let writer = io::BufWriter::with_capacity(CHUNK, ChannelWriter(chunks));
        let done = rewrite.run(io::BufReader::with_capacity(CHUNK, reader), writer);
        if let Err(error) = &done
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            // Only the first one counts, and this is the only writer.
            noted.0.get_or_init(|| (error.kind(), error.to_string()));
        }
        done
    });
    let state = Consumer {
        received,
        work: Some(work),
        _stop: stop.drop_guard(),
    };
    let stream = stream::unfold(state, |mut state| async move {
        let item = state.next().await?;
        Some((item, state))
    });
    Rewritten {
        stream: Box::pin(stream),
        failure,
    }
}

struct Consumer {
    received: mpsc::Receiver<Bytes>,
    work: Option<JoinHandle<io::Result<()>>>,
    _stop: DropGuard,
}

impl Consumer {
    async fn next(&mut self) -> Option<Result<Bytes, RuntimeError>> {
        if let Some(chunk) = self.received.recv().await {
            return Some(Ok(chunk));
        }
        let error = match self.work.take()?.await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        Some(Err(RuntimeError::Engine(error)))
    }
}

struct StreamReader {
    input: EngineStream<Bytes>,
    current: Bytes,
    handle: Handle,
    stop: CancellationToken,
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            let (input, stop) = (&mut self.input, &self.stop);
            let next = self.handle.block_on(async {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => Some(Err(io::ErrorKind::BrokenPipe.into())),
                    item = input.next() => item.map(|item| item.map_err(io::Error::other)),
                }
            });
            match next {
                None => return Ok(0),
                Some(chunk) => self.current = chunk?,
            }
        }
        let count = buffer.len().min(self.current.len());
        let taken = self.current.split_to(count);
        if let Some(target) = buffer.get_mut(..count) {
            target.copy_from_slice(&taken);
        }
        Ok(count)
    }
}

struct ChannelWriter(mpsc::Sender<Bytes>);

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Bytes::copy_from_slice(bytes))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
