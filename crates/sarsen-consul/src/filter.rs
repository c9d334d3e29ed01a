//! Filter expressions: `Meta.env == production and not "old" in Tags`, carried out on the rows of an answer.
//!
//! Names count with their case. A key that a map of somebody's own keys (`Meta`) does not have equals nothing, is in
//! nothing, and is empty; a field that no row has is a mistake, and told.

mod parse;
#[cfg(test)]
mod tests;

use regex_lite::Regex;
use serde_json::{Map, Value};

/// Maps whose keys are their owners' to choose.
const MAPS: [&str; 6] = [
    "Config",
    "Meta",
    "NodeMeta",
    "ServiceMeta",
    "ServiceTaggedAddresses",
    "TaggedAddresses",
];
/// Fields that rows leave out when they say nothing, with all that is below them.
const LEFT_OUT: [&str; 7] = [
    "Connect",
    "Kind",
    "Proxy",
    "ServiceConnect",
    "ServiceProxy",
    "ServiceTaggedAddresses",
    "TaggedAddresses",
];

/// An expression that is well formed.
#[derive(Debug, Clone)]
pub(crate) struct Filter(Expression);

#[derive(Debug, Clone)]
enum Expression {
    /// `or`
    Any(Vec<Self>),
    /// `and`
    All(Vec<Self>),
    Not(Box<Self>),
    Match(Match),
}

#[derive(Debug, Clone)]
struct Match {
    selector: Vec<String>,
    operator: Operator,
    is_negated: bool,
}

#[derive(Debug, Clone)]
enum Operator {
    Equals(String),
    /// `in` and `contains`
    Holds(String),
    IsEmpty,
    Matches(Regex),
}

/// Where a selector has led so far.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    /// To a map of somebody's own keys.
    is_map: bool,
    /// To something that rows leave out.
    may_lack: bool,
}

/// What a selector leads to.
#[derive(Clone, Copy)]
enum Found<'a> {
    Value(&'a Value),
    /// The row leaves out what says nothing.
    Nothing,
    /// The map does not have this key.
    NoKey,
}

impl Filter {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        parse::expression(text).map(Self)
    }

    /// The rows that fit.
    pub(crate) fn rows(&self, rows: Vec<Value>) -> Result<Vec<Value>, String> {
        let mut kept = Vec::new();
        for row in rows {
            if self.0.fits(&row)? {
                kept.push(row);
            }
        }
        Ok(kept)
    }

    /// The entries that fit.
    pub(crate) fn entries(
        &self,
        entries: Map<String, Value>,
    ) -> Result<Map<String, Value>, String> {
        let mut kept = Map::new();
        for (key, row) in entries {
            if self.0.fits(&row)? {
                kept.insert(key, row);
            }
        }
        Ok(kept)
    }
}

impl Expression {
    fn fits(&self, row: &Value) -> Result<bool, String> {
        match self {
            Self::Any(parts) => {
                for part in parts {
                    if part.fits(row)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::All(parts) => {
                for part in parts {
                    if !part.fits(row)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Not(part) => Ok(!part.fits(row)?),
            Self::Match(one) => one.fits(row),
        }
    }
}

impl Match {
    fn fits(&self, row: &Value) -> Result<bool, String> {
        self.fits_below(row, &self.selector, Place::default())
    }

    /// Whether what the rest of the selector leads to is as it should be; below a list, that of any of its elements.
    fn fits_below(&self, value: &Value, names: &[String], at: Place) -> Result<bool, String> {
        let Some((name, rest)) = names.split_first() else {
            return self.decide(Found::Value(value));
        };
        let may_lack = at.may_lack || !at.is_map && LEFT_OUT.contains(&name.as_str());
        let inner = match value {
            Value::Object(map) => map.get(name),
            Value::Null => None,
            Value::Array(list) => {
                for element in list {
                    if self.fits_below(element, names, at)? {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) => return Err(self.is_wrong()),
        };
        let is_map = !at.is_map && MAPS.contains(&name.as_str());
        match inner {
            Some(inner) => self.fits_below(inner, rest, Place { is_map, may_lack }),
            None if at.is_map => self.decide(Found::NoKey),
            None if may_lack => self.decide(Found::Nothing),
            None => Err(self.is_wrong()),
        }
    }

    fn decide(&self, found: Found<'_>) -> Result<bool, String> {
        let is_so = match found {
            Found::Value(value) => self.is_so(value)?,
            Found::Nothing => match &self.operator {
                Operator::Equals(wanted) => ["", "0", "false"].contains(&wanted.as_str()),
                Operator::Holds(_) => false,
                Operator::IsEmpty => true,
                Operator::Matches(pattern) => pattern.is_match(""),
            },
            Found::NoKey => matches!(self.operator, Operator::IsEmpty),
        };
        Ok(is_so != self.is_negated)
    }

    fn is_so(&self, value: &Value) -> Result<bool, String> {
        let unfit = || {
            let selector = self.selector.join(".");
            Err(format!(
                "The operator does not fit the selector {selector:?}"
            ))
        };
        match (&self.operator, value) {
            (Operator::Equals(wanted), _) => match equals(value, wanted) {
                Some(is_so) => Ok(is_so),
                None => unfit(),
            },
            (Operator::Holds(wanted), Value::String(text)) => Ok(text.contains(wanted.as_str())),
            (Operator::Holds(wanted), Value::Object(map)) => Ok(map.contains_key(wanted)),
            (Operator::Holds(wanted), Value::Array(list)) => {
                Ok(list.iter().any(|one| equals(one, wanted) == Some(true)))
            }
            (Operator::Holds(_), Value::Null) => Ok(false),
            (Operator::IsEmpty, Value::Null) => Ok(true),
            (Operator::IsEmpty, Value::String(text)) => Ok(text.is_empty()),
            (Operator::IsEmpty, Value::Object(map)) => Ok(map.is_empty()),
            (Operator::IsEmpty, Value::Array(list)) => Ok(list.is_empty()),
            (Operator::Matches(pattern), Value::String(text)) => Ok(pattern.is_match(text)),
            (Operator::Matches(pattern), Value::Null) => Ok(pattern.is_match("")),
            (
                Operator::Holds(_) | Operator::IsEmpty | Operator::Matches(_),
                Value::Bool(_) | Value::Number(_),
            )
            | (Operator::Matches(_), Value::Object(_) | Value::Array(_)) => unfit(),
        }
    }

    fn is_wrong(&self) -> String {
        format!("Selector {:?} is not valid", self.selector.join("."))
    }
}

/// Whether a value is what the text says of it; nothing when such a value cannot be said.
fn equals(value: &Value, wanted: &str) -> Option<bool> {
    match value {
        Value::String(text) => Some(text == wanted),
        Value::Null => Some(wanted.is_empty()),
        Value::Bool(is_so) => match wanted {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(*is_so),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(!is_so),
            _ => None,
        },
        Value::Number(number) => {
            let wanted = wanted.parse::<serde_json::Number>().ok()?;
            Some(*number == wanted)
        }
        Value::Array(_) | Value::Object(_) => None,
    }
}
