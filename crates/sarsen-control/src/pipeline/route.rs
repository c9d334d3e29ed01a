//! Register and route: the candidate's containers come into the catalog, then requests go to them and no longer to
//! the ones they replace.

use std::time::Duration;

use sarsen_deploy::Started;
use sarsen_domain::{AppName, Progress};
use sarsen_plugins::Trigger;
use sarsen_store::Instance;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::pipeline::{Candidate, Job};

/// So long the pusher waits for the last requests of the old containers.
const PATIENCE: Duration = Duration::from_secs(2);

/// A candidate whose services are in the catalog.
pub(crate) struct Registered(Candidate);

/// A release that serves, and the containers that it replaced.
pub(crate) struct Routed {
    pub candidate: Candidate,
    pub replaced: Vec<Instance>,
    pub switch: Switch,
}

/// What was going on when requests began to go to the new containers.
pub(crate) struct Switch {
    /// Requests and websockets under way in the old ones.
    pub in_flight: usize,
    /// Counters of the app then.
    retries: u64,
    failed: u64,
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
            self.check_by_plugins(job, started).await?;
        }
        Ok(Registered(candidate))
    }

    /// Plugins may find fault with a container before requests go to it.
    async fn check_by_plugins(&self, job: &Job, started: &Started) -> Outcome {
        let text = |value: Option<String>| value.unwrap_or_default();
        let port = text(started.port.map(|port| port.to_string()));
        let ip = text(started.address.map(|address| address.to_string()));
        let index = started.index.to_string();
        let (container, process) = (started.container.as_str(), started.process.as_str());
        let arguments = [job.app.as_str(), container, process, &port, &ip, &index];
        self.ask_plugins(job, Trigger::CheckDeploy, &arguments)
            .await
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
        let switch = self.note_switch(job, &replaced);
        self.refresh_routes().await?;
        self.refresh_views(&job.app).await;
        job.log.header(&format!("{} {number} is live", job.app));
        Ok(Routed {
            candidate,
            replaced,
            switch,
        })
    }

    fn note_switch(&self, job: &Job, replaced: &[Instance]) -> Switch {
        let (retries, failed) = self.troubles(&job.app);
        Switch {
            in_flight: replaced
                .iter()
                .map(|old| self.router.in_flight(old.id))
                .sum(),
            retries,
            failed,
        }
    }

    /// Retries and failed requests of an app since the router was started.
    fn troubles(&self, app: &AppName) -> (u64, u64) {
        let stats = self.router.stats();
        let of = stats.apps.iter().find(|stats| stats.app == *app);
        of.map_or((0, 0), |stats| (stats.retries, stats.upstream_errors))
    }

    /// Says what became of the requests that were under way. Those that take long are not waited for.
    pub(crate) async fn tell_switch(&self, job: &Job, switch: &Switch, replaced: &[Instance]) {
        if replaced.iter().all(|old| !old.process.is_web()) {
            return;
        }
        let ids: Vec<i64> = replaced.iter().map(|old| old.id).collect();
        let left = self.router.settle(&ids, PATIENCE).await;
        let (retries, failed) = self.troubles(&job.app);
        let mut text = format!(
            "Requests at the switch: {} in flight, {} drained, {} retried, {} dropped",
            switch.in_flight,
            switch.in_flight.saturating_sub(left),
            retries.saturating_sub(switch.retries),
            failed.saturating_sub(switch.failed),
        );
        if left > 0 {
            text.push_str(&format!(", {left} still under way"));
        }
        job.log.body(&text);
    }
}
