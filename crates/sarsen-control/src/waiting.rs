//! Config that waits: what is set and is not what the live release carries. Whoever has containers started anew gets a
//! release with it first.

use std::collections::BTreeSet;
use std::sync::Arc;

use sarsen_domain::config::Difference;
use sarsen_domain::{
    AppName, CommitId, Config, EnvKey, ProcessIndex, ProcessType, Progress, Release,
};
use sarsen_store::Scope;

use crate::control::Control;
use crate::failure::Outcome;
use crate::pipeline::{Deployed, Job, Rollout};
use crate::push::from_release;
use crate::redeploy::again;
use crate::verbs::git::CONCERN;

/// Which containers are started when no config waits.
pub(crate) enum Anew {
    Everything,
    Process(ProcessType),
    More(Vec<(ProcessType, ProcessIndex)>),
}

impl Control {
    /// The config that a release gets now: what is set, and the var that names its commit.
    pub(crate) async fn config_to_release(
        &self,
        app: &AppName,
        commit: Option<&CommitId>,
    ) -> Outcome<Config> {
        let mut config = self.store.config().merged(app).await?;
        if let Some(commit) = commit
            && let Some(key) = self.commit_var(app).await?
        {
            config.set(key, commit.as_str())?;
        }
        Ok(config)
    }

    /// The live release as a one-off container sees it: with the config of now.
    pub(crate) async fn release_to_run(&self, app: &AppName) -> Outcome<Release> {
        let mut release = self.live_release(app).await?;
        release.config = self.config_to_release(app, release.commit.as_ref()).await?;
        Ok(release)
    }

    /// Starts containers of the live release. When config waits it becomes a release, in place of everything: one
    /// release is one config.
    pub(crate) async fn start_anew(self, job: Arc<Job>, anew: Anew) -> Outcome<Deployed> {
        let mut live = self.live_release(&job.app).await?;
        live.formation = self.store.formation().get(&job.app).await?;
        let config = self
            .config_to_release(&job.app, live.commit.as_ref())
            .await?;
        let waiting = self.difference(&live, &live.config, &config).await?;
        if !waiting.is_empty() {
            let all = match anew {
                Anew::Everything => "",
                Anew::Process(_) | Anew::More(_) => "; all process types get it",
            };
            job.log.header(&format!(
                "Releasing config that was set before: {waiting}{all}"
            ));
            return again(self, job, live, config, waiting.deed()).await;
        }
        let rollout = match anew {
            Anew::Everything => Rollout::everything(&live),
            Anew::Process(process) => Rollout::process(&live, &process),
            Anew::More(more) => Rollout::more(&live, more),
        };
        Box::pin(from_release(self, job, live, rollout)).await
    }

    /// Makes what is set what a release that was gone back to carries, and tells what that changes. What was not in
    /// the release before it (`before` is that one's config) has been set and not released: it stays. What is global
    /// stays global.
    pub(crate) async fn restore_config(
        &self,
        job: &Job,
        before: &Config,
        target: &Release,
    ) -> Outcome {
        let global = self.store.config().get(&Scope::Global).await?;
        let scope = Scope::App(job.app.clone());
        let own = self.store.config().get(&scope).await?;
        let waiting = before.difference(&global.overlaid(&own));
        let mut kept: BTreeSet<_> = waiting.keys().cloned().collect();
        if target.commit.is_some() {
            // Every release gets that one anew.
            kept.extend(self.commit_var(&job.app).await?);
        }
        let is_own = |key: &EnvKey, value: &str| {
            let name = key.as_str();
            own.get(name) == Some(value) || global.get(name) != Some(value)
        };
        let restored = target.config.iter().filter(|(key, _)| !kept.contains(*key));
        let restored = restored.filter(|(key, value)| is_own(key, value));
        let stays = own.iter().filter(|(key, _)| kept.contains(*key));
        let config: Config = restored
            .chain(stays)
            .map(|(key, value)| (key.clone(), value.to_owned()))
            .collect();
        self.store.config().replace(&scope, &config).await?;

        let changed = self.difference(target, before, &target.config).await?;
        if !changed.is_empty() {
            job.log
                .header(&format!("Config as in {}: {changed}", target.number));
        }
        let set = global.overlaid(&config);
        let waiting = self.difference(target, &target.config, &set).await?;
        if !waiting.is_empty() {
            job.log.header(&format!(
                "Config that is set and waits: {waiting} ('ps:restart {}' releases it)",
                job.app
            ));
        }
        Ok(())
    }

    /// How two environments of a release differ, but for the var that names its commit.
    async fn difference(&self, of: &Release, from: &Config, to: &Config) -> Outcome<Difference> {
        let difference = from.difference(to);
        if of.commit.is_none() {
            return Ok(difference);
        }
        Ok(match self.commit_var(&of.app).await? {
            Some(key) => difference.without(&key),
            None => difference,
        })
    }

    /// The var in which an app finds its commit.
    async fn commit_var(&self, app: &AppName) -> Outcome<Option<EnvKey>> {
        let key = CONCERN.effective(self, app, "rev-env-var").await?;
        Ok(EnvKey::parse(&key).ok())
    }
}

#[cfg(test)]
mod tests;
