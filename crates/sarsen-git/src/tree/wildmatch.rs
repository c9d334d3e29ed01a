//! Git's path patterns (`*`, `**`, `?`, `[…]`), matched in time that grows with pattern × text and no faster.
//!
//! Patterns come with the pushed source, so that a matcher that tries all ways would be a way to stall a deploy.

/// A pattern, ready to match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wild {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`
    One,
    Class(Box<[bool; 256]>),
    /// `*`: anything but a slash.
    Star,
    /// `**` as a whole component: anything.
    StarStar,
    /// The start of `**/`: nothing at all, or what `UpToSlash` takes.
    MaybeFolders,
    /// Anything that ends with a slash.
    UpToSlash,
}

impl Wild {
    /// None when the pattern is broken and so matches nothing.
    pub(crate) fn new(pattern: &[u8]) -> Option<Self> {
        // Git compares what comes before the first special character apart, and takes what follows for a
        // pattern of its own: the start of that counts as the start of a component.
        let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        let plain = pattern.iter().position(special).unwrap_or(pattern.len());
        let (head, rest) = pattern.split_at(plain);
        let mut tokens: Vec<_> = head.iter().copied().map(Token::Byte).collect();
        let mut at = 0;
        while let Some(&byte) = rest.get(at) {
            at = match byte {
                b'*' => stars(rest, at, &mut tokens),
                b'?' => {
                    tokens.push(Token::One);
                    at + 1
                }
                b'[' => {
                    let (class, end) = class(rest, at + 1)?;
                    tokens.push(Token::Class(Box::new(class)));
                    end
                }
                b'\\' => {
                    tokens.push(Token::Byte(*rest.get(at + 1)?));
                    at + 2
                }
                plain => {
                    tokens.push(Token::Byte(plain));
                    at + 1
                }
            };
        }
        Some(Self { tokens })
    }

    /// Whether it matches the whole text.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let mut now = vec![false; self.tokens.len() + 1];
        let mut next = now.clone();
        self.enter(&mut now, 0);
        for &byte in text {
            next.fill(false);
            let mut alive = false;
            for (at, token) in self.tokens.iter().enumerate() {
                if now.get(at) == Some(&true) {
                    alive |= self.step(token, at, byte, &mut next);
                }
            }
            if !alive {
                return false;
            }
            std::mem::swap(&mut now, &mut next);
        }
        now.last() == Some(&true)
    }

    /// Marks a position, and those that are reached from it without a character.
    fn enter(&self, states: &mut [bool], at: usize) {
        let mut at = at;
        loop {
            if let Some(state) = states.get_mut(at) {
                *state = true;
            }
            match self.tokens.get(at) {
                Some(Token::Star | Token::StarStar) => at += 1,
                Some(Token::MaybeFolders) => {
                    if let Some(inside) = states.get_mut(at + 1) {
                        *inside = true;
                    }
                    at += 2;
                }
                _ => return,
            }
        }
    }

    /// Takes one character at a position; whether that leads anywhere.
    fn step(&self, token: &Token, at: usize, byte: u8, next: &mut [bool]) -> bool {
        let (stays, moves) = match token {
            Token::Byte(wanted) => (false, byte == *wanted),
            Token::One => (false, byte != b'/'),
            Token::Class(class) => (
                false,
                byte != b'/' && class.get(usize::from(byte)) == Some(&true),
            ),
            Token::Star => (byte != b'/', false),
            Token::StarStar => (true, false),
            Token::MaybeFolders => (false, false),
            Token::UpToSlash => (true, byte == b'/'),
        };
        if stays {
            self.enter(next, at);
        }
        if moves {
            self.enter(next, at + 1);
        }
        stays || moves
    }
}

