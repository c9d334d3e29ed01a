//! One pattern of a `.dockerignore`, matched in time linear in the path: patterns come from strangers.

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern(Vec<Token>);

#[derive(Debug)]
enum Token {
    Literal(char),
    /// `?`
    NotSlash,
    /// `*`
    Star,
    /// `**` at the end: anything.
    Anything,
    /// `**/`: nothing, or any folders and their slash.
    Folders,
    /// `[…]`
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// `None` when the pattern ends too early, or is longer than any path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > 4096 {
            return None;
        }
        let mut chars = text.chars().peekable();
        let mut tokens = Vec::new();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    chars.next_if_eq(&'/');
                    if chars.peek().is_none() {
                        Token::Anything
                    } else {
                        Token::Folders
                    }
                }
                '*' => Token::Star,
                '?' => Token::NotSlash,
                '\\' => Token::Literal(chars.next()?),
                '[' => parse_class(&mut chars)?,
                other => Token::Literal(other),
            });
        }
        Some(Self(tokens))
    }

    /// Whether the whole path, or one of the folders it is in, matches. Walks the path once, at all positions in
    /// the pattern that are possible at the same time.
    pub(super) fn matches(&self, path: &str) -> bool {
        let mut states = States::new(self.0.len());
        self.enter(0, &mut states);
        for char in path.chars() {
            if char == '/' && states.at(self.0.len()) {
                return true;
            }
            let mut next = States::new(self.0.len());
            for (index, token) in self.0.iter().enumerate() {
                if states.at(index) {
                    self.step(index, token, char, &mut next);
                }
                if states.inside(index) {
                    next.set_inside(index);
                    if char == '/' {
                        self.enter(index + 1, &mut next);
                    }
                }
            }
            states = next;
        }
        states.at(self.0.len())
    }

    /// Arrives before a token, and behind it too when it can match nothing.
    fn enter(&self, index: usize, states: &mut States) {
        if states.at(index) {
            return;
        }
        states.set(index);
        match self.0.get(index) {
            Some(Token::Star | Token::Anything) => self.enter(index + 1, states),
            Some(Token::Folders) => {
                states.set_inside(index);
                self.enter(index + 1, states);
            }
            _ => {}
        }
    }

    fn step(&self, index: usize, token: &Token, char: char, next: &mut States) {
        let passes = match token {
            Token::Literal(wanted) => char == *wanted,
            Token::NotSlash => char != '/',
            Token::Class { negated, ranges } => {
                *negated
                    != ranges
                        .iter()
                        .any(|(low, high)| (*low..=*high).contains(&char))
            }
            Token::Star if char != '/' => return self.enter(index, next),
            Token::Anything => return self.enter(index, next),
            Token::Star | Token::Folders => false,
        };
        if passes {
            self.enter(index + 1, next);
        }
    }
}

/// The members of a `[…]` up to its end.
fn parse_class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match chars.next()? {
            ']' if !ranges.is_empty() => return Some(Token::Class { negated, ranges }),
            '\\' => chars.next()?,
            other => other,
        };
        let high = if chars.next_if_eq(&'-').is_some() {
            match chars.next()? {
                '\\' => chars.next()?,
                other => other,
            }
        } else {
            low
        };
        ranges.push((low, high));
    }
}

/// Which positions of a pattern are reached: before token n, or within the folders of a `**/`.
struct States {
    before: Vec<bool>,
    within: Vec<bool>,
}

impl States {
    fn new(tokens: usize) -> Self {
        Self {
            before: vec![false; tokens + 1],
            within: vec![false; tokens + 1],
        }
    }

    fn at(&self, index: usize) -> bool {
        self.before.get(index).copied().unwrap_or_default()
    }

    fn inside(&self, index: usize) -> bool {
        self.within.get(index).copied().unwrap_or_default()
    }

    fn set(&mut self, index: usize) {
        if let Some(state) = self.before.get_mut(index) {
            *state = true;
        }
    }

    fn set_inside(&mut self, index: usize) {
        if let Some(state) = self.within.get_mut(index) {
            *state = true;
        }
    }
}
