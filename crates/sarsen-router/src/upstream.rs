//! What outlives a swap of the table: containers with requests in flight, and their pooled connections.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::link::Link;
use crate::table::PortKind;
use crate::workers;

/// How long an upstream that refused a connection is passed over while others are left.
const QUARANTINE: Duration = Duration::from_secs(5);

/// One container, whatever ports it listens on.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    active: AtomicUsize,
    // How many of the active ones are tunnels.
    tunnels: AtomicUsize,
    retired: AtomicBool,
    // What its going cost: requests that were lost, and ones that had to go elsewhere.
    lost: AtomicUsize,
    missed: AtomicUsize,
    quiet: Notify,
    /// Cancelled when the patience with this container's tunnels is over.
    pub(crate) cut: CancellationToken,
}

/// One port of one container.
#[derive(Debug)]
pub(crate) struct UpstreamState {
    /// The row of the store that the container was started for.
    pub(crate) id: i64,
    pub(crate) address: SocketAddr,
    pub(crate) kind: PortKind,
    pub(crate) dyno: String,
    pub(crate) instance: Arc<Instance>,
    // One per thread that serves connections.
    pools: Vec<Mutex<Pool>>,
    // Milliseconds after `epoch`; 0 when it never refused.
    refused_until: AtomicU64,
    // Failures since the last success.
    failures: AtomicU32,
    epoch: Instant,
}

// Boxed, because links are large and come and go.
type Pool = Vec<Box<Link>>;

/// A request under way at a container; counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Instance>);

/// A request that became a tunnel.
#[derive(Debug)]
pub(crate) struct TunnelInFlight(InFlight);

// ===== impl Instance =====

impl Instance {
    /// Counts a request in, unless the container left the table.
    ///
    /// Both this and [`Self::retire`] write before they read, in one total order: either this sees the retirement,
    /// or whoever drains after it sees the request.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<InFlight> {
        self.active.fetch_add(1, Ordering::SeqCst);
        let guard = InFlight(Arc::clone(self));
        (!self.retired.load(Ordering::SeqCst)).then_some(guard)
    }

    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
    }

    /// A request was not completed here for a reason that the container's going can be.
    pub(crate) fn lose(&self) {
        if self.is_retired() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A request was not taken here, and goes to another container.
    pub(crate) fn miss(&self) {
        if self.is_retired() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests lost to its going.
    pub(crate) fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }

    /// Requests that its going sent elsewhere.
    pub(crate) fn missed(&self) -> usize {
        self.missed.load(Ordering::Relaxed)
    }

    pub(crate) fn revive(&self) {
        self.retired.store(false, Ordering::SeqCst);
    }

    /// Closes all tunnels to this container; returns how many there were.
    pub(crate) fn cut_tunnels(&self) -> usize {
        let tunnels = self.tunnels.load(Ordering::SeqCst);
        self.cut.cancel();
        tunnels
    }

    /// Waits until nothing is under way here.
    pub(crate) async fn quiet(&self) {
        loop {
            let notified = self.quiet.notified();
            tokio::pin!(notified);
            // Registered before the look at the count, so that a request ending in between is not missed.
            notified.as_mut().enable();
            if self.active() == 0 {
                return;
            }
            notified.await;
        }
    }
}

// ===== impl UpstreamState =====

impl UpstreamState {
    pub(crate) fn new(
        id: i64,
        (address, kind): (SocketAddr, PortKind),
        dyno: String,
        instance: Arc<Instance>,
    ) -> Self {
        Self {
            id,
            address,
            kind,
            dyno,
            instance,
            pools: (0..workers::count()).map(|_| Mutex::default()).collect(),
            refused_until: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            epoch: Instant::now(),
        }
    }

    /// An idle connection that looks alive and rested for no longer than `max_rest`.
    ///
    /// Mostly one that belongs to this thread. Those of the others are taken while nothing else is under way at the
    /// container: it may be one that serves a single connection at a time.
    pub(crate) fn take_link(&self, max_rest: Duration) -> Option<Box<Link>> {
        let own = workers::current();
        take(self.pools.get(own)?, max_rest).or_else(|| {
            let is_alone = self.instance.active() <= 1;
            let others = self.pools.iter().enumerate().filter(|(n, _)| *n != own);
            is_alone
                .then_some(others)?
                .find_map(|(_, pool)| take(pool, max_rest))
        })
    }

