//! Facts as people read them: called by the templates, which pass references.

use sarsen_control::board::Phase;

use crate::words::{self, exact, length, now};

/// The colour for a word that says how something is.
pub(crate) fn tone(state: &str) -> &'static str {
    match state {
        "running" | "serving" | "live" | "succeeded" | "passing" | "enabled" | "done" | "ok"
        | "finished" => "good",
        "degraded" | "deploying" | "starting" | "being checked" | "pending" | "warning"
        | "retiring" | "destroying" | "missed" | "skipped" | "unknown" => "odd",
        "down" | "failed" | "failing its checks" | "critical" | "exited" | "dead" | "refused"
        | "lost" => "bad",
        _ => "idle",
    }
}

/// The same for deploys and commands, which are to come to an end.
pub(crate) fn build_tone(status: &str) -> &'static str {
    if status == "running" {
        "odd"
    } else {
        tone(status)
    }
}

/// What needs attention comes first when states are sorted.
pub(crate) fn rank(state: &str) -> u8 {
    match state {
        "down" => 0,
        "degraded" => 1,
        "running" => 2,
        "stopped" => 3,
        _ => 4,
    }
}

/// `5 min ago`, exact on hovering; the script keeps it fresh.
pub(crate) fn ago(at: &i64) -> String {
    let exact = exact(*at);
    let text = words::ago(*at, now());
    format!("<time class=\"ago\" datetime=\"{exact}\" title=\"{exact}\">{text}</time>")
}

pub(crate) fn ago_ms(at: &i64) -> String {
    ago(&(at / 1000))
}

/// How long ago, as a length that grows.
pub(crate) fn since(at: &i64) -> String {
    let (exact, text) = (exact(*at), length(now() - at));
    format!("<time class=\"since\" datetime=\"{exact}\">{text}</time>")
}

/// `in 12 days`, `3 h ago`
pub(crate) fn until(at: &i64) -> String {
    match at - now() {
        past @ ..0 => format!("{} ago", length(-past)),
        left => format!("in {}", length(left)),
    }
}

/// `2026-11-22`
pub(crate) fn day(at: &i64) -> String {
    exact(*at).chars().take(10).collect()
}

/// From two weeks before its end a certificate is odd.
pub(crate) fn expiry_tone(at: &i64) -> &'static str {
    match at - now() {
        ..0 => "bad",
        0..1_209_600 => "odd",
        _ => "good",
    }
}

pub(crate) fn took(started: &i64, finished: &Option<i64>) -> String {
    length(finished.unwrap_or_else(now) - started)
}

/// `850 ms`, `1.2 s`, `3 min`
pub(crate) fn millis(ms: &i64) -> String {
    match *ms {
        ..1000 => format!("{} ms", ms.max(&0)),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => length(ms / 1000),
    }
}

pub(crate) fn latency(ms: &f64) -> String {
    match *ms {
        small if small < 10.0 => format!("{small:.1} ms"),
        middle if middle < 1000.0 => format!("{middle:.0} ms"),
        large => format!("{:.1} s", large / 1000.0),
    }
}

pub(crate) fn number(value: &Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// `1.4 GB`
pub(crate) fn bytes(count: &u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    #[expect(clippy::cast_precision_loss, reason = "it is rounded to two digits")]
    let mut size = *count as f64;
    let mut unit = UNITS.iter();
    let mut name = unit.next().unwrap_or(&"");
    while size >= 1000.0 {
        let Some(next) = unit.next() else { break };
        size /= 1024.0;
        name = next;
    }
    match size {
        0.0 => String::new(),
        small if small < 9.95 && *name != "B" => format!("{small:.1} {name}"),
        large => format!("{large:.0} {name}"),
    }
}

/// Thousandths of a core as parts of one: `12 %`.
pub(crate) fn cpu(millis: &u64) -> String {
    match *millis {
        0 => String::new(),
        1..10 => "<1 %".to_owned(),
        more => format!("{} %", more / 10),
    }
}

pub(crate) fn share(part: &f64) -> String {
    match part * 100.0 {
        none if none <= 0.0 => String::new(),
        little if little < 0.1 => "<0.1 %".to_owned(),
        some if some < 10.0 => format!("{some:.1} %"),
        much => format!("{much:.0} %"),
    }
}

pub(crate) fn error_tone(part: &f64) -> &'static str {
    match *part {
        few if few < 0.01 => "",
        some if some < 0.05 => "odd",
        _ => "bad",
    }
}

pub(crate) fn sum(values: &[u32]) -> u64 {
    values.iter().copied().map(u64::from).sum()
}

/// The last whole minute's.
pub(crate) fn last(values: &[u32]) -> String {
    let last = values.last().copied().unwrap_or_default();
    if last == 0 && sum(values) == 0 {
        return String::new();
    }
    last.to_string()
}

pub(crate) fn short(text: &str) -> String {
    words::short(text)
}

pub(crate) fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or_default().trim();
    if line.chars().count() <= 120 {
        return line.to_owned();
    }
    line.chars().take(119).chain(['…']).collect()
}

pub(crate) fn or_none(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("–")
}

pub(crate) fn or_empty(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or_default()
}

pub(crate) fn less(count: &u32) -> u32 {
    count.saturating_sub(1)
}

pub(crate) fn more(count: &u32) -> u32 {
    count.saturating_add(1)
}

/// How long a phase took, or has been going on.
pub(crate) fn phase(phase: &Phase) -> String {
    match (phase.state, phase.took_ms, phase.started_ms) {
        ("running", _, Some(started)) => since(&(started / 1000)),
        (_, Some(took), _) => millis(&took),
        ("skipped", ..) => "–".to_owned(),
        _ => String::new(),
    }
}

/// Marks a phase that took much longer than it usually does.
pub(crate) fn pace(phase: &Phase) -> &'static str {
    match (phase.took_ms, phase.median_ms) {
        (Some(took), Some(median)) if took > 1000 && took > median * 2 => "slow",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_well() {
        for (count, text) in [
            (0, ""),
            (999, "999 B"),
            (1024, "1.0 KB"),
            (1_048_576, "1.0 MB"),
            (52_428_800, "50 MB"),
            (1_610_612_736, "1.5 GB"),
        ] {
            assert_eq!(bytes(&count), text);
        }
        for (ms, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1250, "1.2 s"),
            (61_000, "1 min 1 s"),
        ] {
            assert_eq!(millis(&ms), text);
        }
        assert_eq!(
            (latency(&3.21), latency(&32.1)),
            ("3.2 ms".into(), "32 ms".into())
        );
        assert_eq!((cpu(&5), cpu(&250)), ("<1 %".into(), "25 %".into()));
        assert_eq!(
            (share(&0.0), share(&0.0234)),
            (String::new(), "2.3 %".into())
        );
        assert_eq!(first_line("\n  one\ntwo"), "one");
    }
}
