//! The charts of an app: requests, latency, processor, memory, and the deploys between.

use std::collections::BTreeMap;

use sarsen_domain::AppName;

use super::{Charts, Mark, TrafficPoint, UsagePoint};
use crate::control::Control;
use crate::failure::Outcome;
use crate::metrics::{MetricStep, ProcessUsage};
use crate::time::now;

/// How far back charts go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    Hour,
    Day,
    Week,
}

impl Range {
    /// `hour`, `day`, `week`
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "hour" => Some(Self::Hour),
            "day" => Some(Self::Day),
            "week" => Some(Self::Week),
            _ => None,
        }
    }

    fn seconds(self) -> i64 {
        match self {
            Self::Hour => 3600,
            Self::Day => 24 * 3600,
            Self::Week => 7 * 24 * 3600,
        }
    }

    fn step(self) -> MetricStep {
        match self {
            Self::Hour => MetricStep::Fine,
            Self::Day | Self::Week => MetricStep::Coarse,
        }
    }
}

impl Control {
    /// The charts of an app.
    pub async fn charts(&self, app: &AppName, range: Range) -> Outcome<Charts> {
        let until = now();
        let since = until - range.seconds();
        let metrics = self.metrics(app, range.step(), since).await?;
        let traffic = metrics.traffic.into_iter().map(|row| TrafficPoint {
            at: row.at,
            by_class: row.by_class,
            errors: row.errors,
            bytes: row.bytes,
            p50_ms: row.p50_ms,
            p95_ms: row.p95_ms,
            in_flight: row.in_flight,
        });
        let builds = self.store.builds().list(app).await?;
        let marks = builds.iter().filter(|build| build.started_at >= since);
        let marks = marks.map(|build| Mark {
            at: build.finished_at.unwrap_or(build.started_at),
            release: build.release.map(|number| number.0),
            build: build.id.to_string(),
            status: build.status.as_str(),
        });
        Ok(Charts {
            step: range.step().seconds(),
            since,
            until,
            traffic: traffic.collect(),
            usage: summed(&metrics.usage),
            marks: marks.collect(),
        })
    }
}

fn summed(usage: &[ProcessUsage]) -> Vec<UsagePoint> {
    let mut points: BTreeMap<i64, UsagePoint> = BTreeMap::new();
    for row in usage {
        let point = points.entry(row.at).or_insert(UsagePoint {
            at: row.at,
            memory_limit: Some(0),
            ..UsagePoint::default()
        });
        point.cpu_millis += row.cpu_millis;
        point.memory += row.memory;
        point.memory_limit = point
            .memory_limit
            .zip(row.memory_limit)
            .map(|(sum, own)| sum + own);
    }
    points.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_add_up_and_one_without_a_limit_lifts_it() {
        let row = |dyno: &str, at, limit| ProcessUsage {
            dyno: dyno.to_owned(),
            at,
            cpu_millis: 100,
            memory: 7,
            memory_limit: limit,
            restarts: 0,
        };
        let points = summed(&[
            row("web.1", 10, Some(5)),
            row("web.2", 10, Some(6)),
            row("web.1", 20, None),
        ]);
        assert_eq!(
            (
                points[0].cpu_millis,
                points[0].memory,
                points[0].memory_limit
            ),
            (200, 14, Some(11))
        );
        assert_eq!(points[1].memory_limit, None);
        assert_eq!(Range::parse("week"), Some(Range::Week));
    }
}
