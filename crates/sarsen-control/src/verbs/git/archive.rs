//! `git:from-archive`, `git:from-image`, `git:load-image`: deploys without a push.

use std::io::{Seek, SeekFrom};

use futures_util::StreamExt;
use sarsen_build::Pull;
use sarsen_domain::archive::Caps;
use sarsen_domain::{AppName, Branch, BuildKind, BuildSource, ImageRef, Invalid, Progress};
use sarsen_git::{ArchiveType, DeployBranch, Import, Imported};
use sarsen_runtime::RuntimeError;
use sarsen_store::Scope;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::CONCERN;
use crate::access::{Action, authorise};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::pipeline::{Arrival, Job, Received, Settled, Source};
use crate::push::{from_received, from_source};
use crate::table::Call;
use crate::verbs::apps::set_deploy_source;

/// Who made a commit when nobody says.
const AUTHOR: (&str, &str) = ("Dokku", "automated@dokku.sh");

/// Archives are limited as pushes are, unless the app says otherwise.
const FILES_MAX: u64 = 100_000;
const SIZE_MAX: u64 = 2 << 30;

/// A number, or one with `k`, `m` or `g` behind it.
pub(super) fn size(value: &str) -> Result<(), Invalid> {
    parse_size(value).map(|_| ())
}

fn parse_size(value: &str) -> Result<u64, Invalid> {
    let invalid = || {
        Invalid::new(format!(
            "Invalid limit '{}': a number above 0, such as 5000 or 500m",
            value.escape_debug()
        ))
    };
    let lower = value.to_ascii_lowercase();
    let bare = lower.trim_end_matches('b');
    let (digits, shift) = match bare.strip_suffix(['k', 'm', 'g']) {
        Some(digits) if bare.ends_with('k') => (digits, 10),
        Some(digits) if bare.ends_with('m') => (digits, 20),
        Some(digits) => (digits, 30),
        None => (bare, 0),
    };
    let number: u64 = digits.parse().map_err(|_| invalid())?;
    number
        .checked_mul(1 << shift)
        .filter(|number| *number > 0)
        .ok_or_else(invalid)
}

/// `[<git-user> [<git-email>]]`
fn author(call: &Call, at: usize) -> Outcome<(String, String)> {
    let word = |index: usize, default: &str| {
        let text = call.args.get(index).unwrap_or(default).to_owned();
        let odd = |c: char| c.is_control() || matches!(c, '<' | '>');
        if text.is_empty() || text.chars().any(odd) {
            return Err(Failure::new(format!(
                "Invalid author '{}': plain text without < and > is needed",
                text.escape_debug()
            )));
        }
        Ok(text)
    };
    Ok((word(at, AUTHOR.0)?, word(at + 1, AUTHOR.1)?))
}

pub(super) async fn from_archive(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let kind = call
        .args
        .value("--archive-type")
        .map(str::parse::<ArchiveType>);
    let kind = kind.transpose()?;
    let author = author(call, 2)?;
    let caps = caps(control, &app).await?;
    let (archive, shown) = take_archive(control, call, caps).await?;
    let branch = control.branch_to_deploy(&app).await?;
    let import = Import {
        archive,
        kind,
        caps,
        author,
        message: format!("Import {shown}"),
        branch: branch.clone(),
    };
    control.repos.init(&app).await?;
    let (commit, kind) = match control.repos.import(&app, import).await? {
        Imported::Commit(commit, kind) => (commit, kind),
        Imported::Unchanged(_) => {
            return Err(Failure::new(format!(
                "No changes detected, skipping git commit\nCall 'ps:rebuild {}' to build what is there once more",
                &*app
            )));
        }
    };
    let received = control
        .received(&app, &commit, branch, Arrival::Brought(None))
        .await?;
    let name = call.actor.name().to_owned();
    let job = control
        .start_job(&app, &name, BuildKind::Build, BuildSource::GitFromArchive)
        .await?;
    let line = |control, job| from_received(control, job, received);
    control.perform(job, call.viewer(), line).await?;
    set_deploy_source(control, &app, (kind.as_str(), &shown)).await
}

