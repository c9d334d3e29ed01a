//! How one environment differs from another: names alone, so it can be said to everybody.

use std::fmt;

use super::{Config, EnvKey};

/// The vars that differ, each list in key order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    pub added: Vec<EnvKey>,
    pub changed: Vec<EnvKey>,
    pub removed: Vec<EnvKey>,
}

impl Config {
    /// What has to be done to this environment for it to become the other one.
    pub fn difference(&self, to: &Self) -> Difference {
        let mut difference = Difference::default();
        for (key, value) in to.iter() {
            match self.get(key.as_str()) {
                None => difference.added.push(key.clone()),
                Some(before) if before != value => difference.changed.push(key.clone()),
                Some(_) => {}
            }
        }
        let gone = self
            .iter()
            .filter(|(key, _)| to.get(key.as_str()).is_none());
        difference.removed = gone.map(|(key, _)| key.clone()).collect();
        difference
    }
}

impl Difference {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys().next().is_none()
    }

    /// Every var that differs.
    pub fn keys(&self) -> impl Iterator<Item = &EnvKey> {
        self.added.iter().chain(&self.changed).chain(&self.removed)
    }

    /// The same without one var.
    #[must_use]
    pub fn without(mut self, key: &EnvKey) -> Self {
        for list in [&mut self.added, &mut self.changed, &mut self.removed] {
            list.retain(|one| one != key);
        }
        self
    }

    /// What was done, for a ledger: `Set A, B; unset C`.
    pub fn deed(&self) -> String {
        let set = joined(self.added.iter().chain(&self.changed), "");
        let unset = joined(self.removed.iter(), "");
        match (set.is_empty(), unset.is_empty()) {
            (false, false) => format!("Set {set}; unset {unset}"),
            (false, true) => format!("Set {set}"),
            (true, _) => format!("Unset {unset}"),
        }
    }
}

impl fmt::Display for Difference {
    /// `A added, B changed, C removed`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            joined(self.added.iter(), " added"),
            joined(self.changed.iter(), " changed"),
            joined(self.removed.iter(), " removed"),
        ];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        f.write_str(&parts.join(", "))
    }
}

fn joined<'a>(keys: impl Iterator<Item = &'a EnvKey>, after: &str) -> String {
    let words: Vec<_> = keys.map(|key| format!("{key}{after}")).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Config {
        vars.iter()
            .map(|(key, value)| (EnvKey::parse(key).unwrap(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn names_are_told_and_no_values() {
        let before = config(&[("GONE", "s1"), ("OTHER", "s2"), ("SAME", "s3")]);
        let after = config(&[("NEW", "s4"), ("OTHER", "s5"), ("SAME", "s3")]);
        let difference = before.difference(&after);
        assert_eq!(
            difference.to_string(),
            "NEW added, OTHER changed, GONE removed"
        );
        assert_eq!(difference.deed(), "Set NEW, OTHER; unset GONE");
        assert_eq!(after.difference(&Config::default()).keys().count(), 3);
        assert_eq!(
            after.difference(&Config::default()).deed(),
            "Unset NEW, OTHER, SAME"
        );
        let all = Config::default().difference(&before).deed();
        assert_eq!(all, "Set GONE, OTHER, SAME");
    }

    #[test]
    fn equal_ones_do_not_differ() {
        let (one, two) = (config(&[("A", "1")]), config(&[("A", "1"), ("B", "")]));
        assert!(one.difference(&one.clone()).is_empty());
        let difference = one.difference(&two);
        assert!(!difference.is_empty());
        assert!(difference.without(&EnvKey::parse("B").unwrap()).is_empty());
    }
}
