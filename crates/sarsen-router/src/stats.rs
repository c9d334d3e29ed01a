//! Counters: per app, and for what never reached one.

use std::sync::atomic::{AtomicU64, Ordering};

use std::time::Duration;

use http::StatusCode;
use sarsen_domain::AppName;

/// The upper ends of the classes of [`AppStats::latency`], in milliseconds; slower ones are in one class more.
pub const LATENCY_MS: [u64; 15] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000,
];

/// A snapshot of the router's counters since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouterStats {
    /// Per app of the present table, in its order.
    pub apps: Vec<AppStats>,
    /// Clients' connections open now.
    pub connections: usize,
    /// Connections closed at once, because their address had too many.
    pub refused_connections: u64,
    /// Requests for a host that no app answers to.
    pub unknown_host: u64,
    /// Requests refused before an app was looked up.
    pub bad_requests: u64,
    /// Lines of the access log that were dropped because its writer was behind.
    pub log_lines_dropped: u64,
}

/// A snapshot of one app's counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppStats {
    /// The app.
    pub app: AppName,
    /// Requests that ended.
    pub requests: u64,
    /// Of these, by the first digit of the status: 1xx (upgrades), 2xx, 3xx, 4xx, 5xx.
    pub by_class: [u64; 5],
    /// Of these, the ones that the router could not complete, or that the client gave up.
    pub errors: u64,
    /// Of these, the ones that a container failed.
    pub upstream_errors: u64,
    /// Times that a request was given to another container after a first one did not take it.
    pub retries: u64,
    /// Bytes of response bodies, and of tunnels in both directions.
    pub bytes: u64,
    /// Requests that ended, by how long they took: up to [`LATENCY_MS`], and longer. Tunnels are left out.
    pub latency: [u64; LATENCY_MS.len() + 1],
    /// The time that all of these took.
    pub latency_sum: Duration,
    /// Requests and tunnels under way now.
    pub in_flight: usize,
}

/// The counters behind [`AppStats`]; they outlive a swap of the table.
#[derive(Debug, Default)]
pub(crate) struct AppCounters {
    by_class: [AtomicU64; 5],
    errors: AtomicU64,
    upstream_errors: AtomicU64,
    retries: AtomicU64,
    bytes: AtomicU64,
    latency: [AtomicU64; LATENCY_MS.len() + 1],
    latency_micros: AtomicU64,
}

impl AppCounters {
    pub(crate) fn count(&self, status: StatusCode, bytes: u64) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        if let Some(counter) = self.by_class.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn count_error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_upstream_error(&self) {
        self.upstream_errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_retry(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_time(&self, took: Duration) {
        let millis = took.as_micros().div_ceil(1000);
        let class = LATENCY_MS.partition_point(|end| u128::from(*end) < millis);
        if let Some(counter) = self.latency.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency_micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, app: AppName, in_flight: usize) -> AppStats {
        let by_class = self.by_class.each_ref().map(|n| n.load(Ordering::Relaxed));
        AppStats {
            app,
            requests: by_class.iter().sum(),
            by_class,
            errors: self.errors.load(Ordering::Relaxed),
            upstream_errors: self.upstream_errors.load(Ordering::Relaxed),
            retries: self.retries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            latency: self.latency.each_ref().map(|n| n.load(Ordering::Relaxed)),
            latency_sum: Duration::from_micros(self.latency_micros.load(Ordering::Relaxed)),
            in_flight,
        }
    }
}

/// Counters of the router itself.
#[derive(Debug, Default)]
pub(crate) struct RouterCounters {
    pub(crate) unknown_host: AtomicU64,
    pub(crate) bad_requests: AtomicU64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_class() {
        let counters = AppCounters::default();
        for status in [101, 200, 204, 301, 404, 499, 502, 999] {
            counters.count(StatusCode::from_u16(status).unwrap(), 10);
        }
        counters.count_error();
        let stats = counters.snapshot("a".parse().unwrap(), 3);
        assert_eq!(stats.by_class, [1, 2, 1, 2, 2]);
        assert_eq!((stats.requests, stats.errors, stats.bytes), (8, 1, 80));
        assert_eq!(stats.in_flight, 3);
    }

    #[test]
    fn every_time_has_a_class() {
        let counters = AppCounters::default();
        for micros in [0, 1_000, 1_001, 60_000_000, 60_000_001] {
            counters.count_time(Duration::from_micros(micros));
        }
        let stats = counters.snapshot("a".parse().unwrap(), 0);
        assert_eq!(stats.latency[..2], [2, 1]);
        assert_eq!(stats.latency[14..], [1, 1]);
        assert_eq!(stats.latency_sum, Duration::from_micros(120_002_002));
    }
}
