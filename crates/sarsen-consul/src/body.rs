//! Bodies as Consul's clients write them: JSON whose field names count without their case, and durations as text.

use std::collections::BTreeMap;
use std::time::Duration;

use sarsen_registry::duration;
use serde_json::{Map, Value};

use crate::answer::Fault;

/// One JSON object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(Option<&'a Map<String, Value>>);

/// A body as JSON.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(body)
        .map_err(|error| Fault::bad(format!("Request decode failed: {error}")))
}

impl<'a> Fields<'a> {
    /// The fields of an object; `null` has none.
    pub(crate) fn of(value: &'a Value) -> Result<Self, Fault> {
        match value {
            Value::Object(map) => Ok(Self(Some(map))),
            Value::Null => Ok(Self(None)),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(Fault::bad("Request decode failed: an object is expected"))
            }
        }
    }

    /// A field, as it is.
    pub(crate) fn find(&self, name: &str) -> Option<&'a Value> {
        let map = self.0?;
        let found = map.get(name).or_else(|| {
            let mut others = map.iter();
            let plain = |text: &str| text.replace('_', "").to_ascii_lowercase();
            others
                .find(|(key, _)| plain(key) == plain(name))
                .map(|(_, value)| value)
        });
        found.filter(|value| !value.is_null())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// A text; empty when it is not there.
    pub(crate) fn text(&self, name: &str) -> Result<String, Fault> {
        match self.find(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(_) => Err(wrong(name, "a text")),
        }
    }

    /// A number from 0 on; 0 when it is not there.
    pub(crate) fn number(&self, name: &str) -> Result<u64, Fault> {
        match self.find(name) {
            None => Ok(0),
            Some(value) => value.as_u64().ok_or_else(|| wrong(name, "a number")),
        }
    }

    pub(crate) fn port(&self, name: &str) -> Result<u16, Fault> {
        u16::try_from(self.number(name)?).map_err(|_| Fault::bad(format!("Invalid port in {name}")))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.find(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(wrong(name, "true or false")),
        }
    }

    /// A duration: `10s`, or nanoseconds.
    pub(crate) fn duration(&self, name: &str) -> Result<Duration, Fault> {
        match self.find(name) {
            None => Ok(Duration::ZERO),
            Some(Value::String(text)) if text.is_empty() => Ok(Duration::ZERO),
            Some(Value::String(text)) => duration(text).ok_or_else(|| {
                let why = format!("{name}: time: invalid duration {text:?}");
                Fault::bad(format!("Request decode failed: {why}"))
            }),
            Some(value) => {
                let number = value.as_u64().ok_or_else(|| wrong(name, "a duration"))?;
                Ok(Duration::from_nanos(number))
            }
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Vec<String>, Fault> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match self.find(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list
                .iter()
                .map(|value| text(value).ok_or_else(|| wrong(name, "texts")))
                .collect(),
            Some(_) => Err(wrong(name, "a list")),
        }
    }

    /// Texts by name.
    pub(crate) fn map(&self, name: &str) -> Result<BTreeMap<String, String>, Fault> {
        let Some(value) = self.find(name) else {
            return Ok(BTreeMap::new());
        };
        let map = value.as_object().ok_or_else(|| wrong(name, "an object"))?;
        map.iter()
            .map(|(key, value)| {
                let value = value.as_str().ok_or_else(|| wrong(name, "texts"))?;
                Ok((key.clone(), value.to_owned()))
            })
            .collect()
    }

    /// An object below this one.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>, Fault> {
        self.find(name).map(Fields::of).transpose()
    }

    /// Objects below this one.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Self>, Fault> {
        match self.find(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(list)) => list.iter().map(Fields::of).collect(),
            Some(_) => Err(wrong(name, "a list")),
        }
    }

    /// Objects below this one, by name.
    pub(crate) fn objects_by_name(&self, name: &str) -> Result<Vec<(String, Self)>, Fault> {
        let Some(value) = self.find(name) else {
            return Ok(Vec::new());
        };
        let map = value.as_object().ok_or_else(|| wrong(name, "an object"))?;
        map.iter()
            .map(|(key, value)| Ok((key.clone(), Fields::of(value)?)))
            .collect()
    }

    /// Lists of texts by name, as HTTP headers are written.
    pub(crate) fn lists(&self, name: &str) -> Result<Vec<(String, String)>, Fault> {
        let Some(value) = self.find(name) else {
            return Ok(Vec::new());
        };
        let map = value.as_object().ok_or_else(|| wrong(name, "an object"))?;
        let mut pairs = Vec::new();
        for (key, values) in map {
            let values = values.as_array().ok_or_else(|| wrong(name, "lists"))?;
            for value in values {
                let value = value.as_str().ok_or_else(|| wrong(name, "texts"))?;
                pairs.push((key.clone(), value.to_owned()));
            }
        }
        Ok(pairs)
    }
}

fn wrong(name: &str, expected: &str) -> Fault {
    Fault::bad(format!("Request decode failed: {name} must be {expected}"))
}
