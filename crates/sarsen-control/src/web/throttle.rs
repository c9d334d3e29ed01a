//! Wrong secrets: whoever shows too many waits.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many from one address, and from all together, within [`WINDOW`].
const PER_ADDRESS: u32 = 10;
const OVERALL: u32 = 300;
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// Addresses that are remembered.
const REMEMBERED: usize = 4096;

/// Counts wrong secrets by address. Callers without one are counted together.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<Option<IpAddr>, Count>>);

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Instant,
    wrong: u32,
}

impl Throttle {
    /// Whether this address must wait.
    pub(crate) fn is_closed(&self, source: Option<IpAddr>, now: Instant) -> bool {
        let fresh = |count: &&Count| now.duration_since(count.since) < WINDOW;
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = counts
            .get(&source)
            .filter(fresh)
            .map_or(0, |count| count.wrong);
        let all: u32 = counts.values().filter(fresh).map(|count| count.wrong).sum();
        drop(counts);
        own >= PER_ADDRESS || all >= OVERALL
    }

    /// One more wrong secret.
    pub(crate) fn wrong(&self, source: Option<IpAddr>, now: Instant) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= REMEMBERED {
            counts.retain(|_, count| now.duration_since(count.since) < WINDOW);
        }
        if counts.len() >= REMEMBERED && !counts.contains_key(&source) {
            // So many addresses have closed the door for all anyhow.
            return;
        }
        let count = counts.entry(source).or_insert(Count {
            since: now,
            wrong: 0,
        });
        if now.duration_since(count.since) >= WINDOW {
            *count = Count {
                since: now,
                wrong: 0,
            };
        }
        count.wrong += 1;
        drop(counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_ones_close_the_door_for_a_while() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let (one, two) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        for _ in 0..PER_ADDRESS {
            assert!(!throttle.is_closed(one, start));
            throttle.wrong(one, start);
        }
        assert!(throttle.is_closed(one, start) && !throttle.is_closed(two, start));
        assert!(!throttle.is_closed(one, start + WINDOW));
        for last in 0..=255 {
            for _ in 0..2 {
                throttle.wrong(Some([198, 51, 100, last].into()), start);
            }
        }
        assert!(throttle.is_closed(two, start), "from everywhere at once");
    }
}
