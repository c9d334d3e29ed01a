//! Candidates: containers of a new release, started and found healthy, not yet live.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use sarsen_domain::{ContainerId, ContainerName, ProcessIndex, ProcessType, Progress};
use sarsen_runtime::{ContainerInfo, ImageInfo};
use tokio_util::sync::CancellationToken;

use crate::checks::{Subject, last_lines};
use crate::{Cause, CheckMode, DeployError, DeployPlan, Deployer, PlannedInstance, spec};

/// How much of a failed container's output is shown.
const LOG_LINES: u32 = 20;

/// A container that was just created and is about to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The planned instance's id.
    pub instance: i64,
    pub container: ContainerId,
    /// `app.web.1.upcoming-…`
    pub name: ContainerName,
}

/// Called for each container before it is started, and waited for: writes it down. An error ends the deploy.
pub type OnCreated<'a> =
    &'a (dyn Fn(Created) -> BoxFuture<'static, Result<(), String>> + Send + Sync);

/// Healthy containers of a release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidate {
    pub instances: Vec<Started>,
}

/// One healthy container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The planned instance's id.
    pub instance: i64,
    pub process: ProcessType,
    pub index: ProcessIndex,
    pub container: ContainerId,
    /// The name it has until [`Deployer::finish`].
    pub name: ContainerName,
    pub address: Option<IpAddr>,
    /// Its PORT, for web.
    pub port: Option<u16>,
}

impl Deployer {
    /// Starts the plan's instances, web first, and waits until they are healthy. When that fails, or when `cancel`
    /// fires, whatever was made is removed before this returns.
    pub async fn start(
        &self,
        plan: DeployPlan<'_>,
        progress: &dyn Progress,
        cancel: &CancellationToken,
        on_created: OnCreated<'_>,
    ) -> Result<Candidate, DeployError> {
        let image = self.runtime.image(&plan.release.image).await?;
        for instance in plan.instances {
            spec::of_instance(&plan, instance, &image, &self.settings.owner)?;
        }
        let attempt = Attempt {
            deployer: self,
            plan,
            image,
            progress,
            // The first failure stops the siblings too, but not the caller.
            cancel: cancel.child_token(),
            on_created,
            made: Mutex::default(),
            stopped: Mutex::default(),
        };
        let outcome = attempt.run().await;
        if outcome.is_err() {
            attempt.clean_up().await;
        }
        outcome
    }
}

