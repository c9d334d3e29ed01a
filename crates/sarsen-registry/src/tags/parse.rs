//! Reads a template.

use std::iter::Peekable;
use std::str::Chars;

use super::functions::Function;

/// A part of a template.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Action(Pipeline),
    If(Pipeline, Vec<Self>, Vec<Self>),
}

/// Commands, each of which gets the value of the one before as its last argument.
pub(super) type Pipeline = Vec<Command>;

/// A value, or a function and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Call(Function, Vec<Operand>),
    Value(Operand),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Text(String),
    Number(i64),
    Truth(bool),
    /// `.Config.Image`; empty for the container itself.
    Path(Vec<String>),
    /// A pipeline in parentheses, and the fields of its value.
    Group(Pipeline, Vec<String>),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Text(String),
    Number(i64),
    Path(Vec<String>),
    Word(String),
    Pipe,
    Open,
    Close,
}

/// What comes after a list of pieces.
enum Stop {
    OfText,
    Else,
    End,
}

type Parsed<T> = Result<T, String>;

pub(super) fn parse(text: &str) -> Parsed<Vec<Piece>> {
    let mut rest = text;
    let (pieces, end) = pieces(&mut rest)?;
    match end {
        Stop::OfText => Ok(pieces),
        Stop::Else => Err("there is an else without an if".to_owned()),
        Stop::End => Err("there is an end without an if".to_owned()),
    }
}

fn pieces(rest: &mut &str) -> Parsed<(Vec<Piece>, Stop)> {
    let mut pieces = Vec::new();
    loop {
        let Some((before, after)) = rest.split_once("{{") else {
            push_text(&mut pieces, rest);
            *rest = "";
            return Ok((pieces, Stop::OfText));
        };
        let (inside, after) = split_action(after)?;
        let (inside, trims_before) = match inside.strip_prefix("- ") {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let (inside, after) = match inside.strip_suffix(" -") {
            Some(inside) => (inside, after.trim_start()),
            None => (inside, after),
        };
        let before = if trims_before {
            before.trim_end()
        } else {
            before
        };
        push_text(&mut pieces, before);
        *rest = after;
        let inside = inside.trim();
        if inside.starts_with("/*") {
            continue;
        }
        match inside.split_whitespace().next().unwrap_or_default() {
            "if" => pieces.push(condition(inside.trim_start_matches("if"), rest)?),
            "else" if inside == "else" => return Ok((pieces, Stop::Else)),
            "end" => return Ok((pieces, Stop::End)),
            word @ ("else" | "range" | "with" | "define" | "block" | "template" | "break"
            | "continue") => {
                return Err(format!("'{word}' is not supported here"));
            }
            _ => pieces.push(Piece::Action(pipeline(inside)?)),
        }
    }
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// The text up to the `}}` that is in no quotes.
fn split_action(text: &str) -> Parsed<(&str, &str)> {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some('"') if is_escaped => is_escaped = false,
            Some('"') if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None => {
                if let Some(after) = text.get(at..).and_then(|rest| rest.strip_prefix("}}")) {
                    return Ok((text.get(..at).unwrap_or_default(), after));
                }
            }
        }
    }
    Err("a {{ is never closed".to_owned())
}

fn condition(inside: &str, rest: &mut &str) -> Parsed<Piece> {
    let condition = pipeline(inside)?;
    let (then, end) = pieces(rest)?;
    match end {
        Stop::End => Ok(Piece::If(condition, then, Vec::new())),
        Stop::OfText => Err("an if has no end".to_owned()),
        Stop::Else => match pieces(rest)? {
            (otherwise, Stop::End) => Ok(Piece::If(condition, then, otherwise)),
            (_, Stop::Else | Stop::OfText) => Err("an else has no end".to_owned()),
        },
    }
}

fn pipeline(text: &str) -> Parsed<Pipeline> {
    let tokens = tokens(text)?;
    let mut tokens = tokens.into_iter().peekable();
    let pipeline = commands(&mut tokens)?;
    match tokens.next() {
        None => Ok(pipeline),
        Some(_) => Err("there is a ) without a (".to_owned()),
    }
}

type Tokens = Peekable<std::vec::IntoIter<Token>>;

fn commands(tokens: &mut Tokens) -> Parsed<Pipeline> {
    let mut commands = vec![command(tokens)?];
    while tokens.next_if_eq(&Token::Pipe).is_some() {
        let next = command(tokens)?;
        if let Command::Value(_) = next {
            return Err("only a function can follow a |".to_owned());
        }
        commands.push(next);
    }
    Ok(commands)
}

