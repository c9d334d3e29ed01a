//! The straight line: git push → ssh → authorise → receive → build → release → deploy → register → route → retire.

use std::sync::Arc;

use sarsen_domain::{AppName, BuildKind, BuildSource, Release};

use crate::access::{Action, Authorised, authorise};
use crate::control::{Control, HookSession};
use crate::failure::Outcome;
use crate::pipeline::{Deployed, Job, Received, Rollout, Source};
use crate::table::Call;

/// `git-receive-pack APP`: takes a push and deploys it; the push is accepted when the new release serves.
pub(crate) async fn push(control: &Control, call: &mut Call) -> Outcome {
    let name = AppName::parse(call.args.get(0).unwrap_or_default())?;
    let app = authorise(&call.actor, Action::Deploy, name)?;
    control.create_on_push(&app).await?;
    let receiving = control.receive(&app, call).await?;
    call.verdict = receiving
        .finish(|hook| verdict(control, &app, &call.actor, hook))
        .await?;
    Ok(())
}

/// Decides whether the refs of a push may move, and deploys the one that is to be deployed.
async fn verdict(
    control: &Control,
    app: &Authorised<AppName>,
    actor: &crate::Actor,
    mut hook: HookSession,
) -> u8 {
    let received = match control.plan_push(app, &mut hook).await {
        Ok(Some(received)) => received,
        Ok(None) => return 0,
        Err(failure) => return hook.refuse(&failure).await,
    };
    let author = actor.name().to_owned();
    let job = match control
        .start_job(app, &author, BuildKind::Build, BuildSource::GitHook)
        .await
    {
        Ok(job) => job,
        Err(failure) => return hook.refuse(&failure).await,
    };
    let viewer = hook.viewer();
    match control
        .perform(job, viewer, |control, job| {
            from_received(control, job, received)
        })
        .await
    {
        Ok(_deployed) => 0,
        Err(failure) => failure.code,
    }
}

/// What was received, all the way. `git:sync` and `git:from-archive` enter here.
pub(crate) async fn from_received(
    control: Control,
    job: Arc<Job>,
    received: Received,
) -> Outcome<Deployed> {
    let why = format!("Deploy {}", received.commit.short());
    let (branch, by) = (received.branch.clone(), received.to_settle());
    let source = Source::Tree(Box::new(received));
    let deployed = from_source(control.clone(), Arc::clone(&job), source, why);
    let deployed = Box::pin(deployed).await?;
    control.settle_source(&job, &branch, by).await?;
    Ok(deployed)
}

/// A source or an image, all the way. `ps:rebuild` and `git:from-image` enter here.
pub(crate) async fn from_source(
    control: Control,
    job: Arc<Job>,
    source: Source,
    why: String,
) -> Outcome<Deployed> {
    let built = control.build(&job, source).await?;
    // On the heap, because everything that waits for a deploy would be as large as this.
    let release = Box::pin(control.release(&job, built, &why)).await?;
    if control.skips_deploy(&job.app).await? {
        return control.shelve(&job, &release).await;
    }
    let rollout = Rollout::everything(&release);
    from_release(control, job, release, rollout).await
}

/// A release that exists. `ps:restart`, `ps:scale`, config changes and rollback enter here.
pub(crate) async fn from_release(
    control: Control,
    job: Arc<Job>,
    release: Release,
    rollout: Rollout,
) -> Outcome<Deployed> {
    let candidate = control.deploy(&job, release, rollout).await?;
    let registered = control.register(&job, candidate).await?;
    let routed = control.route(&job, registered).await?;
    Ok(control.retire(&job, routed).await)
}