/// One deploy under way.
struct Attempt<'a> {
    deployer: &'a Deployer,
    plan: DeployPlan<'a>,
    image: ImageInfo,
    progress: &'a dyn Progress,
    cancel: CancellationToken,
    on_created: OnCreated<'a>,
    made: Mutex<Vec<ContainerId>>,
    /// Live containers that were stopped to make room.
    stopped: Mutex<Vec<ContainerId>>,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Candidate, DeployError> {
        let mut candidate = Candidate::default();
        let ordered = in_order(self.plan.instances);
        let (web, others): (Vec<_>, Vec<_>) = ordered
            .into_iter()
            .partition(|(process, _)| process.is_web());
        for group in [web, others] {
            let bringing = group
                .into_iter()
                .map(|(process, instances)| self.bring_up_type(process, instances));
            let bringing: Vec<_> = bringing.collect();
            let parallel = self.plan.settings.parallel_types.max(1);
            let mut outcomes = futures_util::stream::iter(bringing).buffered(parallel);
            let mut failure = None;
            while let Some(outcome) = outcomes.next().await {
                match outcome {
                    Ok(started) => candidate.instances.extend(started),
                    // The others are waited for, as in `bring_up`.
                    Err(error) => {
                        self.cancel.cancel();
                        failure.get_or_insert(error);
                    }
                }
            }
            if let Some(error) = failure {
                return Err(error);
            }
        }
        Ok(candidate)
    }

    async fn bring_up_type(
        &self,
        process: &ProcessType,
        instances: Vec<&PlannedInstance>,
    ) -> Result<Vec<Started>, DeployError> {
        self.check_cancelled()?;
        let count = instances.len();
        self.progress
            .header(&format!("Deploying {process} (count={count})"));
        self.make_room(process).await?;
        let parallel = self.plan.settings.parallel(process);
        self.bring_up(instances, parallel).await
    }

    /// Stops the live containers of a process that must not run twice.
    async fn make_room(&self, process: &ProcessType) -> Result<(), DeployError> {
        let settings = self.plan.settings;
        if settings.check_mode(process) != CheckMode::Disabled {
            return Ok(());
        }
        for container in settings.stop_first.get(process).into_iter().flatten() {
            push(&self.stopped, container);
            let grace = settings.stop_grace();
            self.deployer.runtime.stop(container, grace).await?;
        }
        Ok(())
    }

    /// Starts the containers of one process type, a few at a time. After a failure the others are told to stop and
    /// waited for: dropping one while the engine makes its container would leave that container behind.
    async fn bring_up(
        &self,
        instances: Vec<&PlannedInstance>,
        parallel: usize,
    ) -> Result<Vec<Started>, DeployError> {
        // Made at once (they start when polled): a closure kept across an await would not be `Send` for callers.
        let bringing: Vec<_> = instances
            .into_iter()
            .map(|instance| self.bring_up_one(instance))
            .collect();
        let mut outcomes = futures_util::stream::iter(bringing).buffer_unordered(parallel);
        let mut started = Vec::new();
        let mut failure = None;
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(one) => started.push(one),
                Err(error) => {
                    self.cancel.cancel();
                    failure.get_or_insert(error);
                }
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        started.sort_by_key(|one: &Started| one.index);
        Ok(started)
    }

    async fn bring_up_one(&self, instance: &PlannedInstance) -> Result<Started, DeployError> {
        self.check_cancelled()?;
        let owner = &self.deployer.settings.owner;
        let (name, mut spec) = spec::of_instance(&self.plan, instance, &self.image, owner)?;
        spec.name_servers = self.deployer.name_servers();
        let container = self.deployer.runtime.create(&spec).await?;
        push(&self.made, &container);
        let created = Created {
            instance: instance.id,
            container: container.clone(),
            name: name.clone(),
        };
        let recorded = (self.on_created)(created).await;
        recorded.map_err(DeployError::NotRecorded)?;
        self.check_cancelled()?;
        match self.start_and_check(instance, &container).await? {
            Ok(info) => Ok(Started {
                instance: instance.id,
                process: instance.process.clone(),
                index: instance.index,
                address: info.address(),
                port: spec::port_of(&instance.process, self.plan.settings),
                container,
                name,
            }),
            Err(cause) => {
                self.explain(instance, &container, &cause).await;
                Err(DeployError::NotReady {
                    dyno: instance.dyno(),
                    cause,
                })
            }
        }
    }

    async fn start_and_check(
        &self,
        instance: &PlannedInstance,
        container: &ContainerId,
    ) -> Result<Result<ContainerInfo, Cause>, DeployError> {
        let (settings, app) = (self.plan.settings, &self.plan.release.app);
        let networks = settings.joined(app, instance.process.as_str());
        if let Err(error) = self.deployer.start_on(container, &networks).await {
            return Ok(Err(Cause::CannotStart(error.to_string())));
        }
        let subject = Subject {
            runtime: &self.deployer.runtime,
            container,
            instance,
            settings: self.plan.settings,
            progress: self.progress,
        };
        let checked = self.cancel.run_until_cancelled(subject.ready()).await;
        checked.ok_or(DeployError::Cancelled)
    }

    fn check_cancelled(&self) -> Result<(), DeployError> {
        if self.cancel.is_cancelled() {
            return Err(DeployError::Cancelled);
        }
        Ok(())
    }

    /// Shows what the container said before it failed, in one piece so that siblings do not cut in.
    async fn explain(&self, instance: &PlannedInstance, container: &ContainerId, cause: &Cause) {
        let (app, dyno) = (&self.plan.release.app, instance.dyno());
        let place = format!("{app} container output ({} {dyno})", container.short());
        let output = last_lines(&self.deployer.runtime, container, LOG_LINES).await;
        let mut text = format!(" !     Could not start {dyno}: {cause}\n=====> Start of {place}\n");
        for line in output.lines() {
            text.push_str("       ");
            text.push_str(line);
            text.push('\n');
        }
        text.push_str(&format!("=====> End of {place}\n"));
        self.progress.write(text.as_bytes());
    }

    async fn clean_up(&self) {
        let made = take(&self.made);
        for left in self.deployer.abandon(&made).await {
            tracing::warn!(container.id = %left.container, error = %left.error, "a failed container was not removed");
        }
        for container in take(&self.stopped) {
            if let Err(error) = self.deployer.runtime.start(&container).await {
                tracing::error!(container.id = %container, %error, "a stopped container did not start again");
            }
        }
    }
}

fn push(list: &Mutex<Vec<ContainerId>>, id: &ContainerId) {
    let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
    list.push(id.clone());
}

fn take(list: &Mutex<Vec<ContainerId>>) -> Vec<ContainerId> {
    std::mem::take(&mut *list.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Instances by process type: web, then the others by name.
fn in_order(instances: &[PlannedInstance]) -> Vec<(&ProcessType, Vec<&PlannedInstance>)> {
    let mut sorted: Vec<_> = instances.iter().collect();
    sorted.sort_by_key(|one| (!one.process.is_web(), &one.process, one.index));
    sorted
        .chunk_by(|a, b| a.process == b.process)
        .filter_map(|group| Some((&group.first()?.process, group.to_vec())))
        .collect()
}

#[cfg(test)]
mod tests;
