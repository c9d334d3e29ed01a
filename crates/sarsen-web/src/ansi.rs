//! Logs are written for terminals; pages show their text, and the colours as classes.

/// A piece of a line that looks the same all through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// `b fg2`: bold and green; empty for plain text.
    pub(crate) class: String,
    pub(crate) text: String,
}

/// What the last sequences said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Look {
    bold: bool,
    dim: bool,
    italic: bool,
    underlined: bool,
    /// 0 to 15.
    foreground: Option<u8>,
    background: Option<u8>,
}

impl Look {
    fn class(self) -> String {
        let flags = [
            (self.bold, "b"),
            (self.dim, "d"),
            (self.italic, "i"),
            (self.underlined, "u"),
        ];
        let mut words: Vec<String> = flags
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, word)| (*word).to_owned())
            .collect();
        words.extend(self.foreground.map(|colour| format!("fg{colour}")));
        words.extend(self.background.map(|colour| format!("bg{colour}")));
        words.join(" ")
    }

    /// `1;32`
    fn change(&mut self, parameters: &str) {
        let mut numbers = parameters.split([';', ':']).map(|word| match word {
            "" => Some(0),
            word => word.parse::<u16>().ok(),
        });
        while let Some(Some(number)) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underlined = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underlined = false,
                39 => self.foreground = None,
                49 => self.background = None,
                38 => self.foreground = extended(&mut numbers).or(self.foreground),
                48 => self.background = extended(&mut numbers).or(self.background),
                30..=37 => self.foreground = u8::try_from(number - 30).ok(),
                40..=47 => self.background = u8::try_from(number - 40).ok(),
                90..=97 => self.foreground = u8::try_from(number - 82).ok(),
                100..=107 => self.background = u8::try_from(number - 92).ok(),
                _ => {}
            }
        }
    }
}

/// `5;N` and `2;R;G;B`: of these only the sixteen that the style sheet has are kept.
fn extended(numbers: &mut impl Iterator<Item = Option<u16>>) -> Option<u8> {
    match numbers.next()?? {
        5 => numbers
            .next()?
            .and_then(|number| u8::try_from(number).ok())
            .filter(|number| *number < 16),
        2 => {
            numbers.nth(2);
            None
        }
        _ => None,
    }
}

/// The text as lines of spans. A line that was written over (`\r`) shows what was last.
pub(crate) fn lines(text: &str) -> Vec<Vec<Span>> {
    let mut lines = vec![Vec::new()];
    let mut look = Look::default();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip(&mut characters, &mut look),
            '\n' => lines.push(Vec::new()),
            '\r' if matches!(characters.peek(), Some('\n') | None) => {}
            '\r' => lines.last_mut().into_iter().for_each(Vec::clear),
            '\t' => put(&mut lines, look, '\t'),
            other if other.is_control() => {}
            other => put(&mut lines, look, other),
        }
    }
    lines
}

fn put(lines: &mut [Vec<Span>], look: Look, character: char) {
    let Some(line) = lines.last_mut() else {
        return;
    };
    let class = look.class();
    match line.last_mut() {
        Some(span) if span.class == class => span.text.push(character),
        _ => line.push(Span {
            class,
            text: character.to_string(),
        }),
    }
}

/// The text alone.
pub(crate) fn plain(text: &str) -> String {
    let text_of = |spans: &Vec<Span>| {
        spans
            .iter()
            .map(|span| span.text.as_str())
            .collect::<String>()
    };
    lines(text)
        .iter()
        .map(text_of)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Past the rest of a sequence that began with ESC.
fn skip(characters: &mut std::iter::Peekable<std::str::Chars<'_>>, look: &mut Look) {
    match characters.next() {
        // CSI ends with a letter or one of a few signs.
        Some('[') => {
            let mut parameters = String::new();
            for character in characters.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&character) {
                    if character == 'm' {
                        look.change(&parameters);
                    }
                    return;
                }
                parameters.push(character);
            }
        }
        // OSC ends with BEL, or with ESC and a backslash.
        Some(']') => {
            while let Some(character) = characters.next() {
                if character == '\u{7}' {
                    return;
                }
                if character == '\u{1b}' {
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
    use super::*;

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

    #[test]
    fn colours_become_classes() {
        let shown = lines(
            "\u{1b}[1;32ma\u{1b}[22mb\u{1b}[0mc\n\u{1b}[38;5;9;4md\u{1b}[38;2;1;2;3me\u{1b}[mf",
        );
        let span = |class: &str, text: &str| Span {
            class: class.to_owned(),
            text: text.to_owned(),
        };
        let expected = [
            vec![span("b fg2", "a"), span("fg2", "b"), span("", "c")],
            vec![span("u fg9", "de"), span("", "f")],
        ];
        assert_eq!(shown, expected);
    }
}
