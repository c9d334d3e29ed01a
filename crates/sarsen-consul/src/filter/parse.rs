//! From the text of a filter to what it says.

use std::iter::Peekable;
use std::str::Chars;
use std::vec::IntoIter;

use regex_lite::Regex;

use super::{Expression, Match, Operator};

/// The longest expression.
const MAX_LENGTH: usize = 4096;
/// So deep may parentheses and `not` stand in each other.
const MAX_DEPTH: usize = 32;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name, a number or a word of the language.
    Word(String),
    /// In quotes.
    Text(String),
    Equal,
    Unequal,
    Open,
    Close,
    /// `["key"]`
    Index(String),
}

/// The whole text as one expression.
pub(super) fn expression(text: &str) -> Result<Expression, String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} bytes"));
    }
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        depth: 0,
    };
    let found = parser.any()?;
    match parser.tokens.next() {
        None => Ok(found),
        Some(token) => Err(format!("{} is too much", said(&token))),
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut rest = text.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(&next) = rest.peek() {
        if next.is_ascii_whitespace() {
            rest.next();
            continue;
        }
        tokens.push(match next {
            '"' | '`' => Token::Text(quoted(&mut rest)?),
            '[' => index(&mut rest)?,
            '(' | ')' | '=' | '!' => sign(&mut rest)?,
            other if is_word(other) => {
                let mut word = String::new();
                while let Some(letter) = rest.next_if(|letter| is_word(*letter)) {
                    word.push(letter);
                }
                Token::Word(word)
            }
            other => return Err(format!("{other:?} stands for nothing")),
        });
    }
    Ok(tokens)
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "_.-/:".contains(letter)
}

fn sign(rest: &mut Peekable<Chars<'_>>) -> Result<Token, String> {
    let first = rest.next();
    match first {
        Some('(') => Ok(Token::Open),
        Some(')') => Ok(Token::Close),
        Some('=') if rest.next_if_eq(&'=').is_some() => Ok(Token::Equal),
        Some('!') if rest.next_if_eq(&'=').is_some() => Ok(Token::Unequal),
        _ => Err("a comparison is == or !=".to_owned()),
    }
}

fn quoted(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let quote = rest.next();
    let mut text = String::new();
    loop {
        match rest.next() {
            None => return Err("a text does not end".to_owned()),
            Some('\\') if quote == Some('"') => match rest.next() {
                Some(letter @ ('"' | '\\')) => text.push(letter),
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                _ => return Err("\\ stands before \", \\, n or t".to_owned()),
            },
            letter if letter == quote => return Ok(text),
            Some(letter) => text.push(letter),
        }
    }
}

fn index(rest: &mut Peekable<Chars<'_>>) -> Result<Token, String> {
    rest.next();
    let skip = |rest: &mut Peekable<Chars<'_>>| while rest.next_if_eq(&' ').is_some() {};
    skip(rest);
    if !matches!(rest.peek(), Some('"' | '`')) {
        return Err("a key in [ ] stands in quotes".to_owned());
    }
    let key = quoted(rest)?;
    skip(rest);
    match rest.next() {
        Some(']') => Ok(Token::Index(key)),
        _ => Err("a [ is not closed".to_owned()),
    }
}

struct Parser {
    tokens: Peekable<IntoIter<Token>>,
    depth: usize,
}

/// What stands on one side of an operator.
enum Operand {
    /// A selector, or a value without quotes.
    Plain(Vec<String>, String),
    Text(String),
}

impl Operand {
    fn selector(self) -> Result<Vec<String>, String> {
        match self {
            Self::Plain(selector, _) if !selector.iter().any(String::is_empty) => Ok(selector),
            Self::Plain(_, text) | Self::Text(text) => Err(format!("{text:?} is no selector")),
        }
    }

    fn value(self) -> String {
        match self {
            Self::Plain(_, text) | Self::Text(text) => text,
        }
    }
}

