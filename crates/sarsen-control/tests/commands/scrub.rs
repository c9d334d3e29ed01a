//! Takes out of an output what differs from run to run.

use std::path::Path;

/// The text with placeholders.
pub(crate) fn scrub(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "{data}");
    let mut scrubbed = String::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | ':') {
            word.push(c);
        } else {
            scrubbed.push_str(&placeholder(&word));
            word.clear();
            scrubbed.push(c);
        }
    }
    scrubbed.push_str(&placeholder(&word));
    scrubbed
}

fn placeholder(word: &str) -> String {
    // A time may have a label in front: `created:1700000000`.
    let (before, last) = match word.rsplit_once(':') {
        Some((before, last)) if !is_time(word) => (format!("{before}:"), last),
        _ => (String::new(), word),
    };
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let shown = if is_time(last) {
        "{time}"
    } else if last.len() == 10 && last.starts_with('1') && digits(last) {
        "{seconds}"
    } else if last.len() == 14
        && last
            .chars()
            .all(|c| c.is_ascii_digit() || c.is_ascii_lowercase())
        && last.chars().any(|c| c.is_ascii_digit())
    {
        "{build}"
    } else {
        last
    };
    format!("{before}{shown}")
}

/// `2026-11-22T13:14:15Z`
fn is_time(word: &str) -> bool {
    let bytes = word.as_bytes();
    let at = |index: usize| bytes.get(index).copied();
    word.len() >= 19 && at(4) == Some(b'-') && at(10) == Some(b'T') && at(13) == Some(b':')
}

#[test]
fn what_differs_is_replaced() {
    let text = "x {\"t\":\"2026-11-22T13:14:15Z\"} 1700000000 /tmp/a/git 0mb4x9w1kzz3f2 plain 12";
    assert_eq!(
        scrub(text, Path::new("/tmp/a")),
        "x {\"t\":\"{time}\"} {seconds} {data}/git {build} plain 12"
    );
}
