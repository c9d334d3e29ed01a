//! How many connections there may be, in all and from one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts connections.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    total: usize,
    per_address: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    address: IpAddr,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Limits {
    pub(crate) fn new(total: usize, per_address: usize) -> Self {
        Self {
            total,
            per_address,
            open: Arc::default(),
        }
    }

    /// A place for a connection from there, if there is one left.
    pub(crate) fn take(&self, source: IpAddr) -> Option<Place> {
        let address = network(source);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let here = open.get(&address).copied().unwrap_or(0);
        let everywhere: usize = open.values().sum();
        if here >= self.per_address || everywhere >= self.total {
            return None;
        }
        open.insert(address, here + 1);
        drop(open);
        Some(Place {
            address,
            open: Arc::clone(&self.open),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

/// One host usually owns a whole IPv6 /64, and may come from a new address each time.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_given_back() {
        let limits = Limits::new(3, 2);
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let first = limits.take(one).unwrap();
        let _second = limits.take("::ffff:192.0.2.1".parse().unwrap()).unwrap();
        assert!(limits.take(one).is_none());
        let _other = limits.take("2001:db8::1".parse().unwrap()).unwrap();
        assert!(limits.take("2001:db8:1::1".parse().unwrap()).is_none());
        drop(first);
        let _again = limits.take(one).unwrap();
        assert!(limits.take(one).is_none());
    }

    #[test]
    fn an_ipv6_host_is_its_network() {
        let limits = Limits::new(9, 1);
        let _first = limits.take("2001:db8::1".parse().unwrap()).unwrap();
        assert!(limits.take("2001:db8::2".parse().unwrap()).is_none());
        assert!(limits.take("2001:db8:0:1::1".parse().unwrap()).is_some());
    }
}
