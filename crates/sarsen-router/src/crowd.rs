//! How many connections each address has: a single one must not take all the places.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::policy::household;

/// All that are counted now.
#[derive(Debug)]
pub(crate) struct Crowd {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
    refused: AtomicU64,
}

/// A connection that is counted for as long as this lives.
#[derive(Debug)]
pub(crate) struct Guest {
    crowd: Arc<Crowd>,
    household: IpAddr,
}

impl Crowd {
    /// At most so many of each.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            counts: Mutex::default(),
            refused: AtomicU64::new(0),
        })
    }

    /// Counts a connection in, unless its address has as many as it may have.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Guest> {
        let household = household(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(household).or_default();
        if *count >= self.most {
            drop(counts);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Guest {
            crowd: Arc::clone(self),
            household,
        })
    }

    fn leave(&self, household: IpAddr) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = counts.entry(household) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// How many were turned away.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.crowd.leave(self.household);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_bound_and_nobody_is_remembered() {
        let crowd = Crowd::new(2);
        let [one, next_door, other, v4]: [IpAddr; 4] = [
            "2001:db8::1",
            "2001:db8::2",
            "2001:db8:1::1",
            "::ffff:10.0.0.1",
        ]
        .map(|ip| ip.parse().unwrap());
        let first = crowd.enter(one).unwrap();
        let _second = crowd.enter(next_door).unwrap();
        assert!(crowd.enter(one).is_none());
        assert_eq!(crowd.refused(), 1);
        let _third = crowd.enter(other).unwrap();
        let _fourth = crowd.enter(v4).unwrap();
        drop(first);
        let fifth = crowd.enter(one);
        assert!(fifth.is_some() && crowd.enter("2001:db8::3".parse().unwrap()).is_none());
        drop((fifth, _second, _third, _fourth));
        assert!(crowd.counts.lock().unwrap().is_empty());
    }
}
