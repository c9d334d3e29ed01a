//! Times and identifiers as people read them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// `2026-11-22T10:00:00Z`
pub(crate) fn exact(seconds: i64) -> String {
    let time = OffsetDateTime::from_unix_timestamp(seconds).ok();
    time.and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// `5 min ago`
pub(crate) fn ago(seconds: i64, now: i64) -> String {
    match now.saturating_sub(seconds) {
        ..5 => "just now".to_owned(),
        past => format!("{} ago", length(past)),
    }
}

/// `1 min 20 s`; two units at most.
pub(crate) fn length(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        ..60 => format!("{seconds} s"),
        60..600 if seconds % 60 > 0 => format!("{minutes} min {} s", seconds % 60),
        60..3600 => format!("{minutes} min"),
        3600..86_400 => format!("{hours} h"),
        _ if days == 1 => "1 day".to_owned(),
        _ => format!("{days} days"),
    }
}

/// The first characters of a commit.
pub(crate) fn short(commit: &str) -> String {
    commit.chars().take(8).collect()
}

pub(crate) fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (80, "1 min 20 s"),
            (660, "11 min"),
            (3600, "1 h"),
            (86_400, "1 day"),
            (172_800, "2 days"),
            (-5, "0 s"),
        ] {
            assert_eq!(length(seconds), text);
        }
        assert_eq!(ago(100, 102), "just now");
        assert_eq!(ago(100, 90), "just now");
        assert_eq!(ago(100, 130), "30 s ago");
        assert_eq!(exact(0), "1970-01-01T00:00:00Z");
        assert_eq!(short("0123456789abcdef"), "01234567");
    }
}
