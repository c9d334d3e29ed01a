//! Config vars as `.env` files have them.

use crate::{EnvKey, Invalid};

/// One var of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Var {
    /// The line it begins in, from 1.
    pub line: usize,
    /// Its name.
    pub key: EnvKey,
    /// Its value, without the quotes.
    pub value: String,
}

/// Reads `KEY=value`, `KEY='value'`, `KEY="a\nb"`, with `export ` before it or not. A value in quotes may go over several
/// lines; comments and blank lines are skipped.
pub fn parse(text: &str) -> Result<Vec<Var>, Invalid> {
    let text = text.replace("\r\n", "\n");
    let mut vars = Vec::new();
    let (mut rest, mut number) = (text.as_str(), 1);
    while !rest.is_empty() {
        let (line, mut after) = rest.split_once('\n').unwrap_or((rest, ""));
        let mut lines = 1;
        let content = line.trim_start();
        if !content.is_empty() && !content.starts_with('#') {
            let at_line = |what: &str| Invalid::new(format!("Line {number}: {what}"));
            let content = content.strip_prefix("export ").unwrap_or(content);
            let (key, value) = content
                .split_once('=')
                .ok_or_else(|| at_line("write it as KEY=value"))?;
            let key = EnvKey::parse(key.trim()).map_err(|error| at_line(&error.0))?;
            // From the value to the end of the file: where a quoted value ends, its line does.
            let begin = line.len() - value.trim_start().len();
            let tail = rest.get(begin..).unwrap_or_default();
            let value = match tail.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let read = if quote == '"' { double } else { single };
                    let (value, end) = tail
                        .get(1..)
                        .and_then(read)
                        .ok_or_else(|| at_line("the quotes do not match"))?;
                    let over = tail.get(..tail.len() - end.len()).unwrap_or_default();
                    lines += over.matches('\n').count();
                    after = end.split_once('\n').map_or("", |(_, after)| after);
                    value
                }
                _ => plain(value).to_owned(),
            };
            vars.push(Var {
                line: number,
                key,
                value,
            });
        }
        rest = after;
        number += lines;
    }
    Ok(vars)
}

/// Up to a comment.
fn plain(value: &str) -> &str {
    let value = value.trim();
    value.split(" #").next().unwrap_or_default().trim_end()
}

/// What stands before the first `'` that ends a line, and what comes behind it.
fn single(tail: &str) -> Option<(String, &str)> {
    let mut end = 0;
    for line in tail.split_inclusive('\n') {
        if let Some(last) = line.trim_end().strip_suffix('\'') {
            let close = end + last.len();
            return Some((tail.get(..close)?.to_owned(), tail.get(close + 1..)?));
        }
        end += line.len();
    }
    None
}

/// What stands before the closing `"`, which must end its line, and what comes behind it.
fn double(tail: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = tail.chars();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    let end = chars.as_str();
    let line = end.split('\n').next().unwrap_or_default();
    line.trim().is_empty().then_some((value, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String, String)> {
        let vars = parse(text).unwrap().into_iter();
        vars.map(|var| (var.line, var.key.to_string(), var.value))
            .collect()
    }

    fn var(line: usize, key: &str, value: &str) -> (usize, String, String) {
        (line, key.to_owned(), value.to_owned())
    }

    #[test]
    fn env_files_read_as_people_write_them() {
        assert_eq!(
            read("# c\nA=1\nexport B='x y'\n C=\"a\\nb \\\"q\\\"\" \nD=\n\nE=v # c\r\nF = 'it's'"),
            [
                var(2, "A", "1"),
                var(3, "B", "x y"),
                var(4, "C", "a\nb \"q\""),
                var(5, "D", ""),
                var(7, "E", "v"),
                var(8, "F", "it's"),
            ]
        );
        assert_eq!(read(""), []);
    }

    #[test]
    fn values_in_quotes_go_over_lines() {
        let text = "KEY=\"-----BEGIN KEY-----\r\n# no comment\r\nab=\r\n-----END KEY-----\"\r\nS='one\n\n  two'\nB=2\n";
        assert_eq!(
            read(text),
            [
                var(
                    1,
                    "KEY",
                    "-----BEGIN KEY-----\n# no comment\nab=\n-----END KEY-----"
                ),
                var(5, "S", "one\n\n  two"),
                var(8, "B", "2"),
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_by_line() {
        for (bad, line) in [
            ("A", 1),
            ("1A=2", 1),
            ("A=1\nB='x\ny\n", 2),
            ("A=\"x", 1),
            ("A=\"x\" y", 1),
            ("A=\"x\nB=\"y\"\n", 1),
            ("A=\"a\nb\"\nnonsense", 3),
            ("A='", 1),
        ] {
            let error = parse(bad).unwrap_err().to_string();
            assert!(error.contains(&format!("Line {line}: ")), "{bad}: {error}");
        }
    }
}
