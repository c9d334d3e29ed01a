//! Other people's servers: `git:sync`, and who we are to them.

use sarsen_domain::git::Credential;
use sarsen_domain::{AppName, Branch, BuildKind, BuildSource, Domain, Secret};
use tokio::io::AsyncReadExt;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::pipeline::Arrival;
use crate::push::from_received;
use crate::table::Call;
use crate::verbs::apps::set_deploy_source;

/// A token is far shorter.
const PASSWORD_MAX: u64 = 8192;

pub(super) async fn sync(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let url = call.args.get(1).unwrap_or_default().to_owned();
    let reference = call.args.get(2).map(Branch::parse).transpose()?;
    let branch = control.branch_to_deploy(&app).await?;
    let (build, if_changes) = (
        call.args.has("--build"),
        call.args.has("--build-if-changes"),
    );
    control.repos.init(&app).await?;
    let before = control.repos.head(&app, &branch)?;
    call.out
        .header(&format!("Fetching remote code for {}", &*app))
        .await?;
    let work = control
        .repos
        .fetch(&app, &url, reference.as_ref(), &call.gone);
    let commit = work.await?;
    let changed = before.as_ref() != Some(&commit);
    let metadata = match &reference {
        Some(reference) => format!("{}#{reference}", shown(&url)),
        None => shown(&url),
    };
    if build || (if_changes && changed) {
        let received = control
            .received(
                &app,
                &commit,
                branch.clone(),
                Arrival::Brought(Some(url.clone())),
            )
            .await?;
        let name = call.actor.name().to_owned();
        let job = control
            .start_job(&app, &name, BuildKind::Build, BuildSource::GitSync)
            .await?;
        let line = |control, job| from_received(control, job, received);
        control.perform(job, call.viewer(), line).await?;
    } else {
        if if_changes {
            call.out
                .header("Skipping build as no changes were detected")
                .await?;
        }
        // A lock keeps a deploy of the branch that is moved out of the way.
        let _lock = control.locks.take(&app)?;
        control.repos.set_branch(&app, &branch, &commit).await?;
        if !call.args.has("--skip-deploy-branch") {
            control.repos.set_default_branch(&app, &branch).await?;
        }
    }
    set_deploy_source(control, &app, ("git-sync", &metadata)).await
}

/// A URL without what only we should know.
fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}

pub(super) async fn auth(control: &Control, call: &mut Call) -> Outcome {
    let host = host(call)?;
    let Some(username) = call.args.get(1).map(str::to_owned) else {
        control.store.git_credentials().remove(&host).await?;
        control.lend_credentials().await?;
        return call
            .out
            .header(&format!("Removed the credentials for {host}"))
            .await;
    };
    let password = match call.args.get(2) {
        Some(password) => password.to_owned(),
        None => read_password(call).await?,
    };
    check_word("user name", &username)?;
    check_word("password", &password)?;
    let credential = Credential {
        host,
        username,
        password: Secret::new(password),
    };
    control.store.git_credentials().set(&credential).await?;
    control.lend_credentials().await?;
    call.out
        .header(&format!("Set the credentials for {}", credential.host))
        .await
}

async fn read_password(call: &mut Call) -> Outcome<String> {
    let mut text = String::new();
    call.take_stdin()
        .take(PASSWORD_MAX)
        .read_to_string(&mut text)
        .await?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::new(
            "Give the password as the last word, or on standard input",
        ));
    }
    Ok(line.to_owned())
}

/// A colon ends the user name on the wire, and a line break would end the header.
fn check_word(what: &str, text: &str) -> Outcome {
    let colon = what == "user name" && text.contains(':');
    if text.is_empty() || colon || text.chars().any(char::is_control) {
        return Err(Failure::new(format!(
            "The {what} cannot be used: it must be one line of plain text"
        )));
    }
    Ok(())
}

fn host(call: &mut Call) -> Outcome<Domain> {
    let text = call.args.get(0).unwrap_or_default().to_owned();
    Domain::parse(&text)
        .ok()
        .filter(|host| host.wildcard_suffix().is_none() && !host.is_catch_all())
        .ok_or_else(|| {
            Failure::new(format!(
                "'{}' is not the name of a host",
                text.escape_debug()
            ))
        })
}

pub(super) async fn auth_status(control: &Control, call: &mut Call) -> Outcome {
    let host = host(call)?;
    let list = control.store.git_credentials().list().await?;
    let mine = list.into_iter().find(|one| one.host == host);
    let (username, password) = (call.args.get(1), call.args.get(2));
    let as_asked = mine.as_ref().is_some_and(|mine| {
        username.is_none_or(|username| username == mine.username)
            && password.is_none_or(|password| password == mine.password.expose())
    });
    if as_asked {
        return call
            .out
            .line(&format!("Credentials for {host} are set"))
            .await;
    }
    Err(Failure::new(match mine {
        Some(_) => format!("Credentials for {host} are set, but others"),
        None => format!("No credentials for {host} are set"),
    }))
}

pub(super) async fn allow_host(control: &Control, call: &mut Call) -> Outcome {
    let host = call.args.get(0).unwrap_or_default().to_owned();
    let added = control.repos.allow_host(&host).await?;
    call.out
        .header(&format!("{host} is known now ({added} new keys)"))
        .await
}

pub(super) async fn public_key(control: &Control, call: &mut Call) -> Outcome {
    match control.repos.public_key()? {
        Some(key) => call.out.line(&key).await,
        None => Err(Failure::new(
            "There is no deploy key yet: make one with git:generate-deploy-key",
        )),
    }
}

pub(super) async fn generate_deploy_key(control: &Control, call: &mut Call) -> Outcome {
    control.repos.generate_deploy_key().await?;
    public_key(control, call).await
}

pub(super) async fn initialize(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    control.repos.init(&app).await?;
    call.out
        .header(&format!("The repository of {} is ready", &*app))
        .await
}

pub(super) async fn unlock(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let _lock = control.locks.take(&app)?;
    control.repos.unlock(&app).await?;
    call.out
        .header(&format!(
            "Removed what git had locked in the repository of {}",
            &*app
        ))
        .await
}

/// There is no work tree that could differ: what is to be told is what the branch holds and what runs.
pub(super) async fn status(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let branch = control.branch_to_deploy(&app).await?;
    call.out.line(&format!("On branch {branch}")).await?;
    let Some(commit) = control.repos.head(&app, &branch)? else {
        return call.out.line("No commits yet").await;
    };
    let info = control.repos.commit_info(&app, &commit)?;
    call.out
        .line(&format!("Commit {} {}", commit.short(), info.summary))
        .await?;
    let live = control.store.releases().live(&app).await?;
    let text = match live.and_then(|live| live.commit) {
        Some(live) if live == commit => "The live release was built from it".to_owned(),
        Some(live) => format!("The live release was built from {}", live.short()),
        None => "No release was built from a commit".to_owned(),
    };
    call.out.line(&text).await
}

impl Control {
    /// Gives git the credentials that are in the store now.
    pub(crate) async fn lend_credentials(&self) -> Outcome {
        let list = self.store.git_credentials().list().await?;
        self.repos.set_credentials(list);
        Ok(())
    }

    /// Where an app's code is fetched from, if it is: relative submodules start there.
    pub(crate) async fn origin_of(&self, app: &AppName) -> Outcome<Option<String>> {
        let apps = &crate::verbs::apps::CONCERN;
        if apps.effective(self, app, "deploy-source").await? != "git-sync" {
            return Ok(None);
        }
        let metadata = apps.effective(self, app, "deploy-source-metadata").await?;
        Ok(metadata.split('#').next().map(str::to_owned))
    }
}
