//! Deploy: release → candidate: containers that run and are healthy, and get no request yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::BoxFuture;
use sarsen_deploy::{AppSettings, CheckMode, DeployPlan, PlannedInstance};
use sarsen_domain::{AppName, ContainerId, ProcessIndex, ProcessType, Progress, Release};
use sarsen_plugins::Trigger;
use sarsen_store::Replace;

use crate::control::Control;
use crate::failure::Outcome;
use crate::pipeline::Job;

/// Which containers to start, and which of the running ones they take the place of.
pub(crate) struct Rollout {
    pub wanted: Vec<(ProcessType, ProcessIndex)>,
    pub replace: Replace,
    /// Scaled types that the Procfile does not name.
    pub skipped: Vec<ProcessType>,
}

/// Healthy containers of a release.
pub(crate) struct Candidate {
    pub release: Release,
    pub started: sarsen_deploy::Candidate,
    pub replace: Replace,
}

impl Rollout {
    fn tell_skipped(&self, job: &Job) {
        for process in &self.skipped {
            job.log.warn(&format!(
                "Skipping {process} as it is missing from the current Procfile"
            ));
        }
    }

    /// The whole formation, in place of everything that runs.
    pub(crate) fn everything(release: &Release) -> Self {
        let mut rollout = Self {
            wanted: Vec::new(),
            replace: Replace::All,
            skipped: Vec::new(),
        };
        for (process, quantity) in release.formation.iter() {
            if release.runs(process) {
                rollout
                    .wanted
                    .extend((1..=quantity).map(|index| (process.clone(), index)));
            } else if quantity > 0 {
                rollout.skipped.push(process.clone());
            }
        }
        rollout
    }

    /// One process type, in place of its containers that run.
    pub(crate) fn process(release: &Release, process: &ProcessType) -> Self {
        let mut rollout = Self::everything(release);
        rollout.wanted.retain(|(wanted, _)| wanted == process);
        rollout.replace = Replace::Processes(vec![process.clone()]);
        rollout
    }

    /// These containers, in place of nothing.
    pub(crate) fn more(release: &Release, more: Vec<(ProcessType, ProcessIndex)>) -> Self {
        let (wanted, without): (Vec<_>, Vec<_>) = more
            .into_iter()
            .partition(|(process, _)| release.runs(process));
        let mut skipped: Vec<_> = without.into_iter().map(|(process, _)| process).collect();
        skipped.dedup();
        Self {
            wanted,
            replace: Replace::Indexes(Vec::new()),
            skipped,
        }
    }
}

impl Control {
    /// The live containers that have to go before those that replace them start.
    async fn to_stop_first(
        &self,
        app: &AppName,
        settings: &AppSettings,
        rollout: &Rollout,
    ) -> Outcome<BTreeMap<ProcessType, BTreeSet<ContainerId>>> {
        let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for instance in self.live_instances(app).await? {
            let is_replaced = match &rollout.replace {
                Replace::All => true,
                Replace::Processes(processes) => processes.contains(&instance.process),
                Replace::Indexes(places) => places.iter().any(|(process, index)| {
                    (process, *index) == (&instance.process, instance.index)
                }),
            };
            if !is_replaced || settings.check_mode(&instance.process) != CheckMode::Disabled {
                continue;
            }
            if let Some(container) = instance.container {
                found.entry(instance.process).or_default().insert(container);
            }
        }
        Ok(found)
    }

    /// A container is there, and not started yet: plugins may connect it to networks.
    async fn created(
        &self,
        app: &AppName,
        process: Option<&ProcessType>,
        created: sarsen_deploy::Created,
    ) -> Outcome {
        let container = &created.container;
        let instances = self.store.instances();
        instances
            .set_container(created.instance, container, created.name.as_str())
            .await?;
        let process = process.map_or("", ProcessType::as_str);
        let arguments = ["app", container.as_str(), app.as_str(), "deploy", process];
        self.ask_plugins_about(Trigger::PostContainerCreate, &arguments)
            .await
    }

    /// What is done about each container that the deployer has made.
    fn recorder(
        &self,
        job: &Job,
        types: BTreeMap<i64, ProcessType>,
    ) -> impl Fn(sarsen_deploy::Created) -> BoxFuture<'static, Result<(), String>> + Send + Sync + use<>
    {
        let (control, app, build) = (self.clone(), job.app.clone(), job.build.clone());
        let missing = Arc::new(AtomicUsize::new(types.len()));
        move |created| {
            let (control, app, build) = (control.clone(), app.clone(), build.clone());
            let process = types.get(&created.instance).cloned();
            let is_last = missing.fetch_sub(1, Ordering::Relaxed) == 1;
            Box::pin(async move {
                let recorded = control.created(&app, process.as_ref(), created).await;
                recorded.map_err(|failure| failure.message)?;
                if is_last {
                    // From here on it is their health that is waited for.
                    let noted = control.store.builds().set_stage(&build, "health").await;
                    noted.map_err(|error| error.to_string())?;
                }
                Ok(())
            })
        }
    }

    /// Starts the containers and waits until they are healthy.
    pub(crate) async fn deploy(
        &self,
        job: &Job,
        release: Release,
        rollout: Rollout,
    ) -> Outcome<Candidate> {
        self.enter_stage(job, "deploy").await?;
        let tag = release.number.to_string();
        self.ask_plugins(job, Trigger::PreDeploy, &[job.app.as_str(), &tag])
            .await?;
        rollout.tell_skipped(job);
        let mut settings = self.app_settings(&release).await?;
        self.add_deploy_flags(&release, &rollout.wanted, &mut settings)
            .await?;
        settings.stop_first = self.to_stop_first(&job.app, &settings, &rollout).await?;
        let port = sarsen_domain::health::web_port(&settings.ports);
        let wanted: Vec<_> = rollout
            .wanted
            .iter()
            .map(|(process, index)| (process.clone(), *index, process.is_web().then_some(port)))
            .collect();
        let instances = self.store.instances();
        let planned = instances
            .plan(&job.app, release.number, &job.build, &wanted)
            .await?;
        let planned: Vec<_> = planned
            .into_iter()
            .map(|instance| PlannedInstance {
                id: instance.id,
                process: instance.process,
                index: instance.index,
            })
            .collect();
        let plan = DeployPlan {
            release: &release,
            instances: &planned,
            settings: &settings,
        };
        let types = planned
            .iter()
            .map(|planned| (planned.id, planned.process.clone()))
            .collect::<BTreeMap<_, _>>();
        let record = self.recorder(job, types);
        let started = self
            .deployer
            .start(plan, &job.log, job.cancelled(), &record)
            .await?;
        Ok(Candidate {
            release,
            started,
            replace: rollout.replace,
        })
    }
}
