//! The form of a line: Heroku's router line behind a time stamp and the app's name.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::failure::Failure;

/// What a line says.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) at: SystemTime,
    pub(crate) app: &'a str,
    pub(crate) failure: Option<Failure>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a [u8],
    pub(crate) host: &'a str,
    pub(crate) request_id: &'a [u8],
    pub(crate) fwd: &'a [u8],
    pub(crate) dyno: &'a str,
    pub(crate) connect: Option<Duration>,
    pub(crate) service: Option<Duration>,
    pub(crate) status: u16,
    pub(crate) bytes: Option<u64>,
    pub(crate) protocol: &'a str,
}

/// Text between double quotes, with whatever could end the quotes or the line escaped.
struct Quoted<'a>(&'a [u8]);

/// A duration as `12ms`, or nothing.
pub(super) struct Millis(pub(super) Option<Duration>);

/// `2026-01-31T23:59:59.123Z`
pub(super) struct Stamp(pub(super) SystemTime);

impl Line<'_> {
    /// The same as one object of JSON.
    pub(crate) fn to_json(&self) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let millis = |time: Option<Duration>| time.map(|t| t.as_secs_f64() * 1000.0);
        let mut object = serde_json::json!({
            "time": Stamp(self.at).to_string(),
            "app": self.app,
            "method": self.method,
            "path": text(self.path),
            "host": self.host,
            "request_id": text(self.request_id),
            "fwd": text(self.fwd),
            "dyno": self.dyno,
            "connect_ms": millis(self.connect),
            "service_ms": millis(self.service),
            "status": self.status,
            "bytes": self.bytes,
        });
        if let (Some(failure), Some(fields)) = (self.failure, object.as_object_mut()) {
            fields.insert("code".to_owned(), failure.code().into());
            fields.insert("desc".to_owned(), failure.summary().into());
        }
        format!("{object}\n")
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = if self.app.is_empty() { "-" } else { self.app };
        write!(f, "{} {app}[router]: ", Stamp(self.at))?;
        match self.failure {
            None => f.write_str("at=info")?,
            Some(failure) => write!(
                f,
                "at={} code={} desc=\"{}\"",
                if failure.is_wanted() { "info" } else { "error" },
                failure.code(),
                failure.summary()
            )?,
        }
        write!(
            f,
            " method={} path={} host={} request_id={} fwd={} dyno={} connect={} service={} status={} bytes=",
            self.method,
            Quoted(self.path),
            self.host,
            self.request_id.escape_ascii(),
            Quoted(self.fwd),
            self.dyno,
            Millis(self.connect),
            Millis(self.service),
            self.status,
        )?;
        if let Some(bytes) = self.bytes {
            write!(f, "{bytes}")?;
        }
        writeln!(f, " protocol={}", self.protocol)
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        match std::str::from_utf8(self.0) {
            Ok(plain)
                if plain
                    .bytes()
                    .all(|b| b != b'"' && b != b'\\' && (b' '..=b'~').contains(&b)) =>
            {
                f.write_str(plain)?;
            }
            _ => write!(f, "{}", self.0.escape_ascii())?,
        }
        f.write_char('"')
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(duration) => write!(f, "{}ms", duration.as_millis()),
            None => Ok(()),
        }
    }
}

// Written out because a line per request should not go through a general formatter of dates.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = since.as_secs();
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
            rest / 3600,
            rest / 60 % 60,
            rest % 60,
            since.subsec_millis()
        )
    }
}

// Days since 1970 as a date. Years are counted from March, so that the leap day is the last one of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let from_march_of_year_0 = days + 719_468;
    let era = from_march_of_year_0 / DAYS_IN_400_YEARS;
    let day_of_era = from_march_of_year_0 % DAYS_IN_400_YEARS;
    let leap_days = day_of_era / 1_460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, carry) = if month_from_march < 10 {
        (month_from_march + 3, 0)
    } else {
        (month_from_march - 9, 1)
    };
    (era * 400 + year_of_era + carry, month, day)
}
