//! Dokku's `ENV` files: `KEY="value"` with escapes, and `export KEY='value'` as a shell would write it.

use sarsen_domain::EnvKey;

/// The pairs, and what was not understood, without values.
pub(super) fn read(text: &str) -> (Vec<(EnvKey, String)>, Vec<String>) {
    let (mut pairs, mut wrong) = (Vec::new(), Vec::new());
    let mut rest = text;
    let mut number = 0;
    while !rest.is_empty() {
        number += 1;
        let line = rest.split('\n').next().unwrap_or_default();
        let after_line = rest.get(line.len() + 1..).unwrap_or_default();
        let bare = line.trim_start();
        if bare.trim().is_empty() || bare.starts_with('#') {
            rest = after_line;
            continue;
        }
        let bare = bare.strip_prefix("export ").unwrap_or(bare);
        let pair = bare.split_once('=').and_then(|(key, _)| {
            let key = EnvKey::parse(key.trim()).ok()?;
            let begin = rest.find('=')? + 1;
            let (value, end) = value(rest.get(begin..)?)?;
            Some((key, value, begin + end))
        });
        match pair {
            Some((key, value, end)) => {
                pairs.push((key, value));
                let taken = rest.get(..end).unwrap_or(rest);
                number += taken.matches('\n').count();
                rest = rest.get(end..).unwrap_or_default();
                rest = rest.strip_prefix('\n').unwrap_or(rest);
            }
            None => {
                wrong.push(format!(
                    "line {number} of the config vars is not understood"
                ));
                rest = after_line;
            }
        }
    }
    (pairs, wrong)
}

/// The value that the text begins with, and where it ends; it must end with its line.
fn value(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\n' => return Some((value, at)),
            '\r' if text
                .get(at + 1..)
                .is_some_and(|rest| rest.starts_with('\n')) => {}
            '\'' => loop {
                match chars.next()?.1 {
                    '\'' => break,
                    c => value.push(c),
                }
            },
            '"' => double_quoted(&mut chars, &mut value)?,
            '\\' => value.push(chars.next()?.1),
            // An unquoted blank ends a value; only a comment may follow.
            ' ' | '\t' => {
                let rest = text.get(at..)?;
                let line = rest.split('\n').next().unwrap_or_default();
                let comment = line.trim();
                return (comment.is_empty() || comment.starts_with('#'))
                    .then_some((value, at + line.len()));
            }
            c => value.push(c),
        }
    }
    Some((value, text.len()))
}

fn double_quoted(chars: &mut std::str::CharIndices<'_>, value: &mut String) -> Option<()> {
    loop {
        match chars.next()?.1 {
            '"' => return Some(()),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('"' | '\\' | '$' | '`' | '!') => value.push(c),
                c => value.extend(['\\', c]),
            },
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let (pairs, wrong) = read(text);
        assert!(wrong.is_empty(), "{text:?}: {wrong:?}");
        pairs
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect()
    }

    #[test]
    fn both_spellings_are_read() {
        for (text, value) in [
            ("A=\"b c\"", "b c"),
            (
                r#"A="say \"hi\" \\ \$HOME\nnext""#,
                "say \"hi\" \\ $HOME\nnext",
            ),
            ("A=\"two\nlines\"\n", "two\nlines"),
            ("export A='it'\\''s'", "it's"),
            ("export A='two\nlines'\n", "two\nlines"),
            ("A=12", "12"),
            ("A=", ""),
            ("A=b # note", "b"),
            ("A=b#c\r\n", "b#c"),
            ("# A=x\n\n  A=b\n", "b"),
            ("A='$(id) `id`'", "$(id) `id`"),
        ] {
            assert_eq!(
                pairs(text),
                [("A".to_owned(), value.to_owned())],
                "{text:?}"
            );
        }
        let many = pairs("A=\"1\n2\"\nB=3\nexport C='4'\n");
        assert_eq!(many.len(), 3);
        assert_eq!(many[2], ("C".to_owned(), "4".to_owned()));
    }

    #[test]
    fn what_is_wrong_is_told_by_line_and_without_its_value() {
        let (pairs, wrong) = read("A=1\nsecret\nB=x y\n1C=2\nD='open\n");
        assert_eq!(pairs.len(), 1);
        assert_eq!(wrong.len(), 4);
        assert!(
            wrong[0].contains("line 2") && !wrong.concat().contains("secret"),
            "{wrong:?}"
        );
    }
}
