//! Containers as the rest of Sarsen speaks of them, and the labels they carry.

use serde::{Deserialize, Serialize};

use crate::{Invalid, text_newtype};

/// The engine's id of a container.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);
text_newtype!(ContainerId);

impl ContainerId {
    /// Hex digits (the fake engine's ids are hex too).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Invalid::new(format!(
                "Invalid container id '{}'",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// The first 11 digits, as Dokku shows them.
    pub fn short(&self) -> &str {
        self.0.get(..11).unwrap_or(&self.0)
    }
}

/// A container's name, without the engine's leading slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);
text_newtype!(ContainerName);

impl ContainerName {
    /// Docker's rule: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if text.len() < 2 || !starts_well || !text.chars().all(legal) {
            return Err(Invalid::new(format!(
                "Invalid container name '{}'",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Labels that Sarsen sets. The `com.dokku.*` ones are what Dokku's plugins and users look for.
pub mod label {
    /// On everything we make; value empty, as Dokku's.
    pub const DOKKU: &str = "dokku";
    /// The app's name.
    pub const APP: &str = "com.dokku.app-name";
    /// `deploy`, `run` or `build`.
    pub const CONTAINER_TYPE: &str = "com.dokku.container-type";
    /// `web`
    pub const PROCESS: &str = "com.dokku.process-type";
    /// `web.1`
    pub const DYNO: &str = "com.dokku.dyno";
    /// `build` or `release`
    pub const IMAGE_STAGE: &str = "com.dokku.image-stage";
    /// `dockerfile`, `herokuish`, …
    pub const BUILDER: &str = "com.dokku.builder-type";
    /// Seconds that a one-off container may live.
    pub const DEADLINE: &str = "com.dokku.active-deadline-seconds";
    /// Which phase script a one-off container runs.
    pub const PHASE_SCRIPT: &str = "dokku_phase_script";
    /// Which scheduled task a one-off container runs.
    pub const CRON: &str = "com.dokku.cron-id";
    /// The store row of a scheduled task's run.
    pub const CRON_RUN: &str = "com.sarsen.cron-run";
    /// The store row that a deployed container was started for.
    pub const INSTANCE: &str = "com.sarsen.instance";
    /// The release number.
    pub const RELEASE: &str = "com.sarsen.release";
    /// The build that made a container or an image.
    pub const BUILD: &str = "com.sarsen.build";
    /// Which installation owns it: two daemons may share an engine.
    pub const OWNER: &str = "com.sarsen.owner";
}
