//! Register and route: the candidate's containers come into the catalog, then requests go to them and no longer to
//! the ones they replace.

use std::time::Duration;

use sarsen_deploy::Started;
use sarsen_domain::Progress;
use sarsen_plugins::Trigger;
use sarsen_router::Departure;
use sarsen_store::{Instance, Scope};

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
    in_flight: usize,
    departure: Departure,
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
        // Before it is live: the start after a crash then knows where to send requests without waiting for the engine.
        self.registry.keep().await;
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
        // Who deploys an app wants it to run.
        let scope = Scope::App(job.app.clone());
        let properties = self.store.properties();
        properties.unset(&scope, "ps", "restore").await?;
        self.show_routes(&job.app);
        let switch = self.note_switch(&replaced);
        self.refresh_routes().await?;
        self.refresh_views(&job.app).await;
        job.log.header(&format!("{} {number} is live", job.app));
        Ok(Routed {
            candidate,
            replaced,
            switch,
        })
    }

    fn note_switch(&self, replaced: &[Instance]) -> Switch {
        let ids: Vec<i64> = replaced.iter().map(|old| old.id).collect();
        let departure = self.router.departure(&ids);
        Switch {
            in_flight: departure.in_flight(),
            departure,
        }
    }

    /// Says what became of the requests that were under way. Those that take long are not waited for.
    pub(crate) async fn tell_switch(&self, job: &Job, switch: &Switch, replaced: &[Instance]) {
        if replaced.iter().all(|old| !old.process.is_web()) {
            return;
        }
        let Switch {
            in_flight,
            departure,
        } = switch;
        let left = departure.settle(PATIENCE).await;
        let (retried, dropped) = (departure.retried(), departure.lost());
        let drained = in_flight.saturating_sub(left + dropped);
        let mut text = format!(
            "Requests at the switch: {in_flight} in flight, {drained} drained, {retried} retried, {dropped} dropped"
        );
        if left > 0 {
            text.push_str(&format!(", {left} still under way"));
        }
        job.log.body(&text);
    }
}
