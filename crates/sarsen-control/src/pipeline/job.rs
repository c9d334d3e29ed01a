//! A job: one attempt to change what an app runs. It has a build record, a log and the app's lock, and it runs as a
//! task of its own, so that whoever asked for it may go away at any moment.

use std::sync::Arc;

use sarsen_domain::{AppName, BuildId, BuildKind, BuildSource, BuildStatus, Progress};
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

use crate::build_log::BuildLog;
use crate::control::Control;
use crate::failure::{Failure, Outcome, STOPPING};
use crate::lock::DeployLock;

/// One attempt.
#[derive(Debug)]
pub(crate) struct Job {
    pub app: AppName,
    pub author: String,
    pub build: BuildId,
    pub log: BuildLog,
    pub lock: DeployLock,
}

/// Who watches a job: a stream to copy the log to, and a sign that they left.
pub(crate) struct Viewer<'a> {
    pub output: &'a mut (dyn AsyncWrite + Send + Unpin),
    pub gone: CancellationToken,
}

impl Job {
    /// Fires when the job is to stop.
    pub(crate) fn cancelled(&self) -> &CancellationToken {
        self.lock.cancelled()
    }
}

impl Control {
    /// Takes the app's lock and opens the record and the log.
    pub(crate) async fn start_job(
        &self,
        app: &AppName,
        author: &str,
        kind: BuildKind,
        source: BuildSource,
    ) -> Outcome<Job> {
        let lock = self.locks.take(app)?;
        self.start_locked_job(lock, author, kind, source).await
    }

    /// The same for who holds the lock already.
    pub(crate) async fn start_locked_job(
        &self,
        lock: DeployLock,
        author: &str,
        kind: BuildKind,
        source: BuildSource,
    ) -> Outcome<Job> {
        let app = lock.app().clone();
        if self.store.apps().get(&app).await?.locked {
            return Err(Failure::new(format!(
                "{app} currently has a deploy lock in place. Exiting...\nRun 'apps:unlock {app}' to allow deploys again"
            )));
        }
        let record = self
            .store
            .builds()
            .start(&app, kind, source, author)
            .await?;
        let log = self.logs.create(&app, &record.id)?;
        lock.set_build(&record.id);
        Ok(Job {
            app,
            author: author.to_owned(),
            build: record.id,
            log,
            lock,
        })
    }

    /// Runs the job's line as a task, shows its log to the viewer, and records how it ended. The viewer's leaving
    /// cancels it.
    pub(crate) async fn perform<T, L, F>(&self, job: Job, viewer: Viewer<'_>, line: L) -> Outcome<T>
    where
        T: Send + 'static,
        L: FnOnce(Self, Arc<Job>) -> F + Send + 'static,
        F: Future<Output = Outcome<T>> + Send,
    {
        let (app, build) = (job.app.clone(), job.build.clone());
        let cancel = job.cancelled().clone();
        let control = self.clone();
        let job = Arc::new(job);
        let task = self.tasks.spawn(async move {
            let outcome = line(control.clone(), Arc::clone(&job)).await;
            control.conclude(job, outcome).await
        });
        tokio::select! {
            copied = self.logs.follow(&app, &build, viewer.output) => {
                if let Err(error) = copied {
                    tracing::debug!(%error, "nobody reads the log of build {build} any more");
                    cancel.cancel();
                }
            }
            () = viewer.gone.cancelled() => cancel.cancel(),
        }
        task.await.unwrap_or_else(|_| {
            Err(Failure::new(
                "The deploy ended without an answer: see the daemon's log",
            ))
        })
    }

    /// Records the end of a job. A failure gives up the candidate; the old release goes on serving.
    async fn conclude<T>(&self, job: Arc<Job>, outcome: Outcome<T>) -> Outcome<T> {
        let (status, code, error) = match &outcome {
            Ok(_) => (BuildStatus::Succeeded, 0, None),
            Err(failure) => {
                let status = if self.shutdown.is_cancelled() {
                    BuildStatus::Abandoned
                } else if job.cancelled().is_cancelled() {
                    BuildStatus::Canceled
                } else {
                    BuildStatus::Failed
                };
                let stopping = status == BuildStatus::Abandoned;
                let message = if stopping { STOPPING } else { &failure.message };
                job.log.warn(message);
                self.abandon(&job).await;
                (
                    status,
                    i32::from(failure.code),
                    Some(failure.message.clone()),
                )
            }
        };
        let finished = self
            .store
            .builds()
            .finish(&job.build, status, Some(code), error.as_deref())
            .await;
        if let Err(error) = finished {
            tracing::error!(%error, build = %job.build, "cannot record the end of build {}", job.build);
        }
        let (app, build) = (&job.app, &job.build);
        tracing::info!(app.name = %app, build.id = %build, build.status = %status, "build {build} of {app} {status}");
        self.prune(&job).await;
        drop(job);
        // The message stands in the log, which the viewer has read.
        outcome.map_err(|failure| Failure::silent(failure.code))
    }

    /// Removes what a job made and did not bring to serve.
    async fn abandon(&self, job: &Job) {
        if let Err(failure) = self.abandon_build(&job.app, &job.build).await {
            tracing::error!(app.name = %job.app, error = %failure, "cannot clean up after build {}", job.build);
            return job.log.warn(
                "What this deploy has made is cleaned up when the container engine answers again",
            );
        }
        self.wake_stopped(job).await;
        let app = self.store.apps().get(&job.app).await;
        if app.is_ok_and(|app| app.deployed && !app.stopped) {
            job.log.warn("The release before this one goes on serving");
        }
    }

    /// Live containers that had to make room for the candidate serve again.
    async fn wake_stopped(&self, job: &Job) {
        for instance in self.live_instances(&job.app).await.unwrap_or_default() {
            let Some(container) = &instance.container else {
                continue;
            };
            if let Err(error) = self.runtime.start(container).await {
                tracing::warn!(app.name = %job.app, %error, "a container of the last release does not run");
            }
        }
    }

    /// Records the stage that a job is in.
    pub(crate) async fn enter_stage(&self, job: &Job, stage: &str) -> Outcome {
        if job.cancelled().is_cancelled() {
            return Err(Failure::new("The deploy was cancelled"));
        }
        tracing::debug!(app.name = %job.app, build.id = %job.build, stage, "{}: {stage}", job.app);
        self.store.builds().set_stage(&job.build, stage).await?;
        Ok(())
    }

    async fn prune(&self, job: &Job) {
        let keep = crate::verbs::builds::CONCERN
            .effective(self, &job.app, "retention")
            .await;
        let keep = keep.ok().and_then(|keep| keep.parse().ok()).unwrap_or(20);
        match self.store.builds().prune(&job.app, keep).await {
            Ok(gone) => self.logs.remove(&job.app, &gone),
            Err(error) => tracing::warn!(%error, "cannot prune the builds of {}", job.app),
        }
    }
}
