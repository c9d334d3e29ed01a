//! Build logs are written for terminals; pages show their text.

/// The text without control sequences. A line that was written over (`\r`) shows what was last.
pub(crate) fn plain(text: &str) -> String {
    let mut lines = Vec::new();
    for line in strip(text).split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        lines.push(line.rsplit('\r').next().unwrap_or(line).to_owned());
    }
    lines.join("\n")
}

fn strip(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip(&mut characters),
            '\n' | '\r' | '\t' => plain.push(character),
            other if other.is_control() => {}
            other => plain.push(other),
        }
    }
    plain
}

/// Past the rest of a sequence that began with ESC.
fn skip(characters: &mut std::str::Chars<'_>) {
    match characters.next() {
        // CSI ends with a letter or one of a few signs.
        Some('[') => {
            while characters
                .next()
                .is_some_and(|c| !('\u{40}'..='\u{7e}').contains(&c))
            {}
        }
        // OSC ends with BEL, or with ESC and a backslash.
        Some(']') => {
            while let Some(c) = characters.next() {
                if c == '\u{7}' {
                    return;
                }
                if c == '\u{1b}' {
                    characters.next();
                    return;
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn only_the_text_stays() {
        for (written, shown) in [
            (
                "\u{1b}[1;32m----->\u{1b}[0m Building\r\n",
                "-----> Building\n",
            ),
            ("10%\r50%\r100%\ndone", "100%\ndone"),
            ("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\", "link"),
            ("a\u{0}b\u{7f}\tc\u{9b}", "ab\tc"),
            ("cut \u{1b}[3", "cut "),
            ("ümlaut ✓", "ümlaut ✓"),
        ] {
            assert_eq!(plain(written), shown, "{written:?}");
        }
    }
}
