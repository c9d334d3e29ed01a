//! A script's text as lines with their blocks.

/// A statement, and the block of text that belongs to it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    pub(super) words: String,
    pub(super) block: String,
}

/// What ends a block.
const END: &str = "EOF";

pub(super) fn parse(text: &str) -> Result<Vec<Line>, String> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let number = number + 1;
        let words = line.trim();
        if words.is_empty() || words.starts_with('#') {
            continue;
        }
        let mut block = String::new();
        let words = match words.strip_suffix("<<EOF") {
            None => words,
            Some(words) => {
                loop {
                    match lines.next() {
                        Some((_, END)) => break,
                        Some((_, line)) => block += &format!("{line}\n"),
                        None => return Err(format!("{number}: the block has no {END}")),
                    }
                }
                words.trim()
            }
        };
        found.push(Line {
            number,
            words: words.to_owned(),
            block,
        });
    }
    Ok(found)
}

/// Whether a text looks like this: `*` stands for anything.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(previous) = last.replace(part) {
            match rest.find(previous) {
                Some(at) => rest = &rest[at + previous.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last: &str| rest.ends_with(last))
}

#[test]
fn blocks_and_comments() {
    let lines = parse("# why\n\nwrite a/b <<EOF\n one\n\nEOF\n  $ ssh version\n").unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0].number, lines[0].words.as_str()), (3, "write a/b"));
    assert_eq!(lines[0].block, " one\n\n");
    assert_eq!(
        (lines[1].number, lines[1].words.as_str()),
        (7, "$ ssh version")
    );
    assert!(parse("stdin <<EOF\nx").unwrap_err().contains("no EOF"));
}

#[test]
fn patterns() {
    for (text, pattern, expected) in [
        ("abc", "abc", true),
        ("abc", "ab", false),
        ("abc", "a*", true),
        ("abc", "*c", true),
        ("abc", "a*c", true),
        ("a b a c", "a*a*c", true),
        ("abc", "*x*", false),
        ("abab", "*ab", true),
        ("", "*", true),
    ] {
        assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
    }
}
