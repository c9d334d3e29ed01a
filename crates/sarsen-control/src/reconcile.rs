//! The reconciler: makes containers agree with the store, at the daemon's start and whenever the engine comes back.
//! It finishes what can be finished and gives up what cannot, so that nothing depends on how the daemon ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use sarsen_domain::container::label;
use sarsen_domain::{AppName, BuildId, BuildKind, BuildSource, BuildStatus, ContainerId};
use sarsen_runtime::ContainerInfo;
use sarsen_store::{Instance, InstanceState};
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::pipeline::{Rollout, Viewer};
use crate::push::from_release;

/// The pause before another try, when containers could not be made to agree.
const RETRY: Duration = Duration::from_secs(2);
/// How often one-off containers are held against their deadlines, and strangers are looked for.
const DEADLINES: Duration = Duration::from_secs(10);

impl Control {
    /// What must be settled before anybody is served: builds that were under way when the last daemon ended. Needs no
    /// engine.
    pub async fn settle(&self) -> Outcome {
        self.settle_builds().await?;
        self.repos.sweep().await?;
        self.lend_credentials().await
    }

    async fn settle_builds(&self) -> Outcome {
        for build in self.store.builds().running().await? {
            // Past the switch the deploy stands, although nobody was told.
            let live = self.store.releases().live(&build.app).await?;
            if live.is_some_and(|live| live.build == build.id) {
                let builds = self.store.builds();
                builds
                    .finish(&build.id, BuildStatus::Succeeded, Some(0), None)
                    .await?;
            }
        }
        for build in self.store.builds().abandon_running().await? {
            let id = &build.id;
            tracing::warn!(app.name = %build.app, build.id = %id, "build {id} of {} was interrupted", build.app);
        }
        for (app, number) in self.store.releases().pending_at_start().await? {
            tracing::warn!(app.name = %app, release.number = number.0, "{app} {number} was interrupted and never served");
        }
        self.refresh_all_views().await;
        Ok(())
    }

