//! What was seen of apps over time: requests through the router, and what their processes used. Bounded: each step
//! is kept for as long as [`Step::kept`] says.

use std::collections::BTreeMap;

use sarsen_domain::AppName;
use serde::Deserialize;
use sqlx::{Sqlite, Transaction};

use crate::rows::{app_id, gathered, parse};
use crate::{Store, StoreError};

/// The metrics of a [`Store`].
pub struct Metrics<'a>(pub(crate) &'a Store);

/// How much time a row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Ten seconds, for an hour.
    Fine,
    /// Five minutes, for a week.
    Coarse,
}

/// One app's requests in one step of time.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Traffic {
    /// When it began, in Unix seconds.
    pub at: i64,
    /// Requests by the first digit of their status.
    pub by_class: [u64; 5],
    /// Requests that a container or a client broke off.
    pub errors: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Half of the requests took no longer, in milliseconds.
    pub p50_ms: f64,
    /// 95 of 100 took no longer.
    pub p95_ms: f64,
    /// Under way at the end of the step.
    pub in_flight: u64,
}

/// One app's requests in one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct TrafficMinute {
    pub app: AppName,
    /// When it began, in Unix seconds.
    pub at: i64,
    pub requests: u64,
    /// Of these, the ones that were answered with 5xx.
    pub failed: u64,
    /// The 95th percentiles of its steps, weighed by their requests.
    pub p95_ms: f64,
}

/// What one process used in one step of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// `web.1`
    pub dyno: String,
    /// When it began, in Unix seconds.
    pub at: i64,
    /// Thousandths of a core, on average.
    pub cpu_millis: u64,
    /// Bytes, at the end or at most.
    pub memory: u64,
    /// The most that it may have.
    pub memory_limit: Option<u64>,
    /// How often the engine has started it again.
    pub restarts: u64,
}

/// What is written at one tick.
#[derive(Debug, Clone, Default)]
pub struct Tick {
    /// Requests.
    pub traffic: Vec<(AppName, Step, Traffic)>,
    /// Processes.
    pub usage: Vec<(AppName, Step, Usage)>,
}

impl Step {
    /// Its length in seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Fine => 10,
            Self::Coarse => 300,
        }
    }

    /// How long its rows are kept, in seconds.
    pub fn kept(self) -> i64 {
        match self {
            Self::Fine => 3_600,
            Self::Coarse => 7 * 86_400,
        }
    }
}

macro_rules! usage {
    () => {
        "json_object('dyno', u.dyno, 'at', u.at, 'cpu_millis', u.cpu_millis, 'memory', u.memory, \
         'memory_limit', u.memory_limit, 'restarts', u.restarts)"
    };
}

