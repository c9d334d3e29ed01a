//! What app.json must look like, told in the words of whoever wrote it, with the place: `formation.web.quantity must be …`.

use serde_json::{Map, Value};

use crate::Invalid;

/// The form of a value.
enum Form {
    Anything,
    Text,
    /// Zero or more.
    Count,
    Whole,
    Truth,
    List(&'static Self),
    /// An object with keys of the user's.
    Each(&'static Self),
    /// An object with these keys, and any others.
    Keys(&'static [Key]),
    TextOr(&'static Self),
}

struct Key {
    name: &'static str,
    form: Form,
    need: Need,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    /// If it is there it has the form.
    Optional,
    /// It may be null, too.
    Nullable,
}

const fn key(name: &'static str, form: Form, need: Need) -> Key {
    Key { name, form, need }
}

static FILE: Form = Form::Keys(&[
    key("buildpacks", Form::List(&BUILDPACK), Need::Optional),
    key("formation", Form::Each(&FORMATION), Need::Optional),
    key("env", Form::Each(&Form::TextOr(&ENV)), Need::Optional),
    key("cron", Form::List(&CRON), Need::Optional),
    key(
        "healthchecks",
        Form::Each(&Form::List(&Form::Anything)),
        Need::Optional,
    ),
    key("scripts", SCRIPTS, Need::Optional),
]);
static BUILDPACK: Form = Form::Keys(&[key("url", Form::Text, Need::Required)]);
static FORMATION: Form = Form::Keys(&[
    key("quantity", Form::Count, Need::Nullable),
    key("max_parallel", Form::Whole, Need::Nullable),
]);
static ENV: Form = Form::Keys(&[
    key("value", Form::Text, Need::Nullable),
    key("generator", Form::Text, Need::Nullable),
    key("required", Form::Truth, Need::Nullable),
    key("sync", Form::Truth, Need::Optional),
]);
static CRON: Form = Form::Keys(&[
    key("command", Form::Text, Need::Required),
    key("schedule", Form::Text, Need::Required),
    key("concurrency_policy", Form::Text, Need::Nullable),
    key("maintenance", Form::Truth, Need::Optional),
]);
const SCRIPTS: Form = Form::Keys(&[
    key("postdeploy", Form::Text, Need::Nullable),
    key(
        "dokku",
        Form::Keys(&[
            key("predeploy", Form::Text, Need::Nullable),
            key("postdeploy", Form::Text, Need::Nullable),
        ]),
        Need::Optional,
    ),
]);

/// Says what is wrong first, and where. Values are not repeated: they may be secrets.
pub(super) fn check(file: &Value) -> Result<(), Invalid> {
    FILE.check(file, "")
}

impl Form {
    fn check(&self, value: &Value, place: &str) -> Result<(), Invalid> {
        match (self, value) {
            (Self::Keys(keys), Value::Object(object)) => {
                keys.iter().try_for_each(|key| key.check(object, place))
            }
            (Self::Each(form), Value::Object(object)) => object
                .iter()
                .try_for_each(|(name, value)| form.check(value, &below(place, name))),
            (Self::List(form), Value::Array(list)) => list
                .iter()
                .enumerate()
                .try_for_each(|(index, value)| form.check(value, &format!("{place}[{index}]"))),
            (Self::TextOr(form), Value::Object(_)) => form.check(value, place),
            _ if self.is_met(value) => Ok(()),
            _ => Err(Invalid::new(format!("{place} must be {}", self.name()))),
        }
    }

    /// Of values that hold no others.
    fn is_met(&self, value: &Value) -> bool {
        match self {
            Self::Anything => true,
            Self::Text | Self::TextOr(_) => value.is_string(),
            Self::Count => value.as_u64().is_some_and(|n| u32::try_from(n).is_ok()),
            Self::Whole => value.is_i64(),
            Self::Truth => value.is_boolean(),
            Self::List(_) | Self::Each(_) | Self::Keys(_) => false,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Anything => "there",
            Self::Text => "a text in quotes",
            Self::Count => "a number without quotes, 0 or more",
            Self::Whole => "a whole number without quotes",
            Self::Truth => "true or false, without quotes",
            Self::List(_) => "a list: [...]",
            Self::Each(_) | Self::Keys(_) => "an object: {...}",
            Self::TextOr(_) => "a text in quotes, or an object: {...}",
        }
    }
}

impl Key {
    fn check(&self, object: &Map<String, Value>, place: &str) -> Result<(), Invalid> {
        let place = below(place, self.name);
        match object.get(self.name) {
            None if self.need == Need::Required => Err(Invalid::new(format!("{place} is missing"))),
            None => Ok(()),
            Some(Value::Null) if self.need == Need::Nullable => Ok(()),
            Some(value) => self.form.check(value, &place),
        }
    }
}

fn below(place: &str, name: &str) -> String {
    let name = name.escape_debug();
    if place.is_empty() {
        name.to_string()
    } else {
        format!("{place}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::AppJson;

    #[test]
    fn errors_name_the_place_in_the_words_of_the_file() {
        for (text, said) in [
            (
                r#"{"formation": {"web": {"quantity": "2"}}}"#,
                "formation.web.quantity must be a number without quotes, 0 or more",
            ),
            (
                r#"{"formation": {"web": {"quantity": -1}}}"#,
                "formation.web.quantity must be a number without quotes, 0 or more",
            ),
            (
                r#"{"formation": {"web": {"max_parallel": 1.5}}}"#,
                "formation.web.max_parallel must be a whole number without quotes",
            ),
            (
                r#"{"formation": {"web": 2}}"#,
                "formation.web must be an object: {...}",
            ),
            (
                r#"{"env": {"X": 5}}"#,
                "env.X must be a text in quotes, or an object: {...}",
            ),
            (
                r#"{"env": {"X": {"required": "yes"}}}"#,
                "env.X.required must be true or false, without quotes",
            ),
            (
                r#"{"env": {"X": {"value": 5}}}"#,
                "env.X.value must be a text in quotes",
            ),
            (
                r#"{"cron": [{"command": "a", "schedule": "@daily"}, {"schedule": "@daily"}]}"#,
                "cron[1].command is missing",
            ),
            (r#"{"cron": {}}"#, "cron must be a list: [...]"),
            (
                r#"{"buildpacks": ["x"]}"#,
                "buildpacks[0] must be an object: {...}",
            ),
            (
                r#"{"healthchecks": {"web": {}}}"#,
                "healthchecks.web must be a list: [...]",
            ),
            (
                r#"{"scripts": {"dokku": {"predeploy": ["a"]}}}"#,
                "scripts.dokku.predeploy must be a text in quotes",
            ),
        ] {
            let error = AppJson::parse(text).unwrap_err().to_string();
            assert_eq!(error, format!("Invalid app.json: {said}"), "{text}");
        }
    }

    #[test]
    fn what_was_read_before_still_is() {
        for text in [
            r#"{"formation": {"web": {"quantity": null, "max_parallel": null}}}"#,
            r#"{"env": {"A": "x", "B": {}, "C": {"value": null, "required": null, "description": 5}}}"#,
            r#"{"scripts": {"postdeploy": null, "dokku": {}}, "website": 1}"#,
            r#"{"cron": [{"command": "a", "schedule": "@daily", "concurrency_policy": null, "more": 1}]}"#,
        ] {
            assert!(AppJson::parse(text).is_ok(), "{text}");
        }
    }
}
