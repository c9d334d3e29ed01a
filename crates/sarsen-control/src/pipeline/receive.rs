//! Receive: git takes the pack, its pre-receive hook waits while the pushed commit is deployed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rand::RngCore;
use sarsen_domain::{AppName, Branch, CommitId};
use sarsen_git::{
    DeployBranch, GitError, GitIo, PushPlan, Quarantine, ReceiveOptions, RefUpdate, SourceTree,
    plan_push,
};
use sarsen_store::Scope;
use tokio::sync::oneshot;

use crate::control::{Control, HookSession};
use crate::failure::{Failure, Outcome};
use crate::pipeline::Viewer;
use crate::session::{HookCall, Io};
use crate::table::Call;
use crate::verbs;

/// A commit that was pushed and is to be deployed. Its objects may be in git's quarantine still.
pub(crate) struct Received {
    pub commit: CommitId,
    pub branch: Branch,
    pub tree: SourceTree,
    /// How it came here.
    pub by: Arrival,
}

/// How a commit came into the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// git moves the branch when the push is accepted.
    Pushed,
    /// The branch is ours to move; where it was fetched from, if it was.
    Brought(Option<String>),
    /// The branch holds it already.
    There,
}

/// What is left to be done about a commit when its release serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Settled {
    Pushed,
    /// The branch is to be moved to it.
    Brought(CommitId),
    There,
}

impl Received {
    /// What is to be done when its release serves.
    pub(crate) fn to_settle(&self) -> Settled {
        match &self.by {
            Arrival::Pushed => Settled::Pushed,
            Arrival::Brought(_) => Settled::Brought(self.commit.clone()),
            Arrival::There => Settled::There,
        }
    }
}

/// A push under way: git talks to the client, and its hook will ask for a verdict.
pub(crate) struct Receiving {
    git: BoxFuture<'static, Result<i32, GitError>>,
    hook: oneshot::Receiver<HookSession>,
    _registration: Registration,
}

/// Takes the push's token back when the push ends before its hook has called.
struct Registration {
    control: Control,
    token: String,
}

impl Control {
    /// Makes the app of a first push, unless that is turned off.
    pub(crate) async fn create_on_push(&self, app: &AppName) -> Outcome {
        if self.store.apps().exists(app).await? {
            return Ok(());
        }
        let apps = verbs::apps::CONCERN;
        if apps.global(self, "disable-autocreation").await? == "true" {
            return Err(Failure::new(format!(
                "App {app} does not exist: create it with 'apps:create {app}' (creation by push is turned off)"
            ))
            .with_code(crate::failure::NO_SUCH_APP));
        }
        let app = AppName::parse_new(app.as_str())?;
        self.create_app(&app).await
    }

    /// Starts `git receive-pack` for a push.
    pub(crate) async fn receive(&self, app: &AppName, call: &mut Call) -> Outcome<Receiving> {
        self.repos.init(app).await?;
        let mut random = [0_u8; 16];
        rand::rng().fill_bytes(&mut random);
        let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let (sender, hook) = oneshot::channel();
        self.pushes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token.clone(), sender);
        let options = ReceiveOptions {
            token: token.clone(),
            socket: self.settings.socket.clone(),
            git_protocol: call.git_protocol.clone(),
            env: Vec::new(),
        };
        let (repos, app, io) = (self.repos.clone(), app.clone(), git_io(call));
        let git = async move { repos.receive_pack(&app, &options, io).await }.boxed();
        Ok(Receiving {
            git,
            hook,
            _registration: Registration {
                control: self.clone(),
                token,
            },
        })
    }

    /// A pre-receive hook calls: hands it to the push that waits for it, and passes the verdict on.
    pub(crate) async fn answer_hook(&self, call: HookCall, io: Io) -> u8 {
        let Some(waiting) = take(&self.pushes, &call.token) else {
            tracing::warn!("a pre-receive hook called that belongs to no push");
            return 1;
        };
        let (verdict, answer) = oneshot::channel();
        if waiting.send(HookSession { call, io, verdict }).is_err() {
            return 1;
        }
        // No answer means that the push was given up: the refs stay.
        answer.await.unwrap_or(1)
    }

    /// What a push means: a commit to deploy, or nothing of interest.
    pub(crate) async fn plan_push(
        &self,
        app: &AppName,
        hook: &mut HookSession,
    ) -> Outcome<Option<Received>> {
        let updates: Result<Vec<_>, Failure> = hook.call.updates.iter().map(parse_update).collect();
        let configured = self.deploy_branch(app).await?;
        let accepted = match plan_push(&updates?, &configured) {
            PushPlan::Refuse(why) => return Err(Failure::new(why)),
            PushPlan::Accept(accepted) => accepted,
        };
        hook.warn(&accepted.warnings).await;
        let Some(deploy) = accepted.deploy else {
            return Ok(None);
        };
        if let Some(branch) = &accepted.set_branch {
            hook.say(&format!("-----> Set {branch} as deploy-branch\n"))
                .await;
        }
        let quarantine = hook
            .call
            .object_directory
            .clone()
            .map(|object_directory| Quarantine {
                object_directory,
                alternates: split_paths(hook.call.alternate_object_directories.as_deref()),
            });
        let folder = verbs::builder::CONCERN
            .effective(self, app, "build-dir")
            .await?;
        let folder = Some(folder.as_str()).filter(|folder| !folder.is_empty());
        let tree = self
            .repos
            .source(app, quarantine.as_ref(), &deploy.object, folder)?;
        Ok(Some(Received {
            commit: tree.commit().clone(),
            branch: deploy.branch,
            tree,
            by: Arrival::Pushed,
        }))
    }

    /// The branch that deploys, as far as anybody has said.
    pub(crate) async fn deploy_branch(&self, app: &AppName) -> Outcome<DeployBranch> {
        let branch = self
            .store
            .properties()
            .effective(app, "git", "deploy-branch")
            .await?;
        Ok(match branch.filter(|branch| !branch.is_empty()) {
            Some(branch) => DeployBranch::Set(Branch::parse(&branch)?),
            None => DeployBranch::Unset,
        })
    }

    /// After the first deploy of an app that had no deploy branch: this one is it from now on.
    pub(crate) async fn remember_branch(&self, job: &super::Job, branch: &Branch) -> Outcome {
        if self.deploy_branch(&job.app).await? == DeployBranch::Unset {
            let scope = Scope::App(job.app.clone());
            self.store
                .properties()
                .set(&scope, "git", "deploy-branch", branch.as_str())
                .await?;
            self.repos.set_default_branch(&job.app, branch).await?;
        }
        Ok(())
    }
}

