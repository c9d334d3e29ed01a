//! The functions of a template: Registrator's, and those of Go's own that make sense for tags.

use regex_lite::Regex;
use serde_json::Value;

use super::evaluate::is_true;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Equal,
    Index,
    Join,
    Length,
    MatchAll,
    MatchFirst,
    MapIndex,
    Not,
    NotEqual,
    Or,
    Replace,
    Slice,
    SliceIndex,
    Split,
    SplitIndex,
    ToLower,
    ToUpper,
}

type Outcome<T> = Result<T, String>;

impl Function {
    pub(super) fn named(name: &str) -> Outcome<Self> {
        Ok(match name {
            "and" => Self::And,
            "eq" => Self::Equal,
            "index" => Self::Index,
            "join" => Self::Join,
            "len" => Self::Length,
            "matchAllElements" => Self::MatchAll,
            "matchFirstElement" => Self::MatchFirst,
            "mIndex" => Self::MapIndex,
            "not" => Self::Not,
            "ne" => Self::NotEqual,
            "or" => Self::Or,
            "replace" => Self::Replace,
            "strSlice" => Self::Slice,
            "sIndex" => Self::SliceIndex,
            "split" => Self::Split,
            "splitIndex" => Self::SplitIndex,
            "toLower" => Self::ToLower,
            "toUpper" => Self::ToUpper,
            "httpGet" | "jsonParse" => {
                return Err(format!(
                    "{name} is not supported: a tag that had to be fetched would hold up every registration"
                ));
            }
            other => return Err(format!("there is no function {other}")),
        })
    }

    /// What it makes of its arguments.
    pub(super) fn call(self, arguments: &[Value]) -> Outcome<Value> {
        match (self, arguments) {
            (Self::And, [.., last]) => {
                let first_false = arguments.iter().find(|value| !is_true(value));
                Ok(first_false.unwrap_or(last).clone())
            }
            (Self::Or, [.., last]) => {
                let first_true = arguments.iter().find(|value| is_true(value));
                Ok(first_true.unwrap_or(last).clone())
            }
            (Self::Not, [value]) => Ok(Value::Bool(!is_true(value))),
            (Self::Equal, [one, others @ ..]) if !others.is_empty() => {
                Ok(Value::Bool(others.contains(one)))
            }
            (Self::NotEqual, [one, other]) => Ok(Value::Bool(one != other)),
            (Self::Length, [value]) => length(value),
            (Self::Index, [value, keys @ ..]) => index(value, keys),
            (Self::MapIndex, [key, map]) => Ok(map.get(text(key)?).cloned().unwrap_or_default()),
            (Self::Join, [separator, list]) => {
                Ok(Value::String(texts(list)?.join(text(separator)?)))
            }
            (Self::Split, [separator, value]) => Ok(split(text(separator)?, text(value)?)),
            (Self::SplitIndex, [at, separator, value]) => {
                pick(number(at)?, &split(text(separator)?, text(value)?))
            }
            (Self::SliceIndex, [at, list]) => pick(number(at)?, list),
            (Self::Slice, [value, bounds @ ..]) => slice(text(value)?, bounds),
            (Self::Replace, [count, old, new, value]) => {
                let (old, new, value) = (text(old)?, text(new)?, text(value)?);
                let count = usize::try_from(number(count)?);
                Ok(Value::String(count.map_or_else(
                    |_| value.replace(old, new),
                    |count| value.replacen(old, new, count),
                )))
            }
            (Self::ToLower, [value]) => Ok(Value::String(text(value)?.to_lowercase())),
            (Self::ToUpper, [value]) => Ok(Value::String(text(value)?.to_uppercase())),
            (Self::MatchFirst, [pattern, list]) => {
                let found = matching(pattern, list)?.into_iter().next();
                Ok(found.unwrap_or_else(|| Value::String(String::new())))
            }
            (Self::MatchAll, [pattern, list]) => Ok(Value::Array(matching(pattern, list)?)),
            _ => Err(format!(
                "{self:?} does not take {} arguments",
                arguments.len()
            )),
        }
    }
}

/// A field by its name; of a map, what is not there is nothing.
pub(super) fn field(value: &Value, name: &str) -> Outcome<Value> {
    match value {
        Value::Object(fields) => Ok(fields.get(name).cloned().unwrap_or_default()),
        Value::Null => Ok(Value::Null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(format!("{} has no field {name}", show(value)))
        }
    }
}

/// As it is written into a tag.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) => {
            let all: Vec<_> = all.iter().map(show).collect();
            format!("[{}]", all.join(" "))
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

fn text(value: &Value) -> Outcome<&str> {
    if value.is_null() {
        return Ok("");
    }
    let text = value.as_str();
    text.ok_or_else(|| format!("{} is no text", show(value)))
}

fn number(value: &Value) -> Outcome<i64> {
    let number = value.as_i64();
    number.ok_or_else(|| format!("{} is no number", show(value)))
}

fn list(value: &Value) -> Outcome<&[Value]> {
    if value.is_null() {
        return Ok(&[]);
    }
    let list = value.as_array().map(Vec::as_slice);
    list.ok_or_else(|| format!("{} is no list", show(value)))
}

fn texts(value: &Value) -> Outcome<Vec<&str>> {
    list(value)?.iter().map(text).collect()
}

fn split(separator: &str, value: &str) -> Value {
    let parts: Vec<Value> = value.split(separator).map(Value::from).collect();
    Value::Array(parts)
}

/// An element; a negative place counts from the end, and one that is too far is the outermost.
fn pick(at: i64, value: &Value) -> Outcome<Value> {
    let all = list(value)?;
    let count = i64::try_from(all.len()).unwrap_or(i64::MAX);
    let at = if at < 0 {
        (count + at).max(0)
    } else {
        at.min(count - 1)
    };
    let found = usize::try_from(at).ok().and_then(|at| all.get(at));
    Ok(found
        .cloned()
        .unwrap_or_else(|| Value::String(String::new())))
}

fn slice(value: &str, bounds: &[Value]) -> Outcome<Value> {
    let place = |value: &Value| Ok::<_, String>(usize::try_from(number(value)?).unwrap_or(0));
    let range = match bounds {
        [from] => value.get(place(from)?..),
        [from, to] => {
            let (from, to) = (place(from)?, place(to)?);
            if to < from {
                value.get(from..)
            } else {
                value.get(from..to)
            }
        }
        _ => return Err("strSlice takes one or two numbers".to_owned()),
    };
    Ok(Value::from(range.unwrap_or(value)))
}

fn length(value: &Value) -> Outcome<Value> {
    let length = match value {
        Value::String(text) => text.len(),
        Value::Array(all) => all.len(),
        Value::Object(all) => all.len(),
        Value::Null => 0,
        Value::Bool(_) | Value::Number(_) => return Err(format!("{value} has no length")),
    };
    Ok(Value::from(length))
}

fn index(value: &Value, keys: &[Value]) -> Outcome<Value> {
    let mut value = value.clone();
    for key in keys {
        value = if let Some(name) = key.as_str() {
            field(&value, name)?
        } else {
            let at = usize::try_from(number(key)?).ok();
            let found = at.and_then(|at| list(&value).ok()?.get(at).cloned());
            found.ok_or_else(|| format!("there is no element {}", show(key)))?
        };
    }
    Ok(value)
}

fn matching(pattern: &Value, value: &Value) -> Outcome<Vec<Value>> {
    let pattern = Regex::new(text(pattern)?).map_err(|error| error.to_string())?;
    let mut found = list(value)?.to_vec();
    found.retain(|element| pattern.is_match(&show(element)));
    Ok(found)
}
