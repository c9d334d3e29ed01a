//! Log drains: lines of an app on their way to a place that keeps them. A queue of bounded length stands in between: a
//! place that does not take them loses the oldest, and holds up nobody.

mod send;
mod sink;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use send::Senders;
pub use sink::{Codec, Sink, Transport};

/// So many lines wait for a place that is slow.
const QUEUE: usize = 5000;
/// So many are sent at once.
const BATCH: usize = 500;
/// The pause after a failure; it doubles up to the longest.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// A line that an app wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainLine {
    /// RFC 3339, as the engine gives it.
    pub time: String,
    pub app: String,
    /// `web.1`
    pub dyno: String,
    pub text: String,
}

/// How a drain is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrainState {
    pub queued: usize,
    pub sent: u64,
    /// Lines that nobody took in time.
    pub dropped: u64,
    /// What went wrong last; none since a success.
    pub error: Option<String>,
}

/// The queue of one place. Clones are handles on the same one.
#[derive(Debug, Clone, Default)]
pub struct Drain(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<DrainLine>,
    sent: u64,
    dropped: u64,
    /// Dropped since the place was last told, and since when.
    untold: Option<(u64, String)>,
    error: Option<String>,
}

impl Drain {
    /// Adds a line; the oldest goes when there is no room.
    pub fn push(&self, line: DrainLine) {
        let mut state = self.state();
        if state.lines.len() >= QUEUE {
            let oldest = state.lines.pop_front();
            state.dropped += 1;
            let since = oldest.map(|line| line.time).unwrap_or_default();
            match &mut state.untold {
                Some((count, _)) => *count += 1,
                None => state.untold = Some((1, since)),
            }
        }
        state.lines.push_back(line);
        drop(state);
        self.0.filled.notify_one();
    }

    /// How it is doing.
    pub fn state_now(&self) -> DrainState {
        let state = self.state();
        DrainState {
            queued: state.lines.len(),
            sent: state.sent,
            dropped: state.dropped,
            error: state.error.clone(),
        }
    }

    /// Sends lines to the place until told to stop.
    pub async fn run(self, sink: Sink, senders: Senders, stop: CancellationToken) {
        let mut pause = RETRY_MIN;
        let mut connection = senders.open(sink);
        loop {
            let batch = tokio::select! {
                batch = self.next_batch() => batch,
                () = stop.cancelled() => return,
            };
            let sent = tokio::select! {
                sent = connection.send(&batch) => sent,
                () = stop.cancelled() => return,
            };
            match sent {
                Ok(()) => {
                    self.succeeded(batch.len());
                    pause = RETRY_MIN;
                }
                Err(error) => {
                    self.failed(batch, error);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => return,
                    }
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    async fn next_batch(&self) -> Vec<DrainLine> {
        loop {
            let filled = self.0.filled.notified();
            let batch = self.take();
            if !batch.is_empty() {
                return batch;
            }
            filled.await;
        }
    }

    fn take(&self) -> Vec<DrainLine> {
        let mut state = self.state();
        let count = state.lines.len().min(BATCH);
        let mut batch: Vec<_> = state.lines.drain(..count).collect();
        let untold = if count > 0 { state.untold.take() } else { None };
        drop(state);
        if let (Some(first), Some((dropped, since))) = (batch.first(), untold) {
            let text = format!(
                "Error L10 (output buffer overflow): {dropped} messages dropped since {since}."
            );
            let notice = DrainLine {
                dyno: "drain".to_owned(),
                text,
                ..first.clone()
            };
            batch.insert(0, notice);
        }
        batch
    }

    fn succeeded(&self, count: usize) {
        let mut state = self.state();
        state.sent += count as u64;
        state.error = None;
    }

    /// Puts lines back to the front, as far as there is room.
    fn failed(&self, batch: Vec<DrainLine>, error: String) {
        let mut state = self.state();
        state.error = Some(error);
        for line in batch.into_iter().rev() {
            if state.lines.len() < QUEUE {
                state.lines.push_front(line);
            } else {
                state.dropped += 1;
                let time = line.time;
                match &mut state.untold {
                    Some((count, since)) => {
                        *count += 1;
                        *since = time;
                    }
                    None => state.untold = Some((1, time)),
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
