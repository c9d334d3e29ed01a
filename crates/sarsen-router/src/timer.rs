//! A timer for deadlines that mostly move on before they come.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep};

/// Moving the deadline further away costs nothing: the sleep is armed anew only when it ends too early.
#[derive(Debug, Default)]
pub(crate) struct LazyTimer(Option<Pin<Box<Sleep>>>);

impl LazyTimer {
    /// Ready when `deadline` is over; else wakes the task then, or earlier.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        if sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deadlines_may_move_both_ways() {
        let start = Instant::now();
        let mut timer = LazyTimer::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        let pending = poll_fn(|cx| Poll::Ready(timer.poll(cx, at(10)).is_pending())).await;
        assert!(pending);
        poll_fn(|cx| timer.poll(cx, at(5))).await;
        assert_eq!(start.elapsed().as_secs(), 5);
        poll_fn(|cx| timer.poll(cx, at(30))).await;
        assert_eq!(start.elapsed().as_secs(), 30);
    }
}
