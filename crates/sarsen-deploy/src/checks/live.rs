//! Checking containers that serve already.

use sarsen_domain::ContainerId;
use sarsen_domain::progress::Silent;

use super::Subject;
use crate::{AppSettings, Deployer, PlannedInstance};

impl Deployer {
    /// Makes the checks of a container's process type on it, once. The error says what is wrong.
    pub async fn check(
        &self,
        settings: &AppSettings,
        instance: &PlannedInstance,
        container: &ContainerId,
    ) -> Result<(), String> {
        let subject = Subject {
            runtime: &self.runtime,
            container,
            instance,
            settings,
            progress: &Silent,
        };
        subject.serves().await.map_err(|cause| cause.to_string())
    }
}
