//! Apps: make, list, look at, rename, lock, remove.

use std::future::{Ready, ready};

use sarsen_domain::{AppName, Invalid};
use sarsen_plugins::Trigger;
use sarsen_store::{Locked, Scope};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::access::{Action, authorise, sees};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::property::{Concern, Property, Reach, apps_to_report, boolean};
use crate::report::{self, ReportKind, wants_json};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!("apps", "", List, "Lists your apps", list),
    verb!(
        "apps:clone",
        "[--skip-deploy] [--ignore-existing] <app> <new-app>",
        Host,
        "Clones an app: its settings and its code",
        clone
    ),
    verb!(
        "apps:create",
        "<new-app>",
        Host,
        "Creates a new app",
        create
    ),
    verb!(
        "apps:destroy",
        "[-f|--force] <app>",
        Host,
        "Permanently destroys an app",
        destroy
    ),
    verb!(
        "apps:exists",
        "<app>",
        Read,
        "Checks if an app exists",
        exists
    ),
    verb!(
        "apps:list",
        "[--format stdout|json]",
        List,
        "Lists your apps",
        list
    ),
    verb!(
        "apps:lock",
        "<app>",
        Change,
        "Refuses deploys until unlocked",
        lock
    ),
    verb!(
        "apps:locked",
        "<app>",
        Read,
        "Checks if an app is locked for deployment",
        locked
    ),
    verb!(
        "apps:rename",
        "[--skip-deploy] <app> <new-app>",
        Host,
        "Renames an app",
        rename
    ),
    verb!(
        "apps:report",
        "[<app>] [--global] [--format stdout|json] [--app-*]",
        Read,
        "Displays a report about apps",
        report
    ),
    verb!(
        "apps:set",
        "<app>|--global <key> [<value>]",
        Host,
        "Sets an apps property: deploy-source, deploy-source-metadata, disable-autocreation (global)",
        set
    ),
    verb!(
        "apps:unlock",
        "<app>",
        Change,
        "Allows deploys again",
        unlock
    ),
];

/// The properties of apps.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "apps",
    properties: &[
        Property {
            key: "deploy-source",
            reach: Reach::App,
            default: "",
            check: one_line,
        },
        Property {
            key: "deploy-source-metadata",
            reach: Reach::App,
            default: "",
            check: one_line,
        },
        Property {
            key: "disable-autocreation",
            reach: Reach::Global,
            default: "false",
            check: boolean,
        },
    ],
    report: ReportKind {
        prefix: "app",
        label: "app",
        long_json_keys: true,
    },
};

/// Text that a report can show in a line.
fn one_line(value: &str) -> Result<(), Invalid> {
    if value.chars().any(char::is_control) {
        return Err(Invalid::new("The value must be one line of plain text"));
    }
    Ok(())
}

/// Notes where an app's code came from, for `apps:report`.
pub(crate) async fn set_deploy_source(
    control: &Control,
    app: &AppName,
    (source, metadata): (&str, &str),
) -> Outcome {
    let scope = Scope::App(app.clone());
    let properties = control.store.properties();
    for (key, value) in [
        ("deploy-source", source),
        ("deploy-source-metadata", metadata),
    ] {
        properties.set(&scope, CONCERN.plugin, key, value).await?;
    }
    let told = [app.as_str(), source, metadata];
    control
        .tell_plugins_about(Trigger::DeploySourceSet, &told)
        .await;
    Ok(())
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.set(control, call).await
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let mut apps = control.store.apps().list().await?;
    apps.retain(|app| sees(&call.actor, app));
    let apps = control.visible(&call.identity, apps).await?;
    match wants_json(call)? {
        true => {
            call.out
                .line(&serde_json::to_string(&apps).unwrap_or_default())
                .await
        }
        false if apps.is_empty() => {
            call.out
                .warn("You haven't deployed any applications yet")
                .await
        }
        false => {
            call.out.title("My Apps").await?;
            let lines: String = apps.iter().map(|app| format!("{app}\n")).collect();
            call.out.bytes(lines.as_bytes()).await
        }
    }
}

async fn create(control: &Control, call: &mut Call) -> Outcome {
    let name = AppName::parse_new(call.args.get(0).unwrap_or_default())?;
    let app = authorise(&call.actor, Action::Host, name)?;
    if control.store.apps().exists(&app).await? {
        return Err(Failure::new("Name is already taken"));
    }
    call.out.header(&format!("Creating {}...", &*app)).await?;
    control.create_app(&app).await
}

