//! When scheduled tasks are due. Times are unix seconds; schedules are read in a time zone, summer time included.

use std::fmt;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use sarsen_domain::Invalid;

/// More missed times than this are not counted.
const COUNT_MAX: u32 = 1000;

/// When something is due.
#[derive(Debug, Clone)]
pub struct Schedule(Cron);

/// The clock on whose wall schedules are read.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

/// Times that have come since somebody last looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The last of them.
    pub at: i64,
    /// How many there were before it.
    pub earlier: u32,
}

impl Schedule {
    /// Five fields (`0 3 * * 1-5`) or a name (`@daily`).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: String| {
            Invalid::new(format!("Invalid schedule '{}': {why}", text.escape_debug()))
        };
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser
            .parse(text)
            .map_err(|error| invalid(error.to_string()))?;
        let schedule = Self(cron);
        // The 30th of February is well-formed and never comes.
        if schedule
            .next(Timestamp::now().as_second(), &Zone::utc())
            .is_none()
        {
            return Err(invalid("it is never due".to_owned()));
        }
        Ok(schedule)
    }

    /// The first time after this one.
    pub fn next(&self, after: i64, zone: &Zone) -> Option<i64> {
        let found = self.0.find_next_occurrence(&zone.at(after)?, false);
        found.ok().map(|time| time.timestamp().as_second())
    }

    /// What has come due after `since` and up to `now`.
    pub fn due(&self, since: i64, now: i64, zone: &Zone) -> Option<Due> {
        let last = self.0.find_previous_occurrence(&zone.at(now)?, true).ok()?;
        let at = last.timestamp().as_second();
        if at <= since {
            return None;
        }
        let mut earlier = 0;
        let mut time = self.next(since, zone);
        while let Some(found) = time.filter(|found| *found < at && earlier < COUNT_MAX) {
            earlier += 1;
            time = self.next(found, zone);
        }
        Some(Due { at, earlier })
    }
}

impl Zone {
    /// `Europe/Berlin`
    pub fn parse(name: &str) -> Result<Self, Invalid> {
        TimeZone::get(name).map(Self).map_err(|_| {
            Invalid::new(format!(
                "Unknown time zone '{}': use a name such as UTC or Europe/Berlin",
                name.escape_debug()
            ))
        })
    }

    /// That of this host.
    pub fn system() -> Self {
        Self(TimeZone::system())
    }

    /// Greenwich.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// A moment as this clock shows it: `2026-11-22T11:00:00+01:00`.
    pub fn show(&self, seconds: i64) -> String {
        self.at(seconds)
            .map(|time| time.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
            .unwrap_or_default()
    }

    fn at(&self, seconds: i64) -> Option<Zoned> {
        let moment = Timestamp::from_second(seconds).ok()?;
        Some(moment.to_zoned(self.0.clone()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.iana_name().unwrap_or("local"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn next(schedule: &str, after: &str, zone: &str) -> String {
        let zone = Zone::parse(zone).unwrap();
        let next = Schedule::parse(schedule)
            .unwrap()
            .next(seconds(after), &zone);
        zone.show(next.unwrap())
    }

    #[test]
    fn the_next_time() {
        let after = "2026-11-22T10:00:30Z";
        for (schedule, expected) in [
            ("* * * * *", "2026-11-22T10:01:00+00:00"),
            ("*/15 * * * *", "2026-11-22T10:15:00+00:00"),
            ("0 3 * * 1-5", "2026-11-23T03:00:00+00:00"),
            ("0 0 1 jan *", "2027-01-01T00:00:00+00:00"),
            ("@daily", "2026-11-23T00:00:00+00:00"),
            ("@hourly", "2026-11-22T11:00:00+00:00"),
            ("@weekly", "2026-11-29T00:00:00+00:00"),
        ] {
            assert_eq!(next(schedule, after, "UTC"), expected, "{schedule}");
        }
        let exact = Schedule::parse("* * * * *").unwrap();
        assert_eq!(exact.next(60, &Zone::utc()), Some(120));
    }

    #[test]
    fn wall_clocks_change_twice_a_year() {
        let berlin = "Europe/Berlin";
        assert_eq!(
            next("30 3 * * *", "2026-03-28T12:00:00Z", berlin),
            "2026-03-29T03:30:00+02:00"
        );
        assert_eq!(
            next("0 12 * * *", "2026-10-25T00:00:00Z", berlin),
            "2026-10-25T12:00:00+01:00"
        );
        // The hour that is left out in spring: the task is not left out.
        assert!(next("30 2 * * *", "2026-03-28T12:00:00Z", berlin).starts_with("2026-03-29T03"));
    }

    #[test]
    fn what_came_due_meanwhile() {
        let (hourly, utc) = (Schedule::parse("0 * * * *").unwrap(), Zone::utc());
        let due = |since, now| hourly.due(seconds(since), seconds(now), &utc);
        assert_eq!(due("2026-01-01T10:00:00Z", "2026-01-01T10:59:59Z"), None);
        let at = seconds("2026-01-01T11:00:00Z");
        assert_eq!(
            due("2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"),
            Some(Due { at, earlier: 0 })
        );
        assert_eq!(
            due("2026-01-01T07:30:00Z", "2026-01-01T11:20:00Z"),
            Some(Due { at, earlier: 3 })
        );
        let long = due("2016-01-01T07:30:00Z", "2026-01-01T11:20:00Z").unwrap();
        assert_eq!(long.earlier, COUNT_MAX);
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "* * * *",
            "61 * * * *",
            "* * * * * *",
            "0 0 30 2 *",
            "@never",
            "a b c d e",
            "*/0 * * * *",
        ] {
            assert!(Schedule::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Zone::parse("Mars/Olympus").is_err());
    }
}
