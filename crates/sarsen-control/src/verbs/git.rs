//! git: the wire, the deploy branch, and deploys from elsewhere.

mod archive;
mod servers;

use sarsen_domain::{Branch, EnvKey, Invalid};

use crate::access::{Action, authorise};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::{Concern, Property, Reach, any, apps_to_report, boolean};
use crate::push::push;
use crate::report::{self, ReportKind};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "git-receive-pack",
        "<repo>",
        Deploy,
        "Takes a git push",
        push
    ),
    verb!(
        "git-upload-archive",
        "<app>",
        Inside,
        "Serves git archive --remote",
        upload_archive
    ),
    verb!(
        "git-upload-pack",
        "<repo>",
        Inside,
        "Serves git fetch and git clone",
        upload_pack
    ),
    verb!(
        "git:allow-host",
        "<host>",
        Host,
        "Learns the keys of an ssh server that code is fetched from",
        servers::allow_host
    ),
    verb!(
        "git:auth",
        "<host> [<username>] [<password>]",
        Host,
        "Sets or removes the credentials for a git server (the password also on standard input)",
        servers::auth
    ),
    verb!(
        "git:auth-status",
        "<host> [<username>] [<password>]",
        Host,
        "Checks whether credentials for a git server are set, and are these",
        servers::auth_status
    ),
    verb!(
        "git:from-archive",
        "[--archive-type tar|tar.gz|zip] <app> <archive-url>|-- [<git-user>] [<git-email>]",
        Deploy,
        "Deploys an archive (from a URL, or from standard input)",
        archive::from_archive
    ),
    verb!(
        "git:from-image",
        "[--build-dir DIR] [--force] <app> <image> [<git-user>] [<git-email>]",
        Deploy,
        "Deploys an image that exists",
        archive::from_image
    ),
    verb!(
        "git:generate-deploy-key",
        "",
        Host,
        "Makes the key that other git servers know this host by",
        servers::generate_deploy_key
    ),
    verb!(
        "git:initialize",
        "<app>",
        Change,
        "Makes the repository of an app, or completes it",
        servers::initialize
    ),
    verb!(
        "git:load-image",
        "[--build-dir DIR] <app> <image> [<git-user>] [<git-email>]",
        Deploy,
        "Deploys an image out of an archive on standard input (docker save)",
        archive::load_image
    ),
    verb!(
        "git:public-key",
        "",
        Read,
        "Prints the key that other git servers know this host by",
        servers::public_key
    ),
    verb!(
        "git:report",
        "[<app>] [--global] [--format stdout|json] [--git-*]",
        Read,
        "Displays a git report",
        report
    ),
    verb!(
        "git:set",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a git property: archive-max-files, archive-max-size, deploy-branch, keep-git-dir, rev-env-var",
        set
    ),
    verb!(
        "git:status",
        "<app>",
        Read,
        "Shows what the deploy branch of an app holds",
        servers::status
    ),
    verb!(
        "git:sync",
        "[--build] [--build-if-changes] [--skip-deploy-branch] <app> <repository> [<git-ref>]",
        Deploy,
        "Fetches the code of an app from another repository, and deploys it if asked to",
        servers::sync
    ),
    verb!(
        "git:unlock",
        "<app>",
        Change,
        "Removes locks that git has left in the repository of an app",
        servers::unlock
    ),
    verb!(
        "deploy",
        "<app> [<image-tag>]",
        Deploy,
        "Deploys an image of an app by its tag",
        archive::deploy
    ),
];

/// The properties of git.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "git",
    properties: &[
        Property {
            key: "archive-max-files",
            reach: Reach::AppAndGlobal,
            default: "",
            check: archive::size,
        },
        Property {
            key: "archive-max-size",
            reach: Reach::AppAndGlobal,
            default: "",
            check: archive::size,
        },
        Property {
            key: "keep-git-dir",
            reach: Reach::AppAndGlobal,
            default: "false",
            check: no_git_dir,
        },
        Property {
            key: "deploy-branch",
            reach: Reach::AppAndGlobal,
            default: "master",
            check: branch,
        },
        Property {
            key: "rev-env-var",
            reach: Reach::AppAndGlobal,
            default: "GIT_REV",
            check: env_key,
        },
        Property {
            key: "source-image",
            reach: Reach::App,
            default: "",
            check: any,
        },
    ],
    report: ReportKind {
        prefix: "git",
        label: "git",
        long_json_keys: false,
    },
};

fn branch(value: &str) -> Result<(), Invalid> {
    Branch::parse(value).map(|_| ())
}

/// Sources are read from the object store: there is no `.git` that could be kept.
fn no_git_dir(value: &str) -> Result<(), Invalid> {
    boolean(value)?;
    if value == "true" {
        return Err(Invalid::new(
            "keep-git-dir cannot be true here: sources are built without a .git folder (the commit is in GIT_REV and SOURCE_VERSION)",
        ));
    }
    Ok(())
}

fn env_key(value: &str) -> Result<(), Invalid> {
    EnvKey::parse(value).map(|_| ())
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") || call.args.get(1) != Some("source-image") {
        return CONCERN.set(control, call).await;
    }
    Err(Failure::new("source-image is written by git:from-image"))
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        let live = control.store.releases().live(&app).await?;
        let updated = live
            .as_ref()
            .map(|release| release.created_at.to_string())
            .unwrap_or_default();
        let sha = live
            .and_then(|release| release.commit)
            .map(|commit| commit.to_string())
            .unwrap_or_default();
        fields.retain(|field, _| field != "git-computed-source-image");
        fields.insert("git-sha".to_owned(), sha);
        fields.insert("git-last-updated-at".to_owned(), updated);
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}

async fn upload_pack(control: &Control, call: &mut Call) -> Outcome {
    let name = sarsen_domain::AppName::parse(call.args.get(0).unwrap_or_default())?;
    let app = authorise(&call.actor, Action::Inside, name)?;
    if !control.store.apps().exists(&app).await? {
        let failure = Failure::new(format!("App {} does not exist", &*app));
        return Err(failure.with_code(crate::failure::NO_SUCH_APP));
    }
    let protocol = call.git_protocol.clone();
    let io = crate::pipeline::git_io(call);
    exit(
        control
            .repos
            .serve_upload_pack(&app, protocol.as_deref(), io)
            .await?,
    )
}

async fn upload_archive(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let io = crate::pipeline::git_io(call);
    exit(control.repos.upload_archive(&app, io).await?)
}

fn exit(code: i32) -> Outcome {
    if code == 0 {
        Ok(())
    } else {
        Err(Failure::silent(u8::try_from(code).unwrap_or(1)))
    }
}
