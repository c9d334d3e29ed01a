//! Requests per second and client: how many may come, and who has come how often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Clients that are remembered at once per app. Beyond it those are forgotten first who could come again anyway.
const MAX_CLIENTS: usize = 16 * 1024;

/// How many requests a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The time between two requests of a steady client.
    pub interval: Duration,
    /// So many may come at once after a pause; at least 1.
    pub burst: u32,
}

/// Who has come how often.
#[derive(Debug)]
pub(crate) struct RateBook {
    start: Instant,
    // When a client that stopped now would be as if it had never come.
    clear_at: Mutex<HashMap<IpAddr, Duration>>,
}

impl Rate {
    /// So many requests a second.
    pub fn per_second(requests: u32, burst: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / requests.max(1),
            burst: burst.max(1),
        }
    }
}

impl Default for RateBook {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            clear_at: Mutex::default(),
        }
    }
}

impl RateBook {
    /// Counts a request in; else says how long to wait.
    pub(crate) fn take(&self, rate: Rate, client: IpAddr) -> Result<(), Duration> {
        self.take_at(rate, client, self.start.elapsed())
    }

    fn take_at(&self, rate: Rate, client: IpAddr, now: Duration) -> Result<(), Duration> {
        let mut book = self.clear_at.lock().unwrap_or_else(PoisonError::into_inner);
        let client = household(client);
        let clear = book.get(&client).copied().unwrap_or_default().max(now) + rate.interval;
        let allowed = now + rate.interval * rate.burst;
        if clear > allowed {
            return Err(clear - allowed);
        }
        if book.len() >= MAX_CLIENTS && !book.contains_key(&client) {
            make_room(&mut book, now);
        }
        book.insert(client, clear);
        drop(book);
        Ok(())
    }
}

fn make_room(book: &mut HashMap<IpAddr, Duration>, now: Duration) {
    book.retain(|_, clear| *clear > now);
    if book.len() >= MAX_CLIENTS {
        let mut odd = false;
        book.retain(|_, _| {
            odd = !odd;
            odd
        });
    }
}

/// One customer has a whole /64 of IPv6.
pub(crate) fn household(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[test]
    fn a_burst_passes_and_then_the_pace_is_kept() {
        let (book, rate) = (RateBook::default(), Rate::per_second(10, 3));
        let at = Duration::from_millis;
        for _ in 0..3 {
            assert_eq!(book.take_at(rate, IP, at(0)), Ok(()));
        }
        assert_eq!(book.take_at(rate, IP, at(0)), Err(at(100)));
        assert_eq!(book.take_at(rate, IP, at(40)), Err(at(60)));
        assert_eq!(book.take_at(rate, IP, at(100)), Ok(()));
        assert!(book.take_at(rate, IP, at(100)).is_err());
        for _ in 0..3 {
            assert_eq!(book.take_at(rate, IP, at(5000)), Ok(()));
        }
        let other = "10.0.0.2".parse().unwrap();
        assert_eq!(book.take_at(rate, other, at(0)), Ok(()));
    }

    #[test]
    fn the_book_does_not_grow_for_ever_and_a_household_counts_once() {
        let (book, rate) = (RateBook::default(), Rate::per_second(1, 1));
        for n in 0..(3 * MAX_CLIENTS as u32) {
            let client = IpAddr::V4(n.into());
            book.take_at(rate, client, Duration::ZERO).unwrap();
        }
        assert!(book.clear_at.lock().unwrap().len() <= MAX_CLIENTS);
        let (one, two) = ("fd00::1".parse().unwrap(), "fd00::2:2".parse().unwrap());
        assert_eq!(household(one), household(two));
        assert_ne!(household(one), household("fd00:0:0:1::1".parse().unwrap()));
    }
}
