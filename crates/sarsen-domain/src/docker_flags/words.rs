//! Words of a shell line, without a shell: quotes and backslashes, nothing else. A `#` is a letter like any other:
//! taking it for a comment would drop what follows.

use crate::Invalid;

/// Cuts a line into words. `$`, backquotes and the like stay text.
pub fn split_words(text: &str) -> Result<Vec<String>, Invalid> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or_else(|| open(text))? {
                        '\'' => break,
                        other => word.push(other),
                    }
                }
            }
            '"' => double_quoted(&mut chars, word.get_or_insert_default(), text)?,
            '\\' => {
                let next = chars.next().ok_or_else(|| open(text))?;
                word.get_or_insert_default().push(next);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The line that [`split_words`] cuts into these words.
pub fn quote_words<W: AsRef<str>>(words: &[W]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=:/.,@%+~^[]{}#!*?&<>|;()$".contains(c);
    let quoted = words.iter().map(|word| {
        let word = word.as_ref();
        if !word.is_empty() && word.chars().all(plain) {
            word.to_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

fn double_quoted(
    chars: &mut std::str::Chars<'_>,
    word: &mut String,
    text: &str,
) -> Result<(), Invalid> {
    loop {
        match chars.next().ok_or_else(|| open(text))? {
            '"' => return Ok(()),
            '\\' => match chars.next().ok_or_else(|| open(text))? {
                escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
}

fn open(text: &str) -> Invalid {
    Invalid::new(format!(
        "Quotes are not closed in '{}'",
        text.escape_debug()
    ))
}
