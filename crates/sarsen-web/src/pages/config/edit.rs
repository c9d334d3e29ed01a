//! An edited text of config vars against what is set.

use std::collections::{BTreeMap, BTreeSet};

use sarsen_domain::envfile;

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
        for var in envfile::parse(text).map_err(|error| error.to_string())? {
            let key = var.key.to_string();
            let value = if var.value == MASK {
                let kept = now.get(&key).cloned();
                kept.ok_or_else(|| {
                    format!("Line {}: {key} has no value that could be kept", var.line)
                })?
            } else {
                var.value
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
        let text = format!("A={MASK}\n# a note\nB=\"new\nvalue\"\nexport D='4 5'\n");
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
        assert_eq!(parse("A=1\nnonsense"), "Line 2: write it as KEY=value");
        assert!(parse("1A=x").starts_with("Line 1: "));
        assert_eq!(
            parse(&format!("A={MASK}")),
            "Line 1: A has no value that could be kept"
        );
    }
}
