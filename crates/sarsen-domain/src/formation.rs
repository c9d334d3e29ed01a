//! How many containers of each process type run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Invalid, ProcessType};

/// A container's place among its siblings, from 1: the `2` of `web.2`.
pub type ProcessIndex = u32;

/// No host runs more copies of one process than this; a typo must not start a million containers.
const QUANTITY_MAX: u32 = 500;

/// Quantities by process type.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Formation(BTreeMap<ProcessType, u32>);

impl Formation {
    /// What a new app gets: `web=1`.
    pub fn initial() -> Self {
        Self(BTreeMap::from([(ProcessType::web(), 1)]))
    }

    /// Sets one quantity.
    pub fn set(&mut self, process: ProcessType, quantity: u32) {
        self.0.insert(process, quantity);
    }

    /// The quantity of one type; 0 when it was never scaled.
    pub fn quantity(&self, process: &ProcessType) -> u32 {
        self.0.get(process).copied().unwrap_or(0)
    }

    /// Whether the type was ever given a quantity.
    pub fn contains(&self, process: &ProcessType) -> bool {
        self.0.contains_key(process)
    }

    /// Types and quantities, `web` first.
    pub fn iter(&self) -> impl Iterator<Item = (&ProcessType, u32)> {
        let (web, rest): (Vec<_>, Vec<_>) =
            self.0.iter().partition(|(process, _)| process.is_web());
        web.into_iter()
            .chain(rest)
            .map(|(process, quantity)| (process, *quantity))
    }

    /// The number of containers in all.
    pub fn total(&self) -> u32 {
        self.0.values().sum()
    }
}

impl FromIterator<(ProcessType, u32)> for Formation {
    fn from_iter<I: IntoIterator<Item = (ProcessType, u32)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

/// Parses `web=2`.
pub fn parse_scale(text: &str) -> Result<(ProcessType, u32), Invalid> {
    let invalid = || {
        Invalid::new(format!(
            "Invalid scale '{}': write it as process=count, such as web=2",
            text.escape_debug()
        ))
    };
    let (process, count) = text.split_once('=').ok_or_else(invalid)?;
    let process = ProcessType::parse(process)?;
    if process.is_release() {
        return Err(Invalid::new(
            "The release command runs once in each deploy and cannot be scaled",
        ));
    }
    let count: u32 = count.parse().map_err(|_| invalid())?;
    if count > QUANTITY_MAX {
        return Err(Invalid::new(format!(
            "Cannot scale {process} to {count}: the limit is {QUANTITY_MAX}"
        )));
    }
    Ok((process, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_comes_first() {
        let formation: Formation = ["clock=1", "web=2", "a=0"]
            .iter()
            .map(|text| parse_scale(text).unwrap())
            .collect();
        let order: Vec<_> = formation.iter().map(|(p, n)| format!("{p}={n}")).collect();
        assert_eq!(order, ["web=2", "a=0", "clock=1"]);
        assert_eq!(formation.total(), 3);
    }

    #[test]
    fn bad_counts_are_refused() {
        for bad in [
            "web",
            "web=",
            "web=-1",
            "web=x",
            "=1",
            "web=1.5",
            "web=501",
            "release=1",
        ] {
            assert!(parse_scale(bad).is_err(), "{bad}");
        }
    }
}
