//! The buildpacks of an app, in order.

use std::sync::{Mutex, PoisonError};

use sarsen_build::{BuildRequest, Builder};
use sarsen_domain::builder::{BUNDLED, BuildpackLocation};
use sarsen_domain::{Branch, BuildId, BuildpackRef, ImageRef, Invalid, Progress};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::pipeline::{Arrival, told};
use crate::property::{Concern, Property, Reach, apps_to_report};
use crate::report::{self, ReportKind};
use crate::session::Actor;
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "buildpacks:add",
        "[--index N] <app> <buildpack>",
        Change,
        "Adds a buildpack (at a place, from 1)",
        add
    ),
    verb!(
        "buildpacks:clear",
        "<app>",
        Change,
        "Removes all buildpacks of an app: they are detected again",
        clear
    ),
    verb!(
        "buildpacks:detect",
        "[--branch BRANCH] <app>",
        Change,
        "Says which buildpacks fit the code of an app",
        detect
    ),
    verb!(
        "buildpacks:list",
        "<app>",
        Read,
        "Lists the buildpacks of an app",
        list
    ),
    verb!(
        "buildpacks:remove",
        "[--index N] <app> [<buildpack>]",
        Change,
        "Removes a buildpack by name or place",
        remove
    ),
    verb!(
        "buildpacks:report",
        "[<app>] [--global] [--format stdout|json] [--buildpacks-*]",
        Read,
        "Displays a buildpacks report",
        report
    ),
    verb!(
        "buildpacks:set",
        "[--index N] [--replace] <app> <buildpack>...",
        Change,
        "Sets the buildpack at a place (the first by default)",
        set
    ),
    verb!(
        "buildpacks:set-property",
        "<app>|--global <key> [<value>]",
        Change,
        "Sets a buildpacks property: stack",
        set_property
    ),
];

/// The properties of buildpacks.
pub(crate) const CONCERN: Concern = Concern {
    plugin: "buildpacks",
    properties: &[Property {
        key: "stack",
        reach: Reach::AppAndGlobal,
        default: "",
        check: image,
    }],
    report: ReportKind {
        prefix: "buildpacks",
        label: "buildpacks",
        long_json_keys: true,
    },
};

fn image(value: &str) -> Result<(), Invalid> {
    ImageRef::parse(value).map(|_| ())
}

/// The place given by `--index`, from 0.
fn index(call: &Call) -> Outcome<Option<usize>> {
    let Some(text) = call.args.value("--index") else {
        return Ok(None);
    };
    match text.parse::<usize>() {
        Ok(place) if place > 0 => Ok(Some(place - 1)),
        _ => Err(Failure::new(format!(
            "Invalid index '{}': places count from 1",
            text.escape_debug()
        ))),
    }
}

/// The buildpacks that the caller names, for an app on this stack.
fn parse(call: &Call, stack: &str) -> Outcome<Vec<BuildpackRef>> {
    let mut list = Vec::new();
    for word in call.args.from(1) {
        let buildpack = BuildpackRef::parse(word)?;
        match buildpack.location() {
            // A path would let whoever may deploy read folders of the host.
            BuildpackLocation::Local(_) if !matches!(call.actor, Actor::Local { .. }) => {
                return Err(Failure::new(
                    "A buildpack on the host's disk can only be set on the host itself, not over ssh",
                ));
            }
            // What another stack brings shows in its container only.
            BuildpackLocation::Bundled(name)
                if Builder::is_own_stack(stack) && !BUNDLED.contains(&name) =>
            {
                return Err(Failure::new(format!(
                    "There is no buildpack '{}': the stack has {}; any other is named by a git URL, a .tgz URL, or OWNER/NAME for one on GitHub",
                    name.escape_debug(),
                    BUNDLED.join(", ")
                )));
            }
            BuildpackLocation::Bundled(_)
            | BuildpackLocation::Git { .. }
            | BuildpackLocation::Tarball(_)
            | BuildpackLocation::Local(_) => list.push(buildpack),
        }
    }
    Ok(list)
}

