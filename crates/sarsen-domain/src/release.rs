//! Releases: numbered, whole descriptions of what an app runs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::build::word_enum;
use crate::{
    AppName, BuildId, BuilderKind, CommitId, Config, Formation, ImageRef, Invalid, PortMapping,
    ProcessType, Procfile,
};

/// A release's number, shown as `v12`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseNumber(pub u32);

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("v{}", self.0))
    }
}

impl FromStr for ReleaseNumber {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.strip_prefix('v')
            .unwrap_or(text)
            .parse()
            .ok()
            .filter(|number| *number > 0)
            .map(Self)
            .ok_or_else(|| {
                Invalid::new(format!(
                    "Invalid release '{}': write it as v12",
                    text.escape_debug()
                ))
            })
    }
}

word_enum! {
    /// Where a release is in its life.
    ReleaseState {
        /// Being deployed.
        Pending = "pending",
        /// The one that serves.
        Live = "live",
        /// Served once; can be rolled back to.
        Retired = "retired",
        /// Never served.
        Failed = "failed",
    }
}

/// Everything needed to run the app as it was.
#[derive(Debug, Clone)]
pub struct Release {
    /// The app.
    pub app: AppName,
    /// Its number.
    pub number: ReleaseNumber,
    /// Where it is in its life.
    pub state: ReleaseState,
    /// The image's id (`sha256:…`), which no later build can change.
    pub image: ImageRef,
    /// What made the image.
    pub builder: BuilderKind,
    /// The commit it was built from, when it was.
    pub commit: Option<CommitId>,
    /// The merged environment at the time.
    pub config: Config,
    /// Commands by process type.
    pub procfile: Procfile,
    /// Quantities at the time.
    pub formation: Formation,
    /// Ports the image asks for, when the app maps none itself.
    pub detected_ports: Vec<PortMapping>,
    /// The app.json text of the source, if any.
    pub app_json: Option<String>,
    /// The build that made it.
    pub build: BuildId,
    /// Who set it off: a key's name.
    pub author: String,
    /// Why, for people: `Deploy 1a2b3c4d`, `Set A, B`, `Rollback to v3`.
    pub description: String,
    /// Unix seconds.
    pub created_at: i64,
}

impl Release {
    /// Whether it says how to run this type. Without a Procfile the image's own command is `web`.
    pub fn runs(&self, process: &ProcessType) -> bool {
        if self.procfile.is_empty() {
            process.is_web()
        } else {
            self.procfile.command(process).is_some()
        }
    }

    /// The types that can be scaled, in the order of the Procfile.
    pub fn process_types(&self) -> Vec<ProcessType> {
        if self.procfile.is_empty() {
            return vec![ProcessType::web()];
        }
        let all = self.procfile.iter().map(|(process, _)| process);
        all.filter(|process| !process.is_release())
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_both_ways() {
        assert_eq!("v12".parse::<ReleaseNumber>().unwrap().to_string(), "v12");
        assert_eq!("3".parse::<ReleaseNumber>().unwrap(), ReleaseNumber(3));
        for bad in ["v0", "", "v", "-1", "vv1"] {
            assert!(bad.parse::<ReleaseNumber>().is_err(), "{bad}");
        }
    }
}
