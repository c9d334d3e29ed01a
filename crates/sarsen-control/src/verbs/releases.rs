//! The release ledger, and the way back.

use sarsen_domain::{Release, ReleaseNumber, ReleaseState};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::report::wants_json;
use crate::table::{Call, Command, verb};
use crate::time::rfc3339;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "releases",
        "[-n|--num N] [--format stdout|json] <app>",
        Read,
        "Lists the releases of an app, newest first",
        list
    ),
    verb!(
        "releases:info",
        "[--format stdout|json] <app> [<release>]",
        Read,
        "Shows one release (the live one by default)",
        info
    ),
    verb!(
        "rollback",
        "<app> [<release>]",
        Deploy,
        "Goes back to an earlier release (the previous one by default)",
        rollback
    ),
    verb!(
        "releases:rollback",
        "<app> [<release>]",
        Deploy,
        "Goes back to an earlier release (the previous one by default)",
        rollback
    ),
];

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let count = call.args.value("--num").unwrap_or("15");
    let count: usize = count
        .parse()
        .map_err(|_| Failure::new("--num needs a number"))?;
    let releases = control.store.releases().list(&app, count).await?;
    if wants_json(call)? {
        let rows: Vec<_> = releases
            .iter()
            .map(|release| {
                serde_json::json!({
                    "version": release.number.0, "state": release.state.as_str(),
                    "commit": release.commit.as_ref().map(|commit| commit.as_str()),
                    "image": release.image.as_str(), "build": release.build.as_str(), "user": release.author,
                    "description": release.description, "created_at": rfc3339(release.created_at),
                })
            })
            .collect();
        return call
            .out
            .line(&serde_json::Value::Array(rows).to_string())
            .await;
    }
    if releases.is_empty() {
        return Err(Failure::new(format!(
            "{} has no releases yet: push to deploy one",
            &*app
        )));
    }
    call.out.title(&format!("{} releases", &*app)).await?;
    let mut rows = Vec::new();
    if !call.out.quiet {
        rows.push(
            ["Release", "State", "Description", "User", "Created"]
                .map(str::to_owned)
                .to_vec(),
        );
    }
    for release in &releases {
        rows.push(vec![
            release.number.to_string(),
            release.state.to_string(),
            release.description.clone(),
            release.author.clone(),
            rfc3339(release.created_at),
        ]);
    }
    call.out.table(&rows).await
}

async fn info(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let release = match call.args.get(1) {
        Some(number) => control.store.releases().get(&app, number.parse()?).await?,
        None => control.store.releases().live(&app).await?.ok_or_else(|| {
            Failure::new(format!(
                "{} has no live release yet: push to deploy one",
                &*app
            ))
        })?,
    };
    let rows = describe(&release);
    if wants_json(call)? {
        let object: serde_json::Map<_, _> = rows
            .iter()
            .map(|(label, value)| {
                (
                    label.to_lowercase().replace(' ', "-"),
                    value.as_str().into(),
                )
            })
            .collect();
        return call
            .out
            .line(&serde_json::Value::Object(object).to_string())
            .await;
    }
    call.out
        .title(&format!("{} release {}", &*app, release.number))
        .await?;
    let rows: Vec<_> = rows
        .iter()
        .map(|(label, value)| vec![format!("       {label}:"), value.clone()])
        .collect();
    call.out.table(&rows).await
}

/// Everything about a release but the values of its config.
fn describe(release: &Release) -> [(&'static str, String); 12] {
    let processes: Vec<_> = release
        .procfile
        .iter()
        .map(|(process, command)| format!("{process}: {command}"))
        .collect();
    let formation: Vec<_> = release
        .formation
        .iter()
        .map(|(process, count)| format!("{process}={count}"))
        .collect();
    let keys: Vec<_> = release
        .config
        .iter()
        .map(|(key, _)| key.to_string())
        .collect();
    [
        ("Release", release.number.to_string()),
        ("State", release.state.to_string()),
        ("Description", release.description.clone()),
        ("User", release.author.clone()),
        ("Created", rfc3339(release.created_at)),
        (
            "Commit",
            release
                .commit
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        ("Image", release.image.to_string()),
        ("Builder", release.builder.to_string()),
        ("Build", release.build.to_string()),
        ("Formation", formation.join(" ")),
        ("Processes", processes.join("; ")),
        ("Config vars", keys.join(" ")),
    ]
}

async fn rollback(control: &Control, call: &mut Call) -> Outcome {
    let app = call.app()?;
    let releases = control.store.releases();
    let number: ReleaseNumber = match call.args.get(1) {
        Some(number) => number.parse()?,
        None => {
            let previous = releases
                .previous_deployable(&app)
                .await?
                .map(|release| release.number);
            previous.ok_or_else(|| {
                Failure::new(format!("{} has no earlier release to go back to", &*app))
            })?
        }
    };
    let target = releases.get(&app, number).await?;
    match target.state {
        ReleaseState::Retired => control.roll_back(call, target).await,
        ReleaseState::Live => Err(Failure::new(format!(
            "{number} is the live release already"
        ))),
        ReleaseState::Failed | ReleaseState::Pending => Err(Failure::new(format!(
            "{number} never served: see 'releases {}' for those that did",
            &*app
        ))),
    }
}