async fn caps(control: &Control, app: &AppName) -> Outcome<Caps> {
    let limit = |value: String, default: u64| {
        if value.is_empty() {
            Ok(default)
        } else {
            parse_size(&value)
        }
    };
    let files = CONCERN.effective(control, app, "archive-max-files").await?;
    let bytes = CONCERN.effective(control, app, "archive-max-size").await?;
    Ok(Caps {
        members: limit(files, FILES_MAX)?,
        bytes: limit(bytes, SIZE_MAX)?,
    })
}

/// The archive, and what people are told about where it came from.
async fn take_archive(
    control: &Control,
    call: &mut Call,
    caps: Caps,
) -> Outcome<(std::fs::File, String)> {
    let place = call.args.get(1).unwrap_or_default().to_owned();
    if place == "--" || place == "-" {
        let archive = from_stdin(call, caps.bytes).await?;
        return Ok((archive, "standard input".to_owned()));
    }
    if !place.starts_with("https://") && !place.starts_with("http://") {
        return Err(Failure::new(
            "Give the http or https URL of an archive, or -- and the archive on standard input",
        ));
    }
    call.out.header("Fetching the archive").await?;
    let archive = control.builder.download(&place).await?;
    Ok((archive, without_query(&place)))
}

/// A signed URL keeps its secret behind the question mark, another one before the `@`.
fn without_query(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    match bare.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => bare.to_owned(),
    }
}