impl Metrics<'_> {
    /// Writes a tick and forgets what is too old, in one transaction. Apps that are gone meanwhile are left out.
    pub async fn record(&self, tick: &Tick, now: i64) -> Result<(), StoreError> {
        let mut tx = self.0.write().await?;
        let mut ids = Ids::default();
        for (app, step, row) in &tick.traffic {
            if let Some(id) = ids.of(&mut tx, app).await? {
                write_traffic(&mut tx, id, *step, row).await?;
            }
        }
        for (app, step, row) in &tick.usage {
            if let Some(id) = ids.of(&mut tx, app).await? {
                write_usage(&mut tx, id, *step, row).await?;
            }
        }
        for step in [Step::Fine, Step::Coarse] {
            for sql in [
                "DELETE FROM traffic WHERE step = ? AND at < ?",
                "DELETE FROM usage WHERE step = ? AND at < ?",
            ] {
                sqlx::query(sql)
                    .bind(step.seconds())
                    .bind(now - step.kept())
                    .execute(&mut *tx)
                    .await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// An app's requests from a time on, oldest first. Steps without requests are left out.
    pub async fn traffic(
        &self,
        app: &AppName,
        step: Step,
        since: i64,
    ) -> Result<Vec<Traffic>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let text: String = sqlx::query_scalar(
            "SELECT json_group_array(json_object('at', at, \
               'by_class', json_array(class1, class2, class3, class4, class5), 'errors', errors, 'bytes', bytes, \
               'p50_ms', p50_ms, 'p95_ms', p95_ms, 'in_flight', in_flight) ORDER BY at) \
             FROM traffic WHERE app_id = ? AND step = ? AND at >= ?",
        )
        .bind(id)
        .bind(step.seconds())
        .bind(since)
        .fetch_one(&mut *connection)
        .await?;
        gathered("traffic", &text)
    }

    /// What an app's processes used from a time on, oldest first.
    pub async fn usage(
        &self,
        app: &AppName,
        step: Step,
        since: i64,
    ) -> Result<Vec<Usage>, StoreError> {
        let mut connection = self.0.read().await?;
        let id = app_id(&mut connection, app).await?;
        let text: String = sqlx::query_scalar(concat!(
            "SELECT json_group_array(",
            usage!(),
            " ORDER BY at, dyno) FROM usage u WHERE app_id = ? AND step = ? AND at >= ?"
        ))
        .bind(id)
        .bind(step.seconds())
        .bind(since)
        .fetch_one(&mut *connection)
        .await?;
        gathered("usage", &text)
    }

    /// Every app's requests by the minute, from a time on, oldest first.
    pub async fn minutes(&self, since: i64) -> Result<Vec<TrafficMinute>, StoreError> {
        let text: String = sqlx::query_scalar(
            "SELECT json_group_array(json_array(name, minute, requests, failed, weighed) ORDER BY minute) FROM ( \
               SELECT a.name, t.at - t.at % 60 AS minute, \
                 sum(class1 + class2 + class3 + class4 + class5) AS requests, sum(class5) AS failed, \
                 total(p95_ms * (class1 + class2 + class3 + class4 + class5)) AS weighed \
               FROM traffic t JOIN apps a ON a.id = t.app_id WHERE t.step = 10 AND t.at >= ? \
               GROUP BY t.app_id, minute)",
        )
        .bind(since)
        .fetch_one(&mut *self.0.read().await?)
        .await?;
        let rows: Vec<_> = gathered("traffic", &text)?;
        rows.into_iter().map(minute).collect()
    }

    /// What every app's processes used last, not longer ago than `since`.
    pub async fn last_usage(
        &self,
        since: i64,
    ) -> Result<BTreeMap<AppName, Vec<Usage>>, StoreError> {
        let text: String = sqlx::query_scalar(concat!(
            "SELECT json_group_array(json_array(name, json(last)) ORDER BY dyno) FROM ( \
               SELECT a.name, u.dyno, max(u.at), ",
            usage!(),
            " AS last FROM usage u JOIN apps a ON a.id = u.app_id \
               WHERE u.step = 10 AND u.at >= ? GROUP BY u.app_id, u.dyno)"
        ))
        .bind(since)
        .fetch_one(&mut *self.0.read().await?)
        .await?;
        let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, last) in gathered::<(String, Usage)>("usage", &text)? {
            all.entry(parse("name", &name)?).or_default().push(last);
        }
        Ok(all)
    }
}

/// App, minute, requests, of these failed, their 95th percentiles times their number.
type Minute = (String, i64, u64, u64, f64);

#[expect(
    clippy::cast_precision_loss,
    reason = "a mean of times; counts are far below 2^52"
)]
fn minute((app, at, requests, failed, weighed): Minute) -> Result<TrafficMinute, StoreError> {
    Ok(TrafficMinute {
        app: parse("name", &app)?,
        at,
        requests,
        failed,
        p95_ms: if requests == 0 {
            0.0
        } else {
            weighed / requests as f64
        },
    })
}

/// Apps' ids, each looked up once.
#[derive(Default)]
struct Ids(BTreeMap<AppName, Option<i64>>);

impl Ids {
    async fn of(
        &mut self,
        tx: &mut Transaction<'static, Sqlite>,
        app: &AppName,
    ) -> Result<Option<i64>, StoreError> {
        if let Some(id) = self.0.get(app) {
            return Ok(*id);
        }
        let id = match app_id(&mut *tx, app).await {
            Ok(id) => Some(id),
            Err(StoreError::NoSuchApp(_)) => None,
            Err(error) => return Err(error),
        };
        self.0.insert(app.clone(), id);
        Ok(id)
    }
}

async fn write_traffic(
    tx: &mut Transaction<'static, Sqlite>,
    app: i64,
    step: Step,
    row: &Traffic,
) -> Result<(), StoreError> {
    let mut query = sqlx::query(
        "INSERT OR REPLACE INTO traffic (app_id, step, at, class1, class2, class3, class4, class5, \
         errors, bytes, p50_ms, p95_ms, in_flight) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(app)
    .bind(step.seconds())
    .bind(row.at);
    for count in row.by_class.iter().chain([&row.errors, &row.bytes]) {
        query = query.bind(signed(*count));
    }
    query
        .bind(row.p50_ms)
        .bind(row.p95_ms)
        .bind(signed(row.in_flight))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn write_usage(
    tx: &mut Transaction<'static, Sqlite>,
    app: i64,
    step: Step,
    row: &Usage,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT OR REPLACE INTO usage (app_id, dyno, step, at, cpu_millis, memory, memory_limit, \
         restarts) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(app)
    .bind(&row.dyno)
    .bind(step.seconds())
    .bind(row.at)
    .bind(signed(row.cpu_millis))
    .bind(signed(row.memory))
    .bind(row.memory_limit.map(signed))
    .bind(signed(row.restarts))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