/// Reads a run of stars; returns what follows.
fn stars(pattern: &[u8], at: usize, tokens: &mut Vec<Token>) -> usize {
    let rest = pattern.get(at..).unwrap_or_default();
    let count = rest.iter().take_while(|&&byte| byte == b'*').count();
    let end = at + count;
    let starts = at == 0 || pattern.get(at - 1) == Some(&b'/');
    let after = pattern.get(end..).unwrap_or_default();
    let ends = after.is_empty() || after.starts_with(b"/") || after.starts_with(b"\\/");
    if count == 1 || !starts || !ends {
        tokens.push(Token::Star);
        return end;
    }
    if after.starts_with(b"/") {
        tokens.extend([Token::MaybeFolders, Token::UpToSlash]);
        return end + 1;
    }
    tokens.push(Token::StarStar);
    end
}

/// Reads a class from behind its `[`; returns what follows its `]`.
fn class(pattern: &[u8], start: usize) -> Option<([bool; 256], usize)> {
    let mut at = start;
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    if negated {
        at += 1;
    }
    let mut set = [false; 256];
    let mut previous = None;
    let first = at;
    loop {
        let byte = *pattern.get(at)?;
        if byte == b']' && at > first {
            break;
        }
        let next = pattern.get(at + 1).copied();
        match (byte, previous) {
            (b'\\', _) => {
                let escaped = *pattern.get(at + 1)?;
                mark(&mut set, escaped, escaped);
                previous = Some(escaped);
                at += 2;
            }
            (b'-', Some(low)) if next.is_some_and(|next| next != b']') => {
                let quoted = usize::from(next == Some(b'\\'));
                let high = *pattern.get(at + 1 + quoted)?;
                mark(&mut set, low, high);
                previous = None;
                at += 2 + quoted;
            }
            (b'[', _) if next == Some(b':') => match named(pattern, at + 2)? {
                (Some(kind), end) => {
                    (0..=u8::MAX)
                        .filter(kind)
                        .for_each(|byte| mark(&mut set, byte, byte));
                    previous = None;
                    at = end;
                }
                (None, _) => {
                    mark(&mut set, byte, byte);
                    previous = Some(byte);
                    at += 1;
                }
            },
            _ => {
                mark(&mut set, byte, byte);
                previous = Some(byte);
                at += 1;
            }
        }
    }
    if negated {
        set.iter_mut().for_each(|member| *member = !*member);
    }
    Some((set, at + 1))
}

fn mark(set: &mut [bool; 256], low: u8, high: u8) {
    for (_, member) in set
        .iter_mut()
        .enumerate()
        .filter(|(byte, _)| (usize::from(low)..=usize::from(high)).contains(byte))
    {
        *member = true;
    }
}

type Kind = fn(&u8) -> bool;

/// Reads `alpha:]` and the like; no kind when it isn't closed by `:]`, nothing when there is no such kind.
fn named(pattern: &[u8], start: usize) -> Option<(Option<Kind>, usize)> {
    let rest = pattern.get(start..)?;
    let close = rest.iter().position(|&byte| byte == b']')?;
    let Some(name) = rest.get(..close).and_then(|name| name.strip_suffix(b":")) else {
        return Some((None, start));
    };
    let kind: Kind = match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    };
    Some((Some(kind), start + close + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Wild::new(pattern.as_bytes()).is_some_and(|wild| wild.matches(text.as_bytes()))
    }

    #[test]
    fn what_matches() {
        for (pattern, text) in [
            ("a*c", "abbc"),
            ("*", ""),
            ("a?c", "abc"),
            ("**/b", "b"),
            ("**/b", "a/x/b"),
            ("a/**/b", "a/b"),
            ("a/**/b", "a/x/y/b"),
            ("a/**", "a/x/y"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]a]", "]"),
            ("[[:digit:]_]", "7"),
            ("[a\\]]", "]"),
            ("\\*", "*"),
            ("ü*", "über"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn what_does_not() {
        for (pattern, text) in [
            ("a*c", "a/c"),
            ("a?c", "a/c"),
            ("a[/]c", "a/c"),
            ("a[^b]c", "a/c"),
            ("**/b", "ab"),
            ("a/**/b", "ab"),
            ("a/**", "a"),
            ("[a", "a"),
            ("[[:nope:]]", "a"),
            ("a\\", "a"),
            ("*/b", "a/c/b"),
            ("abc", "abcd"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(900) + "b";
        assert!(!matches(&pattern, &"a".repeat(4000)));
    }
}