    /// Keeps a connection that is ready for another request.
    pub(crate) fn keep_link(&self, mut link: Box<Link>, limit: usize) {
        if self.instance.is_retired() || !link.park() {
            return;
        }
        let Some(pool) = self.pools.get(link.home) else {
            return;
        };
        let mut pool = lock(pool);
        if pool.len() < limit {
            pool.push(link);
        }
        drop(pool);
        // Retired in between: nobody would come for it any more.
        if self.instance.is_retired() {
            self.clear();
        }
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        for pool in &self.pools {
            let links = std::mem::take(&mut *lock(pool));
            drop(links);
        }
    }

    /// Closes the idle connections that rested too long or that the upstream closed.
    pub(crate) fn sweep(&self, max_rest: Duration) {
        for pool in &self.pools {
            lock(pool).retain_mut(|link| link.rested() <= max_rest && link.is_alive());
        }
    }

    pub(crate) fn refused(&self) {
        self.rest_for(QUARANTINE);
    }

    /// Passes this one over for a while; never shortens a rest.
    pub(crate) fn rest_for(&self, rest: Duration) {
        let until = millis(self.epoch.elapsed() + rest);
        self.refused_until.fetch_max(until, Ordering::Relaxed);
    }

    /// How long this one has been in the table.
    pub(crate) fn age(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// One more failure; how many there are in a row.
    pub(crate) fn count_failure(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A request was answered.
    pub(crate) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_quarantined(&self) -> bool {
        let until = self.refused_until.load(Ordering::Relaxed);
        until != 0 && millis(self.epoch.elapsed()) < until
    }

    pub(crate) fn accepted(&self) {
        self.refused_until.store(0, Ordering::Relaxed);
    }
}

fn take(pool: &Mutex<Pool>, max_rest: Duration) -> Option<Box<Link>> {
    loop {
        let mut link = lock(pool).pop()?;
        if link.rested() > max_rest {
            // The others rested longer.
            return None;
        }
        if link.is_alive() {
            return Some(link);
        }
    }
}

fn lock(pool: &Mutex<Pool>) -> MutexGuard<'_, Pool> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

// ===== impl InFlight =====

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.active.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.quiet.notify_waiters();
        }
    }
}

impl InFlight {
    /// The request's connection is now a tunnel.
    pub(crate) fn into_tunnel(self) -> TunnelInFlight {
        self.0.tunnels.fetch_add(1, Ordering::SeqCst);
        TunnelInFlight(self)
    }
}

impl TunnelInFlight {
    /// Cancelled when this tunnel shall end.
    pub(crate) fn cut(&self) -> CancellationToken {
        self.0.0.cut.clone()
    }
}

impl Drop for TunnelInFlight {
    fn drop(&mut self) {
        self.0.0.tunnels.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_going_costs_is_counted() {
        let instance = Instance::default();
        instance.lose();
        instance.miss();
        assert_eq!(
            (instance.lost(), instance.missed()),
            (0, 0),
            "it serves still"
        );
        instance.retire();
        instance.lose();
        instance.miss();
        assert_eq!((instance.lost(), instance.missed()), (1, 1));
    }

    #[tokio::test]
    async fn a_retired_instance_lets_nobody_in_and_becomes_quiet() {
        let instance = Arc::new(Instance::default());
        let first = instance.enter().unwrap();
        instance.retire();
        assert!(instance.enter().is_none());
        assert_eq!(instance.active(), 1);
        let waiting = instance.quiet();
        tokio::pin!(waiting);
        assert!(futures_pending(waiting.as_mut()).await);
        drop(first);
        waiting.await;
        instance.revive();
        assert!(instance.enter().is_some());
    }

    async fn futures_pending(future: std::pin::Pin<&mut impl Future>) -> bool {
        let mut future = Some(future);
        std::future::poll_fn(|cx| {
            let pending = future.take().is_some_and(|f| f.poll(cx).is_pending());
            std::task::Poll::Ready(pending)
        })
        .await
    }
}