/// The caller's streams, for git.
pub(crate) fn git_io(call: &mut Call) -> GitIo {
    let (stdout, stderr) = call.take_out().into_streams();
    GitIo {
        stdin: call.take_stdin(),
        stdout,
        stderr,
        gone: call.gone.clone(),
    }
}

impl Receiving {
    /// Lets git work, answers its hook with the verdict, and gives git's own answer.
    pub(crate) async fn finish<V>(mut self, verdict: impl FnOnce(HookSession) -> V) -> Outcome<u8>
    where
        V: Future<Output = u8>,
    {
        let mut found = 0;
        let ended = tokio::select! {
            ended = &mut self.git => ended,
            hook = &mut self.hook => {
                let Ok(mut hook) = hook else { return Err(Failure::silent(1)) };
                let answer = std::mem::replace(&mut hook.verdict, oneshot::channel().0);
                // Git must be driven while the verdict is being found: it passes the hook's output on.
                let (ended, ()) = tokio::join!(self.git, async {
                    found = verdict(hook).await;
                    if answer.send(found).is_err() {
                        tracing::debug!("the hook of a push went away before its verdict");
                    }
                });
                ended
            }
        };
        match ended {
            Ok(0) => Ok(found),
            Ok(code) => Err(Failure::silent(u8::try_from(code).unwrap_or(1))),
            Err(GitError::Gone) => Err(Failure::silent(1)),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        drop(take(&self.control.pushes, &self.token));
    }
}

impl HookSession {
    /// Shows the job's log to the pusher.
    pub(crate) fn viewer(&mut self) -> Viewer<'_> {
        Viewer {
            output: &mut *self.io.stdout,
            gone: self.io.gone.clone(),
        }
    }

    /// Says why not; gives the exit code.
    pub(crate) async fn refuse(&mut self, failure: &Failure) -> u8 {
        self.warn(
            &failure
                .message
                .lines()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
        .await;
        failure.code.max(1)
    }

    async fn warn(&mut self, lines: &[String]) {
        for line in lines {
            // Without Dokku's codes, which take git's `remote: ` back on a terminal: elsewhere they are dirt.
            self.say(&format!(" !     {line}\n")).await;
        }
    }

    async fn say(&mut self, text: &str) {
        use tokio::io::AsyncWriteExt;
        let written = self.io.stdout.write_all(text.as_bytes()).await;
        if let Err(error) = written.and(self.io.stdout.flush().await) {
            tracing::debug!(%error, "nobody reads the hook's output");
        }
    }
}

type Pushes = Mutex<HashMap<String, oneshot::Sender<HookSession>>>;

fn take(pushes: &Pushes, token: &str) -> Option<oneshot::Sender<HookSession>> {
    pushes
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .remove(token)
}

fn parse_update((old, new, name): &(String, String, String)) -> Outcome<RefUpdate> {
    Ok(RefUpdate {
        old: CommitId::parse(old)?,
        new: CommitId::parse(new)?,
        name: name.clone(),
    })
}

fn split_paths(paths: Option<&str>) -> Vec<PathBuf> {
    paths
        .into_iter()
        .flat_map(|paths| paths.split(':'))
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn a_refusal_is_plain_text() {
        let (stdout, mut seen) = tokio::io::duplex(1024);
        let mut hook = HookSession {
            call: HookCall::default(),
            io: Io {
                stdin: Box::new(tokio::io::empty()),
                stdout: Box::new(stdout),
                stderr: Box::new(tokio::io::sink()),
                gone: CancellationToken::new(),
            },
            verdict: oneshot::channel().0,
        };
        let failure = Failure::new("shop is locked\ntry later").with_code(3);
        assert_eq!(hook.refuse(&failure).await, 3);
        drop(hook);
        let mut text = String::new();
        seen.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, " !     shop is locked\n !     try later\n");
    }
}
