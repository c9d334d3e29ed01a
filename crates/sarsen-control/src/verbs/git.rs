//! git: the wire, the deploy branch, deploys from an image.

use sarsen_build::Pull;
use sarsen_domain::{Branch, BuildKind, BuildSource, EnvKey, ImageRef, Invalid};
use sarsen_store::Scope;

use crate::access::{Action, authorise};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::pipeline::Source;
use crate::property::{Concern, Property, Reach, any, apps_to_report};
use crate::push::{from_source, push};
use crate::report::{self, ReportKind};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "git-receive-pack",
        "<name>",
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
        "<name>",
        Inside,
        "Serves git fetch and git clone",
        upload_pack
    ),
    verb!(
        "git:from-image",
        "[--force] <app> <image>",
        Deploy,
        "Deploys an image that exists",
        from_image
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
        "Sets a git property: deploy-branch, rev-env-var",
        set
    ),
];

/// The properties of git.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "git",
    properties: &[
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

async fn from_image(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let image = ImageRef::parse(call.args.get(1).unwrap_or_default())?;
    let pull = if call.args.has("--force") {
        Pull::Always
    } else {
        Pull::IfMissing
    };
    let author = call.actor.name().to_owned();
    let job = control
        .start_job(&app, &author, BuildKind::Build, BuildSource::GitFromImage)
        .await?;
    let why = format!("Deploy {image}");
    let source = Source::Image(image.clone(), pull);
    let line = |control, job| from_source(control, job, source, why);
    control.perform(job, call.viewer(), line).await?;
    let scope = Scope::App(sarsen_domain::AppName::clone(&app));
    control
        .store
        .properties()
        .set(&scope, CONCERN.plugin, "source-image", image.as_str())
        .await?;
    Ok(())
}
