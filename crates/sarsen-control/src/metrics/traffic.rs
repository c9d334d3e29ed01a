//! The requests between two looks at the router's counters.

use sarsen_router::{AppStats, LATENCY_MS};
use sarsen_store::Traffic;

/// What happened in a while.
#[derive(Debug, Clone, Default)]
pub(super) struct Window {
    by_class: [u64; 5],
    errors: u64,
    bytes: u64,
    latency: [u64; LATENCY_MS.len() + 1],
    in_flight: u64,
}

impl Window {
    /// What the counters say; an app that was made anew under its name begins at zero.
    pub(super) fn between(before: Option<&AppStats>, after: &AppStats) -> Self {
        let before = before.filter(|before| before.requests <= after.requests);
        let mut window = Self {
            by_class: after.by_class,
            errors: after.errors,
            bytes: after.bytes,
            latency: after.latency,
            in_flight: after.in_flight as u64,
        };
        if let Some(before) = before {
            subtract(&mut window.by_class, &before.by_class);
            subtract(&mut window.latency, &before.latency);
            window.errors = window.errors.saturating_sub(before.errors);
            window.bytes = window.bytes.saturating_sub(before.bytes);
        }
        window
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight == 0 && self.by_class.iter().all(|count| *count == 0)
    }

    pub(super) fn add(&mut self, more: &Self) {
        for (own, more) in self.by_class.iter_mut().zip(more.by_class) {
            *own += more;
        }
        for (own, more) in self.latency.iter_mut().zip(more.latency) {
            *own += more;
        }
        self.errors += more.errors;
        self.bytes += more.bytes;
        self.in_flight = more.in_flight;
    }

    pub(super) fn row(&self, at: i64) -> Traffic {
        Traffic {
            at,
            by_class: self.by_class,
            errors: self.errors,
            bytes: self.bytes,
            p50_ms: quantile(&self.latency, 0.5),
            p95_ms: quantile(&self.latency, 0.95),
            in_flight: self.in_flight,
        }
    }
}

fn subtract(from: &mut [u64], what: &[u64]) {
    for (from, what) in from.iter_mut().zip(what) {
        *from = from.saturating_sub(*what);
    }
}

/// The time that this part of the requests took at most, taken as evenly spread within each class.
#[expect(
    clippy::cast_precision_loss,
    reason = "an estimate within a class; counts are far below 2^52"
)]
fn quantile(latency: &[u64; LATENCY_MS.len() + 1], part: f64) -> f64 {
    let total: u64 = latency.iter().sum();
    let rank = total as f64 * part;
    let (mut below, mut start) = (0.0, 0.0);
    for (count, end) in latency.iter().zip(LATENCY_MS) {
        let (count, end) = (*count as f64, end as f64);
        if count > 0.0 && below + count >= rank {
            return start + (end - start) * ((rank - below) / count).clamp(0.0, 1.0);
        }
        below += count;
        start = end;
    }
    // Slower than the last class says how slow.
    if total == 0 { 0.0 } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_class() {
        let mut latency = [0; LATENCY_MS.len() + 1];
        assert!(quantile(&latency, 0.5).abs() < 1e-9);
        latency[4] = 90; // 10 to 25 ms
        latency[9] = 10; // 500 to 1000 ms
        let (p50, p95) = (quantile(&latency, 0.5), quantile(&latency, 0.95));
        assert!((10.0..25.0).contains(&p50), "{p50}");
        assert!((500.0..1000.0).contains(&p95), "{p95}");
        let slow = std::array::from_fn(|n| u64::from(n == LATENCY_MS.len()));
        assert!((quantile(&slow, 0.5) - 60_000.0).abs() < 1e-9);
    }
}
