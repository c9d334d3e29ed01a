//! Requests by the minute, of all apps, kept up to date by the watch on usage: a page reads nothing of it from the
//! store, and each look at the store reads no more than the last two minutes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sarsen_domain::AppName;
use sarsen_store::TrafficMinute;

use crate::control::Control;
use crate::failure::Outcome;
use crate::time::now;

/// Minutes that a spark line shows.
const MINUTES: usize = 60;
/// Minutes that a rate is taken over.
const LATELY: i64 = 10;

/// A page takes what is so old at most, in seconds; the watch looks every ten.
const FRESH: i64 = 30;

/// What was read last.
#[derive(Debug, Default)]
pub(crate) struct Trends(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    at: i64,
    rows: Vec<TrafficMinute>,
    trends: Arc<BTreeMap<AppName, Trend>>,
}

impl Trends {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One app's.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Trend {
    /// Oldest first.
    pub rpm: Vec<u32>,
    pub requests: u64,
    pub failed: u64,
    pub p95_ms: Option<f64>,
    /// In the last whole minute.
    pub last_minute: u64,
}

impl Trend {
    pub(super) fn share_5xx(&self) -> f64 {
        ratio(self.failed, self.requests)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a rate; counts are far below 2^52"
)]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

impl Control {
    /// What the last hour looked like.
    pub(crate) async fn trends(&self) -> Outcome<Arc<BTreeMap<AppName, Trend>>> {
        let known = {
            let known = self.trends.lock();
            (now() - known.at < FRESH).then(|| Arc::clone(&known.trends))
        };
        match known {
            Some(trends) => Ok(trends),
            None => self.refresh_trends(now()).await,
        }
    }

    /// Reads what has come since the last look.
    pub(crate) async fn refresh_trends(&self, now: i64) -> Outcome<Arc<BTreeMap<AppName, Trend>>> {
        let minutes = i64::try_from(MINUTES).unwrap_or_default();
        let first = now - now % 60 - (minutes - 1) * 60;
        // The minute of the last look, and the one before it, may have grown.
        let seen = self.trends.lock().at;
        let since = (seen - seen % 60 - 60).max(first);
        let rows = self.store.metrics().minutes(since).await?;
        let mut known = self.trends.lock();
        known.rows.retain(|row| row.at >= first && row.at < since);
        known.rows.extend(rows);
        known.at = now;
        known.trends = Arc::new(trends(&known.rows, first, now));
        Ok(Arc::clone(&known.trends))
    }
}

fn trends(rows: &[TrafficMinute], first: i64, now: i64) -> BTreeMap<AppName, Trend> {
    let mut trends: BTreeMap<AppName, Trend> = BTreeMap::new();
    let mut weighed: BTreeMap<&AppName, f64> = BTreeMap::new();
    for row in rows {
        let trend = trends.entry(row.app.clone()).or_insert_with(|| Trend {
            rpm: vec![0; MINUTES],
            ..Trend::default()
        });
        let place = usize::try_from((row.at - first) / 60).unwrap_or(usize::MAX);
        if let Some(minute) = trend.rpm.get_mut(place) {
            *minute = u32::try_from(row.requests).unwrap_or(u32::MAX);
        }
        if row.at == now - now % 60 - 60 {
            trend.last_minute = row.requests;
        }
        if row.at > now - LATELY * 60 {
            trend.requests += row.requests;
            trend.failed += row.failed;
            #[expect(
                clippy::cast_precision_loss,
                reason = "a mean of times; counts are far below 2^52"
            )]
            let weight = row.p95_ms * row.requests as f64;
            *weighed.entry(&row.app).or_default() += weight;
        }
    }
    for (app, weighed) in weighed {
        if let Some(trend) = trends.get_mut(app).filter(|trend| trend.requests > 0) {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a mean of times; counts are far below 2^52"
            )]
            let mean = weighed / trend.requests as f64;
            trend.p95_ms = Some(mean);
        }
    }
    trends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_fall_into_their_places() {
        let row = |at, requests, failed, p95_ms| TrafficMinute {
            app: "a".parse().unwrap(),
            at,
            requests,
            failed,
            p95_ms,
        };
        let (first, now) = (6000, 6000 + 59 * 60 + 30);
        let rows = [
            row(6000, 7, 0, 900.0),
            row(6000 + 58 * 60, 30, 3, 10.0),
            row(6000 + 59 * 60, 10, 1, 50.0),
        ];
        let all = trends(&rows, first, now);
        let trend = all.values().next().unwrap();
        assert_eq!((trend.rpm.len(), trend.rpm[0], trend.rpm[58]), (60, 7, 30));
        assert_eq!(
            (trend.last_minute, trend.requests, trend.failed),
            (30, 40, 4)
        );
        assert!((trend.p95_ms.unwrap() - 20.0).abs() < 1e-9);
        assert!((trend.share_5xx() - 0.1).abs() < 1e-9);
    }
}
