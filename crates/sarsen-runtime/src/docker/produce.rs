//! A stream whose items come from one piece of work, which is dropped with the stream.

use futures_util::{StreamExt, future, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{EngineStream, Result};

/// Items that may wait for a slow reader.
const WAITING: usize = 16;

/// Where the work puts its items.
pub(super) struct Output<T>(mpsc::Sender<Result<T>>);

impl<T> Output<T> {
    /// Waits for the reader when it is behind.
    pub(super) async fn send(&self, item: T) {
        // The reader is never gone here: it owns the work that speaks.
        self.0.send(Ok(item)).await.ok();
    }
}

/// The work runs inside the stream: it goes on while the stream is read, and ends when it is dropped. An error is
/// the last item.
pub(super) fn produce<T, W>(work: impl FnOnce(Output<T>) -> W) -> EngineStream<T>
where
    T: Send + 'static,
    W: Future<Output = Result<()>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    let work = work(Output(sender.clone()));
    let work = async move {
        if let Err(error) = work.await {
            sender.send(Err(error)).await.ok();
        }
    };
    let work = stream::once(work).map(|()| None);
    let items = ReceiverStream::new(receiver).map(Some);
    Box::pin(stream::select(items, work).filter_map(future::ready))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RuntimeError;

    #[tokio::test]
    async fn items_come_in_order_and_the_error_last() {
        let stream = produce(|out| async move {
            for number in 0..100 {
                out.send(number).await;
            }
            Err(RuntimeError::Engine("enough".to_owned()))
        });
        let items: Vec<Result<i32>> = stream.collect().await;
        assert_eq!(items.len(), 101);
        let numbers: Vec<i32> = items.iter().flatten().copied().collect();
        assert!(numbers.iter().copied().eq(0..100));
        assert!(items[100].is_err());
    }

    #[tokio::test]
    async fn dropping_the_stream_drops_the_work() {
        struct Held(tokio::sync::oneshot::Sender<()>);
        let (sender, dropped) = tokio::sync::oneshot::channel();
        let held = Held(sender);
        let mut stream = produce(|out| async move {
            out.send(1).await;
            future::pending::<()>().await;
            drop(held.0);
            Ok(())
        });
        assert!(stream.next().await.is_some());
        drop(stream);
        assert!(dropped.await.is_err());
    }
}
