//! Register and route: the candidate's containers come into the catalog, then requests go to them and no longer to
//! the ones they replace.

use sarsen_domain::Progress;
use sarsen_store::Instance;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::pipeline::{Candidate, Job};

/// A candidate whose services are in the catalog.
pub(crate) struct Registered(Candidate);

/// A release that serves, and the containers that it replaced.
pub(crate) struct Routed {
    pub candidate: Candidate,
    pub replaced: Vec<Instance>,
}

impl Control {
    /// Brings the candidate's containers into the catalog. The events of the engine do the same a moment later; this
    /// only saves the wait.
    pub(crate) async fn register(&self, job: &Job, candidate: Candidate) -> Outcome<Registered> {
        self.enter_stage(job, "register").await?;
        for started in &candidate.started.instances {
            let services = self.registry.register(&started.container).await;
            let services = services.map_err(|error| Failure::new(error.to_string()))?;
            if started.process.is_web() && services.is_empty() {
                return Err(Failure::new(format!(
                    "{}.{} was healthy and is gone again: see 'logs {}'",
                    started.process, started.index, job.app
                )));
            }
        }
        Ok(Registered(candidate))
    }

    /// Makes the release the live one, in one transaction, and swaps the routes. From here on there is no way back
    /// but a rollback.
    pub(crate) async fn route(&self, job: &Job, registered: Registered) -> Outcome<Routed> {
        self.enter_stage(job, "route").await?;
        let Registered(candidate) = registered;
        let number = candidate.release.number;
        let replace = candidate.replace.clone();
        let replaced = self
            .store
            .instances()
            .promote(&job.app, number, &job.build, replace)
            .await?;
        self.show_routes(&job.app);
        self.refresh_routes().await?;
        self.refresh_views(&job.app).await;
        job.log.header(&format!("{} {number} is live", job.app));
        Ok(Routed {
            candidate,
            replaced,
        })
    }
}
