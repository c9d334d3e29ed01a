//! The build context: a stream that is sent to the engine, once or again.

use std::io::{self, SeekFrom};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::archive::Fault;
use crate::{EngineStream, Result, RuntimeError};

/// How much is read back from the disk at once.
const PIECE: usize = 64 * 1024;

/// What is to be sent. One pass follows the other, never two at a time.
pub(super) struct Context {
    source: Arc<Mutex<Source>>,
    fault: Fault,
}

/// The context being sent; sending ends when this is dropped.
pub(super) struct Pass {
    source: Arc<Mutex<Source>>,
    fault: Fault,
    over: CancellationToken,
    _ends: DropGuard,
}

struct Source {
    live: std::pin::Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
    /// What has been sent already, when it may be needed again: a file without a name.
    kept: Option<File>,
}

/// Where a pass is.
#[derive(Clone, Copy)]
enum Position {
    Start,
    Kept,
    Live,
    End,
}

impl Context {
    /// For one pass.
    pub(super) fn once(context: EngineStream<Bytes>) -> Self {
        Self::new(context, None)
    }

    /// For any number of passes: what is sent is kept on disk meanwhile, contexts being too large for memory.
    pub(super) fn repeatable(context: EngineStream<Bytes>) -> Result<Self> {
        let file = tempfile::tempfile().map_err(|error| {
            RuntimeError::Engine(format!("no temporary file for the build context: {error}"))
        })?;
        Ok(Self::new(context, Some(File::from_std(file))))
    }

    fn new(context: EngineStream<Bytes>, kept: Option<File>) -> Self {
        let fault = Fault::default();
        let live = Box::pin(fault.watch(context));
        Self {
            source: Arc::new(Mutex::new(Source { live, kept })),
            fault,
        }
    }

    /// Begins to send it, from its start.
    pub(super) fn pass(&self) -> Pass {
        let over = CancellationToken::new();
        Pass {
            source: Arc::clone(&self.source),
            fault: self.fault.clone(),
            _ends: over.clone().drop_guard(),
            over,
        }
    }
}

impl Pass {
    /// The bytes. To be called once.
    pub(super) fn stream(&self) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let start = (Arc::clone(&self.source), Position::Start);
        let pieces = stream::unfold(start, |(source, position)| async move {
            let (piece, position) = source.lock().await.next(position).await;
            piece.map(|piece| (piece, (source, position)))
        });
        pieces.take_until(self.over.clone().cancelled_owned())
    }

    /// The context's own error, when it had one.
    pub(super) fn failure(&self) -> Option<RuntimeError> {
        self.fault.take()
    }
}

impl Source {
    async fn next(&mut self, position: Position) -> (Option<io::Result<Bytes>>, Position) {
        match self.advance(position).await {
            Ok((piece, position)) => (piece.map(Ok), position),
            Err(error) => (Some(Err(error)), Position::End),
        }
    }

    async fn advance(&mut self, mut position: Position) -> io::Result<(Option<Bytes>, Position)> {
        if let (Position::Start, Some(kept)) = (position, &mut self.kept) {
            kept.flush().await?;
            kept.seek(SeekFrom::Start(0)).await?;
            position = Position::Kept;
        }
        if let (Position::Kept, Some(kept)) = (position, &mut self.kept) {
            let mut piece = BytesMut::with_capacity(PIECE);
            if kept.read_buf(&mut piece).await? > 0 {
                return Ok((Some(piece.freeze()), Position::Kept));
            }
        }
        if matches!(position, Position::End) {
            return Ok((None, Position::End));
        }
        let piece = self.live.next().await.transpose()?;
        if let (Some(kept), Some(piece)) = (&mut self.kept, &piece) {
            kept.write_all(piece).await?;
        }
        Ok((piece, Position::Live))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(pieces: &[&'static str]) -> EngineStream<Bytes> {
        let pieces: Vec<_> = pieces.iter().map(|text| Ok(Bytes::from(*text))).collect();
        Box::pin(stream::iter(pieces))
    }

    async fn all(pass: &Pass) -> String {
        let pieces: Vec<_> = pass.stream().collect().await;
        let pieces: Vec<u8> = pieces
            .into_iter()
            .flat_map(|piece| piece.unwrap())
            .collect();
        String::from_utf8(pieces).unwrap()
    }

    #[tokio::test]
    async fn a_second_pass_sends_the_same_again() {
        let context = Context::repeatable(source(&["one ", "two ", "three"])).unwrap();
        let first = context.pass();
        let pieces: Vec<_> = first.stream().take(2).collect().await;
        assert_eq!(pieces.len(), 2);
        drop(first);
        assert_eq!(all(&context.pass()).await, "one two three");
        assert_eq!(all(&context.pass()).await, "one two three");
    }

    #[tokio::test]
    async fn a_context_without_a_copy_is_sent_once() {
        let context = Context::once(source(&["one ", "two"]));
        assert_eq!(all(&context.pass()).await, "one two");
    }

    #[tokio::test]
    async fn its_own_error_is_remembered() {
        let broken = RuntimeError::Engine("the archive broke off".to_owned());
        let context = Context::once(Box::pin(stream::iter([Err(broken)])));
        let pass = context.pass();
        let pieces: Vec<_> = pass.stream().collect().await;
        assert!(pieces[0].is_err());
        assert_eq!(pass.failure().unwrap().to_string(), "the archive broke off");
        assert!(pass.failure().is_none());
    }

    #[tokio::test]
    async fn sending_ends_with_the_pass() {
        let context = Context::once(Box::pin(stream::pending()));
        let pass = context.pass();
        let mut sending = Box::pin(pass.stream());
        drop(pass);
        assert!(sending.next().await.is_none());
    }
}