/// Whoever comes here has named an app that exists.
fn exists(_: &Control, call: &mut Call) -> Ready<Outcome> {
    ready(call.app().map(|_| ()))
}

async fn destroy(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    if !(call.force || call.args.has("--force")) {
        let what = format!("{} (including all add-ons)", &*app);
        confirm(call, app.as_str(), &what).await?;
    }
    let lock = control.locks.take(&app)?;
    call.out
        .header(&format!("Destroying {} (including all add-ons)", &*app))
        .await?;
    control.destroy_app(lock).await
}

/// Lets the caller type the name of what is to be destroyed.
pub(crate) async fn confirm(call: &mut Call, name: &str, what: &str) -> Outcome {
    call.out
        .warn(&format!(
            "WARNING: Potentially Destructive Action\n\
             This command will destroy {what}.\n\
             To proceed, type \"{name}\""
        ))
        .await?;
    call.out.error_bytes(b"> ").await?;
    let mut typed = String::new();
    let mut stdin = BufReader::new(call.take_stdin());
    stdin.read_line(&mut typed).await?;
    if call.terminal.is_none() {
        // Nobody's Enter has ended the line of the prompt.
        call.out.error_bytes(b"\n").await?;
    }
    if typed.trim() == name {
        return Ok(());
    }
    Err(Failure::new("Confirmation did not match. Aborted."))
}

async fn rename(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let new = AppName::parse_new(call.args.get(1).unwrap_or_default())?;
    let new = authorise(&call.actor, Action::Host, new)?;
    if control.store.apps().exists(&new).await? {
        return Err(Failure::new("Name is already taken"));
    }
    let lock = control.locks.take(&app)?;
    call.out
        .header(&format!("Renaming {} to {}...", &*app, &*new))
        .await?;
    control.rename_app(lock, &new).await?;
    if !call.args.has("--skip-deploy") {
        // The containers carry the old name in their labels and environment: replace them.
        control.restart_if_deployed(call, &new).await?;
    }
    let names = [app.as_str(), new.as_str()];
    control
        .tell_plugins_about(Trigger::PostAppRename, &names)
        .await;
    Ok(())
}

async fn clone(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let new = AppName::parse_new(call.args.get(1).unwrap_or_default())?;
    let new = authorise(&call.actor, Action::Host, new)?;
    if control.store.apps().exists(&new).await? {
        if call.args.has("--ignore-existing") {
            return call.out.warn("Name is already taken").await;
        }
        return Err(Failure::new("Name is already taken"));
    }
    call.out
        .header(&format!("Cloning {} to {}...", &*app, &*new))
        .await?;
    control.clone_app(&app, &new).await?;
    if !call.args.has("--skip-deploy") && !control.store.apps().get(&app).await?.stopped {
        control.deploy_clone(call, &app, &new).await?;
    }
    let names = [app.as_str(), new.as_str()];
    control
        .tell_plugins_about(Trigger::PostAppClone, &names)
        .await;
    Ok(())
}

async fn lock(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    control.store.apps().set_locked(&app, Locked::Yes).await?;
    call.out
        .header(&format!("Deploy lock created for {}", &*app))
        .await
}

async fn unlock(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    if !control.store.apps().get(&app).await?.locked {
        return Err(Failure::new("Deploy lock does not exist"));
    }
    control.store.apps().set_locked(&app, Locked::No).await?;
    if control.locks.holder(&app).is_some() {
        call.out
            .warn("A deploy under way is not stopped by this")
            .await?;
    }
    call.out
        .header(&format!("Deploy lock removed for {}", &*app))
        .await
}

async fn locked(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let record = control.store.apps().get(&app).await?;
    if record.locked || control.locks.holder(&app).is_some() {
        return call.out.line("Deploy lock exists").await;
    }
    Err(Failure::new("Deploy lock does not exist"))
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let record = control.store.apps().get(&app).await?;
        let locked = record.locked || control.locks.holder(&app).is_some();
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        fields.retain(|field, _| !field.starts_with("app-computed-"));
        fields.extend([
            ("app-created-at".to_owned(), record.created_at.to_string()),
            (
                "app-dir".to_owned(),
                control.repos.path(&app).display().to_string(),
            ),
            ("app-locked".to_owned(), locked.to_string()),
        ]);
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}
