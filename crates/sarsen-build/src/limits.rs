//! How long a build may go on: until it is cancelled, silent for too long, or too long altogether.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt;
use sarsen_runtime::EngineStream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{BuildError, BuildSettings};

/// The limits of one build, counted from its start.
pub(crate) struct Limits {
    cancel: CancellationToken,
    silence: Duration,
    total: Duration,
    deadline: Instant,
}

impl Limits {
    /// The clock runs from here.
    pub(crate) fn new(settings: &BuildSettings, cancel: &CancellationToken) -> Self {
        Self {
            cancel: cancel.clone(),
            silence: settings.silence_limit,
            total: settings.time_limit,
            deadline: Instant::now() + settings.time_limit,
        }
    }

    /// Runs something that prints nothing until it is done.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, BuildError> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(BuildError::Cancelled),
            () = sleep_until(self.deadline) => Err(BuildError::TooLong(self.total)),
            done = work => Ok(done),
        }
    }

    /// The next item of what a build prints.
    pub(crate) async fn next<T>(
        &self,
        stream: &mut EngineStream<T>,
    ) -> Result<Option<T>, BuildError> {
        let silence = tokio::time::timeout(self.silence, stream.next());
        match self.run(silence).await? {
            Ok(Some(item)) => Ok(Some(item?)),
            Ok(None) => Ok(None),
            Err(_) => Err(BuildError::Silent(self.silence)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::stream;

    fn limits(silence: u64, total: u64, cancel: &CancellationToken) -> Limits {
        let settings = BuildSettings {
            silence_limit: Duration::from_secs(silence),
            time_limit: Duration::from_secs(total),
            ..BuildSettings::default()
        };
        Limits::new(&settings, cancel)
    }

    #[tokio::test(start_paused = true)]
    async fn each_limit_has_its_own_error() {
        let cancel = CancellationToken::new();
        let mut mute: EngineStream<Bytes> = Box::pin(stream::pending());
        let silent = limits(130, 600, &cancel).next(&mut mute).await.unwrap_err();
        assert_eq!(
            silent.to_string(),
            "The build was stopped: it printed nothing for 2 minutes"
        );
        let long = limits(900, 30, &cancel).next(&mut mute).await.unwrap_err();
        assert_eq!(
            long.to_string(),
            "The build was stopped: it took longer than 30 seconds"
        );
        let limits = limits(900, 900, &cancel);
        cancel.cancel();
        let cancelled = limits.next(&mut mute).await.unwrap_err();
        assert!(matches!(cancelled, BuildError::Cancelled));
    }
}