    /// Reconciles at the start and after every absence of the engine, until the daemon ends.
    pub async fn reconcile(self, shutdown: CancellationToken) {
        let mut comparisons = self.registry.comparisons();
        let mut is_due = *comparisons.borrow_and_update() > 0;
        loop {
            if is_due {
                is_due = self.try_to_agree().await;
            }
            let pause = if is_due { RETRY } else { DEADLINES };
            tokio::select! {
                // The registry compares when it finds the engine; that is the moment to look here, too.
                changed = comparisons.changed() => match changed {
                    Ok(()) => is_due = true,
                    Err(_) => return,
                },
                () = tokio::time::sleep(pause) => {
                    self.keep_deadlines().await;
                    self.clear_latecomers().await;
                }
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// One attempt; true when another is needed.
    async fn try_to_agree(&self) -> bool {
        match self.reconcile_once().await {
            Ok(()) => false,
            Err(failure) => {
                tracing::warn!(error = %failure, "containers do not agree with the store yet");
                true
            }
        }
    }

    async fn keep_deadlines(&self) {
        match self.retire_expired(None).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(
                count = gone,
                "{gone} one-off containers had run for as long as they may"
            ),
            Err(failure) => {
                tracing::debug!(error = %failure, "cannot look for one-off containers");
            }
        }
    }

    /// Removes one-off containers, of one app or of all, that have had their time; says how many.
    pub(crate) async fn retire_expired(&self, app: Option<&AppName>) -> Outcome<usize> {
        let now = time::OffsetDateTime::now_utc();
        let expired = self.deployer.expired_runs(app, now).await?;
        let left = self
            .deployer
            .retire(&expired, Duration::from_secs(30))
            .await;
        Ok(expired.len() - left.len())
    }

    async fn reconcile_once(&self) -> Outcome {
        let owner = format!("{}={}", label::OWNER, self.settings.owner);
        let containers = self.runtime.list(&[owner]).await?;
        let instances = self.store.instances().all().await?;
        self.clear_strangers(&containers, &instances).await?;
        let builds: BTreeSet<_> = instances
            .iter()
            .filter(|instance| {
                instance.state == InstanceState::Candidate
                    && self.locks.holder(&instance.app).is_none()
            })
            .map(|instance| (instance.app.clone(), instance.build.clone()))
            .collect();
        for (app, build) in builds {
            self.abandon_build(&app, &build).await?;
        }
        self.revive_services().await?;
        self.revive(&containers, &instances).await?;
        self.retirements.notify_one();
        self.refresh_routes().await
    }

    /// Gives up the candidates of a build and the release it was to bring.
    pub(crate) async fn abandon_build(&self, app: &AppName, build: &BuildId) -> Outcome {
        let instances = self.store.instances().list(app).await?;
        let candidates: Vec<_> = instances
            .into_iter()
            .filter(|instance| {
                instance.state == InstanceState::Candidate && instance.build == *build
            })
            .collect();
        let containers: Vec<_> = candidates
            .iter()
            .filter_map(|instance| instance.container.clone())
            .collect();
        let left = self.deployer.abandon(&containers).await;
        if let Some(unfinished) = left.first() {
            return Err(Failure::new(format!(
                "container {}: {}",
                unfinished.container, unfinished.error
            )));
        }
        let ids: Vec<_> = candidates.iter().map(|instance| instance.id).collect();
        self.store.instances().forget(&ids).await?;
        self.store.releases().fail_build(app, build).await?;
        Ok(())
    }

    /// Removes containers of ours that the store knows nothing of: of destroyed apps, of builds that were cut off
    /// between making a container and writing it down, one-off runs that nobody waits for.
    async fn clear_strangers(
        &self,
        containers: &[ContainerInfo],
        instances: &[Instance],
    ) -> Outcome {
        let mut gone = self.strangers(containers, instances);
        if !self.locks.any() {
            self.builder.sweep().await?;
        }
        gone.extend(self.orphans().await?);
        for unfinished in self.deployer.abandon(&gone).await {
            tracing::warn!(container.id = %unfinished.container, error = %unfinished.error, "a stray container stays");
        }
        Ok(())
    }

    /// One-off containers that nobody waits for. What carries the data of services is looked after by the command that
    /// has made it, as long as one is at work.
    async fn orphans(&self) -> Outcome<Vec<ContainerId>> {
        let orphaned = self.deployer.orphaned_runs().await?.into_iter();
        let are_busy = self.addons.are_busy();
        let is_of_service = |run: &ContainerInfo| {
            let kind = run.labels.get(label::DOKKU);
            kind.is_some_and(|kind| kind == "service")
        };
        let orphaned = orphaned.filter(|run| !(are_busy && is_of_service(run)));
        Ok(orphaned.map(|run| run.id).collect())
    }

    /// The engine goes on with a request whose asker has died or given up: the container may appear when nobody looks
    /// for it any more.
    async fn clear_latecomers(&self) {
        let outcome: Outcome = async {
            let owner = format!("{}={}", label::OWNER, self.settings.owner);
            // In this order: a row is there before its container, and goes after it.
            let containers = self.runtime.list(&[owner]).await?;
            let instances = self.store.instances().all().await?;
            let strangers = self.strangers(&containers, &instances);
            let left = self.deployer.abandon(&strangers).await;
            let gone = strangers.len() - left.len();
            if gone > 0 {
                tracing::info!(
                    count = gone,
                    "removed {gone} containers that no deploy waits for"
                );
            }
            Ok(())
        }
        .await;
        if let Err(failure) = outcome {
            tracing::debug!(error = %failure, "cannot look for stray containers");
        }
    }

    /// Containers made for instances that the store does not know.
    fn strangers(&self, containers: &[ContainerInfo], instances: &[Instance]) -> Vec<ContainerId> {
        let known: BTreeSet<i64> = instances.iter().map(|instance| instance.id).collect();
        let is_stranger = |container: &&ContainerInfo| {
            let instance = container
                .labels
                .get(label::INSTANCE)
                .and_then(|id| id.parse().ok());
            instance.is_some_and(|id| !known.contains(&id)) && !self.is_being_deployed(container)
        };
        let strangers = containers.iter().filter(is_stranger);
        strangers.map(|container| container.id.clone()).collect()
    }

    fn is_being_deployed(&self, container: &ContainerInfo) -> bool {
        let app = container
            .labels
            .get(label::APP)
            .and_then(|app| AppName::parse(app).ok());
        app.is_some_and(|app| self.locks.holder(&app).is_some())
    }

    /// Starts live containers that stand still, and makes those anew that are gone.
    async fn revive(&self, containers: &[ContainerInfo], instances: &[Instance]) -> Outcome {
        let by_id: HashMap<_, _> = containers
            .iter()
            .map(|container| (&container.id, container))
            .collect();
        let mut broken: BTreeMap<AppName, Vec<&Instance>> = BTreeMap::new();
        let restore = self.store.properties().by_app("ps", "restore").await?;
        for instance in instances
            .iter()
            .filter(|instance| instance.state == InstanceState::Live)
        {
            let container = instance.container.as_ref().and_then(|id| by_id.get(id));
            match container {
                Some(container) if container.is_running() => {
                    self.finish_naming(instance, container).await
                }
                _ if restore
                    .get(&instance.app)
                    .is_some_and(|value| value == "false") => {}
                Some(container) => {
                    if let Err(failure) = self.start_again(instance, &container.id).await {
                        tracing::warn!(app.name = %instance.app, error = %failure, "cannot start a container again");
                        broken
                            .entry(instance.app.clone())
                            .or_default()
                            .push(instance);
                    }
                }
                None => broken
                    .entry(instance.app.clone())
                    .or_default()
                    .push(instance),
            }
        }
        for (app, missing) in broken {
            self.remake(&app, &missing).await;
        }
        Ok(())
    }

    async fn start_again(&self, instance: &Instance, container: &ContainerId) -> Outcome {
        let release = self
            .store
            .releases()
            .get(&instance.app, instance.release)
            .await?;
        let settings = self.app_settings(&release).await?;
        let restart = settings.restart(&instance.process);
        self.deployer.recover(container, restart).await?;
        tracing::info!(
            app.name = %instance.app, container.id = %container,
            "{}.{} of {} runs again", instance.process, instance.index, instance.app
        );
        Ok(())
    }

    /// The daemon may have ended between the switch and the naming.
    async fn finish_naming(&self, instance: &Instance, container: &ContainerInfo) {
        let wanted = format!("{}.{}.{}", instance.app, instance.process, instance.index);
        if container.name == wanted || self.locks.holder(&instance.app).is_some() {
            return;
        }
        let named = sarsen_deploy::Deployed {
            container: container.id.clone(),
            process: instance.process.clone(),
            index: instance.index,
        };
        let outcome: Outcome = async {
            let release = self
                .store
                .releases()
                .get(&instance.app, instance.release)
                .await?;
            let settings = self.app_settings(&release).await?;
            Ok(self
                .deployer
                .finish(&instance.app, &[named], &settings)
                .await?)
        }
        .await;
        if let Err(failure) = outcome {
            tracing::warn!(app.name = %instance.app, error = %failure, "{wanted} keeps its provisional name");
        }
    }

    /// Replaces live containers that are lost by new ones of the same release.
    async fn remake(&self, app: &AppName, missing: &[&Instance]) {
        tracing::warn!(app.name = %app, "{} containers of {app} are gone and are made anew", missing.len());
        let outcome: Outcome = async {
            let Some(release) = self.store.releases().live(app).await? else {
                return Ok(());
            };
            let job = self
                .start_job(app, "sarsen", BuildKind::Deploy, BuildSource::PsStart)
                .await?;
            let places: Vec<_> = missing
                .iter()
                .map(|instance| (instance.process.clone(), instance.index))
                .collect();
            let mut rollout = Rollout::more(&release, places.clone());
            rollout.replace = sarsen_store::Replace::Indexes(places);
            let mut nobody = tokio::io::sink();
            let viewer = Viewer {
                output: &mut nobody,
                gone: CancellationToken::new(),
            };
            self.perform(job, viewer, |control, job| {
                from_release(control, job, release, rollout)
            })
            .await
            .map(|_| ())
        }
        .await;
        if let Err(failure) = outcome {
            tracing::error!(app.name = %app, error = %failure, "cannot bring {app} back: see 'builds {app}'");
        }
    }
}

#[cfg(test)]
mod tests;
