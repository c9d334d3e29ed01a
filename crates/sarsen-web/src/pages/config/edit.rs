//! An edited text of config vars against what is set.

use std::collections::{BTreeMap, BTreeSet};

use sarsen_domain::EnvKey;

use super::MASK;

/// What is to be, and what was.
#[derive(Debug)]
pub(super) struct Edit {
    now: BTreeMap<String, String>,
    then: BTreeMap<String, String>,
}

/// A line of the difference. Values that were there are not shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) sign: &'static str,
    pub(crate) tone: &'static str,
    pub(crate) key: String,
    pub(crate) text: String,
}

impl Edit {
    /// Reads `KEY=VALUE` lines. A masked value stays; a known key that has no line goes; what others have set meanwhile
    /// stays, too.
    pub(super) fn parse(
        text: &str,
        known: &str,
        now: BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let known: BTreeSet<&str> = known.split_whitespace().collect();
        let mut then: BTreeMap<_, _> = now
            .iter()
            .filter(|(key, _)| !known.contains(key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |what: &str| format!("Line {}: {what}", number + 1);
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| at("write it as KEY=VALUE"))?;
            let key = EnvKey::parse(key.trim())
                .map_err(|error| at(&error.to_string()))?
                .to_string();
            let value = match value.trim() {
                MASK => now
                    .get(&key)
                    .cloned()
                    .ok_or_else(|| at(&format!("{key} has no value that could be kept")))?,
                written => unquoted(written),
            };
            then.insert(key, value);
        }
        Ok(Self { now, then })
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        let keys: BTreeSet<_> = self.now.keys().chain(self.then.keys()).collect();
        let change = |key: &String| {
            let (sign, tone, text) = match (self.now.get(key), self.then.get(key)) {
                (None, Some(new)) => ("+", "good", shown(new)),
                (Some(_), None) => ("−", "bad", String::new()),
                (Some(old), Some(new)) if old != new => ("±", "odd", shown(new)),
                _ => return None,
            };
            Some(Change {
                sign,
                tone,
                key: key.clone(),
                text,
            })
        };
        keys.into_iter().filter_map(change).collect()
    }

    /// Everything as it is to be, in a form that the import reads back to the letter.
    pub(super) fn whole(&self) -> String {
        serde_json::json!(self.then).to_string()
    }
}

/// A value in quotes is what stands between them; in double quotes `\n` is a line end.
fn unquoted(value: &str) -> String {
    let between = |quote: char| {
        let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
        (value.len() > 1).then_some(inner)
    };
    if let Some(inner) = between('\'') {
        return inner.to_owned();
    }
    let Some(inner) = between('"') else {
        return value.to_owned();
    };
    let mut text = String::new();
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match (character, character == '\\') {
            (_, true) => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            (other, false) => text.push(other),
        }
    }
    text
}

fn shown(value: &str) -> String {
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn masked_lines_stay_and_missing_ones_go() {
        let now = vars(&[("A", "1"), ("B", "two\nlines"), ("C", "3"), ("LATER", "x")]);
        let text = format!("A={MASK}\n# a note\nB=\"new\\nvalue\"\nexport D='4 5'\n");
        let edit = Edit::parse(&text, "A B C", now).unwrap();
        let signs: Vec<_> = edit
            .changes()
            .iter()
            .map(|one| format!("{}{}", one.sign, one.key))
            .collect();
        assert_eq!(signs, ["±B", "−C", "+D"]);
        assert_eq!(
            edit.then,
            vars(&[
                ("A", "1"),
                ("B", "new\nvalue"),
                ("D", "4 5"),
                ("LATER", "x")
            ])
        );
        assert!(edit.changes().iter().all(|one| !one.text.contains("two")));
    }

    #[test]
    fn what_cannot_be_read_is_told_by_line() {
        let parse = |text: &str| Edit::parse(text, "", BTreeMap::new()).unwrap_err();
        assert_eq!(parse("A=1\nnonsense"), "Line 2: write it as KEY=VALUE");
        assert!(parse("1A=x").starts_with("Line 1: "));
        assert_eq!(
            parse(&format!("A={MASK}")),
            "Line 1: A has no value that could be kept"
        );
    }
}