async fn from_stdin(call: &mut Call, most: u64) -> Outcome<std::fs::File> {
    let mut file = tokio::fs::File::from_std(tempfile::tempfile()?);
    let mut stdin = call.take_stdin().take(most.saturating_add(1));
    let copied = tokio::io::copy(&mut stdin, &mut file).await?;
    if copied > most {
        return Err(Failure::new(format!(
            "The archive is larger than {most} bytes"
        )));
    }
    if copied == 0 {
        return Err(Failure::new("There is no archive on standard input"));
    }
    let mut file = file.into_std().await;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

pub(super) async fn from_image(control: &Control, call: &mut Call) -> Outcome {
    let image = ImageRef::parse(call.args.get(1).unwrap_or_default())?;
    let pull = if call.args.has("--force") {
        Pull::Always
    } else {
        Pull::IfMissing
    };
    deploy_image(control, call, (image, pull), BuildSource::GitFromImage).await
}

pub(super) async fn load_image(control: &Control, call: &mut Call) -> Outcome {
    let image = ImageRef::parse(call.args.get(1).unwrap_or_default())?;
    author(call, 2)?;
    call.out.header(&format!("Loading {image}")).await?;
    let stdin = ReaderStream::new(call.take_stdin());
    let tar = stdin.map(|chunk| chunk.map_err(|error| RuntimeError::Engine(error.to_string())));
    let mut lines = control.runtime.load(Box::pin(tar)).await?;
    while let Some(line) = lines.next().await {
        call.out.line(&format!("       {}", line?)).await?;
    }
    // Whatever the archive held: this is the name that is deployed.
    control.runtime.image(&image).await.map_err(|error| {
        Failure::new(format!(
            "The archive on standard input holds no image {image}: {error}"
        ))
    })?;
    deploy_image(
        control,
        call,
        (image, Pull::IfMissing),
        BuildSource::GitLoadImage,
    )
    .await
}

async fn deploy_image(
    control: &Control,
    call: &mut Call,
    (image, pull): (ImageRef, Pull),
    source: BuildSource,
) -> Outcome {
    let app = call.app()?;
    // What is in an app's image is its source, and for those to see who may fetch that.
    if let Some(owner) = image.app().filter(|owner| *owner != *app) {
        authorise(&call.actor, Action::Inside, owner)?;
    }
    let why = match call.args.get(2) {
        Some(_) => {
            let (name, mail) = author(call, 2)?;
            format!("Deploy {image} for {name} <{mail}>")
        }
        None => format!("Deploy {image}"),
    };
    if call.args.value("--build-dir").is_some() {
        return Err(Failure::new(
            "--build-dir cannot be honoured: the image is deployed as it is, without a build on top of it",
        ));
    }
    let name = call.actor.name().to_owned();
    let job = control
        .start_job(&app, &name, BuildKind::Build, source)
        .await?;
    let image_source = Source::Image(image.clone(), pull);
    let line = |control, job| from_source(control, job, image_source, why);
    control.perform(job, call.viewer(), line).await?;
    remember_image(control, &app, &image).await
}

async fn remember_image(control: &Control, app: &AppName, image: &ImageRef) -> Outcome {
    let scope = Scope::App(app.clone());
    let properties = control.store.properties();
    properties
        .set(&scope, CONCERN.plugin, "source-image", image.as_str())
        .await?;
    set_deploy_source(control, app, ("docker-image", image.as_str())).await
}

/// `deploy APP [TAG]`: an image that earlier builds left.
pub(super) async fn deploy(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let tag = call.args.get(1).unwrap_or("latest");
    let image = ImageRef::parse(&format!("dokku/{}:{tag}", &*app))?;
    control
        .runtime
        .image(&image)
        .await
        .map_err(|_| Failure::new(format!("There is no image {image} on this host")))?;
    let name = call.actor.name().to_owned();
    let job = control
        .start_job(&app, &name, BuildKind::Deploy, BuildSource::Deploy)
        .await?;
    let why = format!("Deploy {image}");
    let source = Source::Image(image, Pull::IfMissing);
    let line = |control, job| from_source(control, job, source, why);
    control.perform(job, call.viewer(), line).await.map(|_| ())
}

impl Control {
    /// The branch that deploys: what was said, else what the repository was made with.
    pub(crate) async fn branch_to_deploy(&self, app: &AppName) -> Outcome<Branch> {
        Ok(match self.deploy_branch(app).await? {
            DeployBranch::Set(branch) => branch,
            DeployBranch::Unset => Branch::parse("master")?,
        })
    }

    /// Why a rebuild finds no commit: nobody has pushed, or to another branch than the one that is deployed now.
    pub(crate) fn nothing_to_build(&self, app: &AppName, branch: &Branch) -> Outcome<Failure> {
        let others = self.repos.branches(app)?;
        Ok(Failure::new(match others.first() {
            None => format!("App {app} has nothing to build: push to its branch {branch} first"),
            Some(first) => format!(
                "App {app} has no branch {branch} to build, but {}: 'git:set {app} deploy-branch {first}' deploys that one",
                others.join(", ")
            ),
        }))
    }

    /// A commit of the app's repository, ready to be built. The branch moves to it when its release serves.
    pub(crate) async fn received(
        &self,
        app: &AppName,
        commit: &sarsen_domain::CommitId,
        branch: Branch,
        by: Arrival,
    ) -> Outcome<Received> {
        let folder = crate::verbs::builder::CONCERN
            .effective(self, app, "build-dir")
            .await?;
        let folder = Some(folder.as_str()).filter(|folder| !folder.is_empty());
        let tree = self.repos.source(app, None, commit, folder)?;
        Ok(Received {
            commit: tree.commit().clone(),
            branch,
            tree,
            by,
        })
    }

    /// Makes a source that serves now the one that the app is rebuilt from: the branch moves to what was brought, and
    /// an image that was deployed before is forgotten.
    pub(crate) async fn settle_source(&self, job: &Job, branch: &Branch, by: Settled) -> Outcome {
        if let Settled::Brought(commit) = &by
            && let Err(error) = self.repos.set_branch(&job.app, branch, commit).await
        {
            job.log.warn(&format!(
                "The release serves, but the branch {branch} could not be moved: {error}"
            ));
        }
        let scope = Scope::App(job.app.clone());
        let properties = self.store.properties();
        properties
            .unset(&scope, CONCERN.plugin, "source-image")
            .await?;
        if by == Settled::Pushed {
            set_deploy_source(self, &job.app, ("git-push", branch.as_str())).await?;
        }
        self.remember_branch(job, branch).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_units() {
        for (text, bytes) in [
            ("5000", 5000),
            ("2k", 2048),
            ("500M", 500 << 20),
            ("1gb", 1 << 30),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "0", "-1", "x", "1.5m", "99999999999g", "m"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_of_urls_are_not_kept() {
        assert_eq!(
            without_query("https://u:p@x.org/a.tgz?sig=1#y"),
            "https://x.org/a.tgz"
        );
        assert_eq!(without_query("https://x.org"), "https://x.org/");
    }
}
