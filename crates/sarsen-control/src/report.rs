//! Reports: `X:report [APP] [--FIELD] [--format json]`, the same for every concern.

use std::collections::BTreeMap;

use sarsen_domain::padded;

use crate::failure::{Failure, Outcome};
use crate::table::Call;

/// The fields of one app's (or the global) report: flag without dashes → value.
pub(crate) type Fields = BTreeMap<String, String>;

/// How a concern's report is called and shown.
pub(crate) struct ReportKind {
    /// The prefix of its flags: `git` for `--git-sha`; empty when the flags have none.
    pub prefix: &'static str,
    /// The word in the heading: `=====> APP git information`.
    pub label: &'static str,
    /// Whether JSON also carries the keys with their prefix.
    pub long_json_keys: bool,
}

/// Prints one section in the form that the caller asked for.
pub(crate) async fn print(
    call: &mut Call,
    kind: &ReportKind,
    name: &str,
    fields: &Fields,
) -> Outcome {
    let chosen: Vec<String> = call
        .args
        .flags_with("--")
        .iter()
        .filter(|flag| is_field(flag))
        .map(|flag| flag.to_string())
        .collect();
    let json = wants_json(call)?;
    match chosen.as_slice() {
        [] if json => call.out.line(&to_json(kind, fields)).await,
        [] => call.out.bytes(text(kind, name, fields).as_bytes()).await,
        [_] if json => Err(Failure::new(
            "--format json cannot be combined with a field flag",
        )),
        [flag] => {
            let value = fields.get(flag.trim_start_matches('-')).ok_or_else(|| {
                let valid: Vec<_> = fields.keys().map(|key| format!("--{key}")).collect();
                Failure::new(format!(
                    "Invalid flag passed, valid flags: {}",
                    valid.join(", ")
                ))
            })?;
            call.out.line(value).await
        }
        _ => Err(Failure::new("Only one field flag can be given at a time")),
    }
}

/// Whether `--format json` was given; `text` is `stdout` by another name.
pub(crate) fn wants_json(call: &Call) -> Outcome<bool> {
    match call.args.value("--format") {
        None | Some("stdout" | "text") => Ok(false),
        Some("json") => Ok(true),
        Some(other) => Err(Failure::new(format!(
            "Unknown format '{}': use stdout or json",
            other.escape_debug()
        ))),
    }
}

fn is_field(flag: &str) -> bool {
    !matches!(flag, "--format" | "--global" | "--all")
}

/// One section as people read it.
pub(crate) fn text(kind: &ReportKind, name: &str, fields: &Fields) -> String {
    let width = fields
        .keys()
        .map(|key| key.len() + 2)
        .max()
        .unwrap_or(0)
        .max(31);
    let mut text = format!("=====> {name} {} information\n", kind.label);
    for (key, value) in fields {
        let mut row = "       ".to_owned();
        padded(&mut row, &format!("{}:", words(key)), width);
        row.push_str(value);
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn to_json(kind: &ReportKind, fields: &Fields) -> String {
    let prefix = if kind.prefix.is_empty() {
        String::new()
    } else {
        format!("{}-", kind.prefix)
    };
    let mut object = serde_json::Map::new();
    for (key, value) in fields {
        object.insert(
            key.trim_start_matches(&prefix).to_owned(),
            value.as_str().into(),
        );
        if kind.long_json_keys {
            object.insert(key.clone(), value.as_str().into());
        }
    }
    serde_json::Value::Object(object).to_string()
}

fn words(key: &str) -> String {
    let spaced = key.replace(['-', '.'], " ");
    let mut chars = spaced.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIT: ReportKind = ReportKind {
        prefix: "git",
        label: "git",
        long_json_keys: false,
    };

    #[test]
    fn text_is_aligned_like_dokkus() {
        let fields = Fields::from([("git-sha".to_owned(), "abc".to_owned())]);
        assert_eq!(
            text(&GIT, "app", &fields),
            "=====> app git information\n       Git sha:                       abc\n"
        );
    }

    #[test]
    fn json_keys_lose_the_prefix() {
        let fields = Fields::from([("git-sha".to_owned(), "abc".to_owned())]);
        assert_eq!(to_json(&GIT, &fields), r#"{"sha":"abc"}"#);
        let long = ReportKind {
            long_json_keys: true,
            ..GIT
        };
        assert_eq!(to_json(&long, &fields), r#"{"sha":"abc","git-sha":"abc"}"#);
    }
}