async fn add(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let mut list = control.store.buildpacks().get(&app).await?;
    let stack = control.stack_of(&app).await?;
    for buildpack in parse(call, &stack)? {
        if list.contains(&buildpack) {
            return Err(Failure::new(format!("Buildpack already set: {buildpack}")));
        }
        let place = index(call)?.unwrap_or(list.len()).min(list.len());
        list.insert(place, buildpack);
    }
    control.store.buildpacks().set(&app, &list).await?;
    Ok(())
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let stack = control.stack_of(&app).await?;
    let wanted = parse(call, &stack)?;
    let list = if call.args.has("--replace") {
        wanted
    } else {
        let [buildpack] = wanted.as_slice() else {
            return Err(Failure::new(
                "Give one buildpack, or --replace and the whole list",
            ));
        };
        let mut list = control.store.buildpacks().get(&app).await?;
        let place = index(call)?.unwrap_or(0);
        match list.get_mut(place) {
            Some(old) => old.clone_from(buildpack),
            None => list.push(buildpack.clone()),
        }
        list
    };
    control.store.buildpacks().set(&app, &list).await?;
    Ok(())
}

async fn remove(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let mut list = control.store.buildpacks().get(&app).await?;
    let before = list.len();
    match (index(call)?, call.args.get(1)) {
        (Some(place), None) if place < before => {
            list.remove(place);
        }
        (Some(_), None) => {}
        (None, Some(name)) => {
            let named = BuildpackRef::parse(name)?;
            list.retain(|buildpack| *buildpack != named);
        }
        _ => return Err(Failure::new("Give a buildpack, or --index and its place")),
    }
    if list.len() == before {
        return Err(Failure::new("Buildpack not found: see 'buildpacks:list'"));
    }
    control.store.buildpacks().set(&app, &list).await?;
    Ok(())
}

async fn clear(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    control.store.buildpacks().set(&app, &[]).await?;
    Ok(())
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let list = control.store.buildpacks().get(&app).await?;
    call.out.title(&format!("{} buildpack urls", &*app)).await?;
    let lines: String = list
        .iter()
        .map(|buildpack| format!("       {buildpack}\n"))
        .collect();
    call.out.bytes(lines.as_bytes()).await
}

async fn report(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--global") {
        return CONCERN.report(control, call).await;
    }
    for app in apps_to_report(control, call).await? {
        let list = control.store.buildpacks().get(&app).await?;
        let mut fields = CONCERN.fields(control, Some(&app)).await?;
        let list: Vec<_> = list.iter().map(BuildpackRef::as_str).collect();
        fields.insert("buildpacks-list".to_owned(), list.join(","));
        report::print(call, &CONCERN.report, app.as_str(), &fields).await?;
    }
    Ok(())
}

/// Output that is shown at the end.
#[derive(Default)]
struct Kept(Mutex<Vec<u8>>);

impl Progress for Kept {
    fn write(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
    }
}

async fn detect(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let branch = match call.args.value("--branch") {
        Some(branch) => Branch::parse(branch)?,
        None => control.branch_to_deploy(&app).await?,
    };
    let commit = control
        .repos
        .head(&app, &branch)?
        .ok_or_else(|| Failure::new(format!("{} has no branch {branch}: push it first", &*app)))?;
    let received = control
        .received(&app, &commit, branch, Arrival::There)
        .await?;
    // A build of the app would use the same names and the same cache.
    let _lock = control.locks.take(&app)?;
    let millis = u64::try_from(crate::time::now()).unwrap_or_default() * 1000;
    let build = BuildId::from_parts(millis, rand::random());
    let config = control.store.config().merged(&app).await?;
    let output = Kept::default();
    let options = control.options_of_build(&app).await?;
    let set = options.buildpacks.clone();
    let request = BuildRequest {
        app: &app,
        build: &build,
        source: &received.tree,
        commit: &received.commit,
        config: &config,
        options,
    };
    let detected = control
        .builder
        .detect_buildpacks(request, &output, &call.gone)
        .await;
    let text = output
        .0
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    call.out.bytes(&text).await?;
    detected.map_err(|error| Failure::new(told(&app, &set, &error)))
}

async fn set_property(control: &Control, call: &mut Call) -> Outcome {
    CONCERN.set(control, call).await
}
