//! Who has connected and has not asked for anything yet: whoever closes the door waits for them.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// From the connection to the first command it is a quarter of a second over a slow line. Whoever takes longer, or has
/// nothing to ask, is not waited for.
const PATIENCE: Duration = Duration::from_secs(3);

/// The logins under way at one door. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Logins {
    closed: CancellationToken,
    under_way: TaskTracker,
}

impl Logins {
    /// Lets nobody in any more. Whoever comes now waits in the queue of the socket, for as long as that is open somewhere.
    pub fn close(&self) {
        self.closed.cancel();
        self.under_way.close();
    }

    /// Waits until those who have come have asked for their first command.
    pub async fn settled(&self) {
        if timeout(PATIENCE, self.under_way.wait()).await.is_err() {
            let left = self.under_way.len();
            tracing::debug!("{left} ssh connections have asked for nothing in {PATIENCE:?}");
        }
    }

    /// Counts until it is dropped.
    pub(crate) fn begin(&self) -> TaskTrackerToken {
        self.under_way.token()
    }

    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }
}