impl Parser {
    fn any(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.all()?];
        while self.take("or") {
            parts.push(self.all()?);
        }
        Ok(Expression::Any(parts))
    }

    fn all(&mut self) -> Result<Expression, String> {
        let mut parts = vec![self.one()?];
        while self.take("and") {
            parts.push(self.one()?);
        }
        Ok(Expression::All(parts))
    }

    fn one(&mut self) -> Result<Expression, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("it is nested too deeply".to_owned());
        }
        let found = if self.take("not") {
            Expression::Not(Box::new(self.one()?))
        } else if self.tokens.next_if_eq(&Token::Open).is_some() {
            let found = self.any()?;
            if self.tokens.next_if_eq(&Token::Close).is_none() {
                return Err("a parenthesis is not closed".to_owned());
            }
            found
        } else {
            Expression::Match(self.comparison()?)
        };
        self.depth -= 1;
        Ok(found)
    }

    fn comparison(&mut self) -> Result<Match, String> {
        let (selector, operator, is_negated) = self.parts()?;
        Ok(Match {
            selector: selector.selector()?,
            operator,
            is_negated,
        })
    }

    /// What is compared, how, and whether the contrary is meant.
    fn parts(&mut self) -> Result<(Operand, Operator, bool), String> {
        let left = self.operand()?;
        let sign = self
            .tokens
            .next_if(|token| matches!(token, Token::Equal | Token::Unequal));
        if let Some(sign) = sign {
            let operator = Operator::Equals(self.operand()?.value());
            return Ok((left, operator, sign == Token::Unequal));
        }
        if self.take("is") {
            let is_negated = self.take("not");
            if !self.take("empty") {
                return Err("after `is` comes `empty` or `not empty`".to_owned());
            }
            return Ok((left, Operator::IsEmpty, is_negated));
        }
        let is_negated = self.take("not");
        if self.take("in") {
            let right = self.operand()?;
            return Ok((right, Operator::Holds(left.value()), is_negated));
        }
        if self.take("contains") {
            let operator = Operator::Holds(self.operand()?.value());
            return Ok((left, operator, is_negated));
        }
        if self.take("matches") {
            let pattern = self.operand()?.value();
            let pattern = Regex::new(&pattern).map_err(|error| error.to_string())?;
            return Ok((left, Operator::Matches(pattern), is_negated));
        }
        Err(match self.tokens.peek() {
            Some(token) => format!("{} is no operator", said(token)),
            None => "an operator is missing".to_owned(),
        })
    }

    fn operand(&mut self) -> Result<Operand, String> {
        match self.tokens.next() {
            Some(Token::Text(text)) => Ok(Operand::Text(text)),
            Some(Token::Word(word)) => {
                let mut selector: Vec<String> = word.split('.').map(str::to_owned).collect();
                while let Some(Token::Index(key)) = self
                    .tokens
                    .next_if(|token| matches!(token, Token::Index(_)))
                {
                    selector.push(key);
                    let is_further =
                        |token: &Token| matches!(token, Token::Word(w) if w.starts_with('.'));
                    if let Some(Token::Word(more)) = self.tokens.next_if(is_further) {
                        selector.extend(more.split('.').skip(1).map(str::to_owned));
                    }
                }
                Ok(Operand::Plain(selector, word))
            }
            Some(token) => Err(format!(
                "{} stands where a name or a value is expected",
                said(&token)
            )),
            None => Err("it ends too early".to_owned()),
        }
    }

    /// Takes a word of the language, if it is next.
    fn take(&mut self, word: &str) -> bool {
        let is_it = |token: &Token| matches!(token, Token::Word(found) if found == word);
        self.tokens.next_if(is_it).is_some()
    }
}

fn said(token: &Token) -> String {
    match token {
        Token::Word(text) | Token::Text(text) => format!("{text:?}"),
        Token::Equal => "==".to_owned(),
        Token::Unequal => "!=".to_owned(),
        Token::Open => "(".to_owned(),
        Token::Close => ")".to_owned(),
        Token::Index(key) => format!("[{key:?}]"),
    }
}