fn command(tokens: &mut Tokens) -> Parsed<Command> {
    if let Some(Token::Word(word)) = tokens.next_if(is_function) {
        let function = Function::named(&word)?;
        let mut arguments = Vec::new();
        while let Some(argument) = operand(tokens)? {
            arguments.push(argument);
        }
        return Ok(Command::Call(function, arguments));
    }
    let value = operand(tokens)?.ok_or("a value is missing")?;
    match operand(tokens)? {
        None => Ok(Command::Value(value)),
        Some(_) => Err("a value cannot be given arguments".to_owned()),
    }
}

fn is_function(token: &Token) -> bool {
    matches!(token, Token::Word(word) if word != "true" && word != "false")
}

fn operand(tokens: &mut Tokens) -> Parsed<Option<Operand>> {
    let ends = |token: &Token| matches!(token, Token::Pipe | Token::Close);
    if tokens.peek().is_none_or(ends) {
        return Ok(None);
    }
    let operand = match tokens.next() {
        None | Some(Token::Pipe | Token::Close) => return Ok(None),
        Some(Token::Text(text)) => Operand::Text(text),
        Some(Token::Number(number)) => Operand::Number(number),
        Some(Token::Path(path)) => Operand::Path(path),
        Some(Token::Word(word)) if word == "true" => Operand::Truth(true),
        Some(Token::Word(word)) if word == "false" => Operand::Truth(false),
        // A function without arguments of its own.
        Some(Token::Word(word)) => {
            let call = Command::Call(Function::named(&word)?, Vec::new());
            Operand::Group(vec![call], Vec::new())
        }
        Some(Token::Open) => {
            let inner = commands(tokens)?;
            if tokens.next() != Some(Token::Close) {
                return Err("a ( is never closed".to_owned());
            }
            Operand::Group(inner, fields(tokens))
        }
    };
    Ok(Some(operand))
}

/// The fields that follow a parenthesis.
fn fields(tokens: &mut Tokens) -> Vec<String> {
    match tokens.next_if(|token| matches!(token, Token::Path(path) if !path.is_empty())) {
        Some(Token::Path(path)) => path,
        _ => Vec::new(),
    }
}

fn tokens(text: &str) -> Parsed<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        let token = match c {
            c if c.is_whitespace() => {
                chars.next();
                continue;
            }
            '"' => Token::Text(quoted(&mut chars)?),
            '`' => Token::Text(raw(&mut chars)?),
            '|' => single(&mut chars, Token::Pipe),
            '(' => single(&mut chars, Token::Open),
            ')' => single(&mut chars, Token::Close),
            '.' => path(&mut chars),
            '-' | '+' | '0'..='9' => number(&mut chars)?,
            c if c.is_alphabetic() || c == '_' => Token::Word(word(&mut chars)),
            '$' => return Err("variables are not supported here".to_owned()),
            other => return Err(format!("'{}' is not understood", other.escape_debug())),
        };
        tokens.push(token);
    }
    Ok(tokens)
}

fn single(chars: &mut Peekable<Chars<'_>>, token: Token) -> Token {
    chars.next();
    token
}

fn word(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut word = String::new();
    while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
        word.push(c);
    }
    word
}

fn path(chars: &mut Peekable<Chars<'_>>) -> Token {
    let mut path = Vec::new();
    while chars.next_if_eq(&'.').is_some() {
        let field = word(chars);
        if !field.is_empty() {
            path.push(field);
        }
    }
    Token::Path(path)
}

fn number(chars: &mut Peekable<Chars<'_>>) -> Parsed<Token> {
    let mut text = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_digit() || *c == '-' || *c == '+') {
        text.push(c);
    }
    let number = text.parse().map_err(|_| format!("{text} is no number"))?;
    Ok(Token::Number(number))
}

fn raw(chars: &mut Peekable<Chars<'_>>) -> Parsed<String> {
    chars.next();
    let mut text = String::new();
    loop {
        match chars.next() {
            Some('`') => return Ok(text),
            Some(c) => text.push(c),
            None => return Err("a ` is never closed".to_owned()),
        }
    }
}

fn quoted(chars: &mut Peekable<Chars<'_>>) -> Parsed<String> {
    chars.next();
    let mut text = String::new();
    loop {
        match chars.next() {
            Some('"') => return Ok(text),
            Some('\\') => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(c @ ('"' | '\\' | '\'')) => text.push(c),
                _ => return Err("a \\ in quotes is not understood".to_owned()),
            },
            Some(c) => text.push(c),
            None => return Err("a \" is never closed".to_owned()),
        }
    }
}
