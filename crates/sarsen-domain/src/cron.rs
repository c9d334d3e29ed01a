//! Scheduled tasks: what is to run, and what becomes of a run that would meet the one before it. When it is due is
//! worked out where time is known.

use std::fmt;
use std::str::FromStr;

use crate::{AppName, Invalid, text_newtype};

/// A command that is too long for an id (ids are labels of containers).
const COMMAND_MAX: usize = 2000;

/// One entry of app.json's `cron`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronTask {
    /// Words as `run` takes them.
    pub command: String,
    /// Five fields, or `@daily` and its like.
    pub schedule: String,
    /// What happens when the last run has not ended.
    pub policy: ConcurrencyPolicy,
    /// The file itself says that it is not to run.
    pub maintenance: bool,
}

/// What happens when a run is due and the last one has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ConcurrencyPolicy {
    /// They run side by side.
    #[default]
    Allow,
    /// The new one is left out.
    Forbid,
    /// The old one is stopped.
    Replace,
}

/// Names a task of an app: made of the app, the command and the schedule, so it changes with them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CronId(String);
text_newtype!(CronId);

impl CronTask {
    /// An entry, checked for its form. Whether the schedule has a meaning is checked by who computes times.
    pub fn new(command: &str, schedule: &str) -> Result<Self, Invalid> {
        let (command, schedule) = (command.trim(), schedule.trim());
        let invalid = |what: &str| Invalid::new(format!("Invalid cron entry in app.json: {what}"));
        if command.is_empty() || command.len() > COMMAND_MAX {
            return Err(invalid(&format!(
                "a command of 1 to {COMMAND_MAX} characters is needed"
            )));
        }
        if command.chars().any(|c| c.is_control() && c != '\t') {
            return Err(invalid("the command must be one line"));
        }
        let fields = schedule.split_whitespace().count();
        let described = schedule.starts_with('@') && fields == 1;
        if (fields != 5 && !described) || schedule.len() > 200 {
            return Err(invalid(&format!(
                "the schedule '{}' needs five fields, such as '0 3 * * *', or a name such as @daily",
                schedule.escape_debug()
            )));
        }
        Ok(Self {
            command: command.to_owned(),
            schedule: schedule.to_owned(),
            policy: ConcurrencyPolicy::default(),
            maintenance: false,
        })
    }

    /// Its id where it belongs to no app.
    pub fn id_on_host(&self) -> CronId {
        let text = format!("==={}==={}", self.command, self.schedule);
        CronId(base36(text.as_bytes()))
    }

    /// Its id among the tasks of all apps.
    pub fn id(&self, app: &AppName) -> CronId {
        let text = format!("{app}==={}==={}", self.command, self.schedule);
        CronId(base36(text.as_bytes()))
    }
}

impl CronId {
    /// Lower-case letters and digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if text.is_empty() || text.len() > 5000 || !text.bytes().all(legal) {
            return Err(Invalid::new(format!(
                "Invalid cron id '{}': see 'cron:list' for the ids",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl ConcurrencyPolicy {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Forbid => "forbid",
            Self::Replace => "replace",
        }
    }
}

impl fmt::Display for ConcurrencyPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for ConcurrencyPolicy {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "allow" => Ok(Self::Allow),
            "forbid" => Ok(Self::Forbid),
            "replace" => Ok(Self::Replace),
            other => Err(Invalid::new(format!(
                "Invalid concurrency policy '{}': use allow, forbid or replace",
                other.escape_debug()
            ))),
        }
    }
}

/// The bytes as one big number, written with 36 digits.
fn base36(bytes: &[u8]) -> String {
    // Least significant digit first.
    let mut digits: Vec<u32> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 36;
            carry /= 36;
        }
        while carry > 0 {
            digits.push(carry % 36);
            carry /= 36;
        }
    }
    digits
        .iter()
        .rev()
        .filter_map(|digit| char::from_digit(*digit, 36))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_base36_of_everything_that_makes_a_task() {
        assert_eq!(base36(b"a"), "2p");
        assert_eq!(base36(b"\x01\x00"), "74");
        let app = AppName::parse("shop").unwrap();
        let task = CronTask::new("node clean.js", "@daily").unwrap();
        let id = task.id(&app);
        assert_eq!(CronId::parse(id.as_str()).unwrap(), id);
        assert_ne!(id, task.id(&AppName::parse("shop2").unwrap()));
        assert_ne!(
            id,
            CronTask::new("node clean.js", "@hourly").unwrap().id(&app)
        );
    }

    #[test]
    fn entries_need_a_command_and_a_schedule() {
        assert!(CronTask::new("true", " */5 * * * * ").is_ok());
        for (command, schedule) in [
            ("", "* * * * *"),
            ("a\nb", "* * * * *"),
            ("true", "* * * *"),
            ("true", "* * * * * *"),
            ("true", "daily"),
            ("true", "@daily x"),
        ] {
            assert!(CronTask::new(command, schedule).is_err(), "{schedule}");
        }
        assert!("never".parse::<ConcurrencyPolicy>().is_err());
        assert!(CronId::parse("A").is_err() && CronId::parse("").is_err());
    }
}
