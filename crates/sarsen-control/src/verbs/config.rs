//! Config vars.

use base64::Engine as _;
use sarsen_domain::config::ExportFormat;
use sarsen_domain::{Config, EnvKey, envfile};
use sarsen_store::Scope;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::access::{authorise_ties, service_tie};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::output::columns;
use crate::plugins::ConfigChange;
use crate::property::scope;
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "config",
        "[--merged] [--shell] [--export] <app>|--global",
        Inside,
        "Shows config vars",
        show
    ),
    verb!(
        "config:bundle",
        "[--merged] <app>|--global",
        Inside,
        "Writes config vars to standard output, as a tar of one file each",
        bundle
    ),
    verb!(
        "config:clear",
        "[--no-restart] <app>|--global",
        Change,
        "Removes all config vars",
        clear
    ),
    verb!(
        "config:export",
        "[--format docker-args|docker-args-keys|envfile|exports|json|json-list|pack-keys|pretty|shell] [--merged] <app>|--global",
        Inside,
        "Prints config vars in a form that programs read",
        export
    ),
    verb!(
        "config:get",
        "[--quoted] <app>|--global <key>",
        Inside,
        "Prints the value of one config var",
        get
    ),
    verb!(
        "config:import",
        "[--no-restart] [--replace] [--format envfile|json] <app>|--global <file>",
        Change,
        "Sets config vars from a file, or standard input (-)",
        import
    ),
    verb!(
        "config:keys",
        "[--merged] <app>|--global",
        Inside,
        "Prints the names of config vars",
        keys
    ),
    verb!(
        "config:set",
        "[--encoded] [--no-restart] <app>|--global <KEY=VALUE>...",
        Change,
        "Sets one or more config vars",
        set
    ),
    verb!(
        "config:show",
        "[--merged] <app>|--global",
        Inside,
        "Shows config vars",
        show
    ),
    verb!(
        "config:unset",
        "[--no-restart] <app>|--global <key>...",
        Change,
        "Removes one or more config vars",
        unset
    ),
];

/// The largest environment that a program can be started with is about 2 MB; nobody means to set more.
const IMPORT_MAX: u64 = 2 * 1024 * 1024;

async fn chosen(control: &Control, call: &mut Call) -> Outcome<(Config, usize)> {
    let (scope, at) = scope(call)?;
    let config = match &scope {
        Scope::App(app) if call.args.has("--merged") => control.store.config().merged(app).await?,
        Scope::App(_) | Scope::Global => control.store.config().get(&scope).await?,
    };
    Ok((config, at))
}

async fn show(control: &Control, call: &mut Call) -> Outcome {
    let (config, _) = chosen(control, call).await?;
    // Spellings of old scripts, for what config:export does.
    let old = [
        ("--shell", ExportFormat::Shell),
        ("--export", ExportFormat::Exports),
    ];
    if let Some((_, format)) = old.into_iter().find(|(flag, _)| call.args.has(flag)) {
        return print(call, &config, format).await;
    }
    let title = call
        .app
        .as_ref()
        .map_or_else(|| "global".to_owned(), |app| app.to_string());
    call.out.title(&format!("{title} env vars")).await?;
    if config.is_empty() {
        Ok(())
    } else {
        call.out.line(&config.pretty()).await
    }
}

async fn keys(control: &Control, call: &mut Call) -> Outcome {
    let (config, _) = chosen(control, call).await?;
    let lines: String = config.iter().map(|(key, _)| format!("{key}\n")).collect();
    call.out.bytes(lines.as_bytes()).await
}

async fn get(control: &Control, call: &mut Call) -> Outcome {
    let (config, at) = chosen(control, call).await?;
    let key = EnvKey::parse(call.args.get(at).unwrap_or_default())?;
    let value = config.get(key.as_str()).ok_or_else(|| Failure::silent(1))?;
    let quoted = sarsen_domain::config::single_quoted(value);
    call.out
        .line(if call.args.has("--quoted") {
            &quoted
        } else {
            value
        })
        .await
}

async fn export(control: &Control, call: &mut Call) -> Outcome {
    let (config, _) = chosen(control, call).await?;
    let format: ExportFormat = call.args.value("--format").unwrap_or("exports").parse()?;
    print(call, &config, format).await
}

async fn print(call: &mut Call, config: &Config, format: ExportFormat) -> Outcome {
    let text = config.export(format);
    if text.is_empty() {
        Ok(())
    } else {
        call.out.line(&text).await
    }
}

async fn bundle(control: &Control, call: &mut Call) -> Outcome {
    let (config, _) = chosen(control, call).await?;
    let mut tar = tar::Builder::new(Vec::new());
    for (key, value) in config.iter() {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o600);
        header.set_size(value.len() as u64);
        tar.append_data(&mut header, key.as_str(), value.as_bytes())?;
    }
    let bytes = tar.into_inner()?;
    call.out.bytes(&bytes).await
}

async fn set(control: &Control, call: &mut Call) -> Outcome {
    let (scope, at) = scope(call)?;
    let mut vars = Vec::new();
    for pair in call.args.from(at) {
        vars.push(parse_pair(pair, call.args.has("--encoded"))?);
    }
    apply(control, call, scope, vars, Existing::Kept).await
}

/// Parses `KEY=VALUE`; the value may be base64.
fn parse_pair(pair: &str, encoded: impl Into<Encoded>) -> Outcome<(EnvKey, String)> {
    let (key, value) = pair.split_once('=').ok_or_else(|| {
        Failure::new(format!(
            "Invalid env pair: '{}' (write it as KEY=VALUE)",
            pair.escape_debug()
        ))
    })?;
    let key = EnvKey::parse(key)?;
    let value = match encoded.into() {
        Encoded::Plain => value.to_owned(),
        Encoded::Base64 => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.trim());
            let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            text.ok_or_else(|| {
                Failure::new(format!(
                    "The value of {key} is not valid base64 of UTF-8 text"
                ))
            })?
        }
    };
    Ok((key, value))
}

enum Encoded {
    Plain,
    Base64,
}

impl From<bool> for Encoded {
    fn from(encoded: bool) -> Self {
        if encoded { Self::Base64 } else { Self::Plain }
    }
}

#[derive(PartialEq, Eq)]
enum Existing {
    Kept,
    Replaced,
}

async fn apply(
    control: &Control,
    call: &mut Call,
    scope: Scope,
    vars: Vec<(EnvKey, String)>,
    existing: Existing,
) -> Outcome {
    let mut config = Config::default();
    for (key, value) in &vars {
        config.set(key.clone(), value.clone())?;
    }
    if let Scope::App(app) = &scope {
        let held = control.store.config().get(&scope).await?;
        let changed = config.iter();
        let changed = changed.filter(|(key, value)| held.get(key.as_str()) != Some(value));
        let ties = changed.filter_map(|(key, value)| service_tie(app, key.as_str(), value));
        authorise_ties(&call.actor, &ties.collect::<Vec<_>>())?;
    }
    let names: Vec<_> = config.iter().map(|(key, _)| key.to_string()).collect();
    let keys: Vec<_> = vars.iter().map(|(key, _)| key.clone()).collect();
    if !call.out.quiet {
        call.out.header("Setting config vars").await?;
        let rows: Vec<_> = config
            .iter()
            .map(|(key, value)| vec![format!("       {key}:"), value.to_owned()])
            .collect();
        call.out.bytes(columns(&rows).as_bytes()).await?;
    }
    match existing {
        Existing::Replaced => control.store.config().replace(&scope, &config).await?,
        Existing::Kept => control.store.config().set(&scope, vars).await?,
    }
    let why = format!("Set {}", names.join(", "));
    redeploy(control, call, &scope, ConfigChange::Set(&keys), &why).await
}

async fn unset(control: &Control, call: &mut Call) -> Outcome {
    let (scope, at) = scope(call)?;
    let present = control.store.config().get(&scope).await?;
    let mut keys = Vec::new();
    for name in call.args.from(at) {
        keys.push(EnvKey::parse(name)?);
    }
    let (there, missing): (Vec<_>, Vec<_>) = keys
        .into_iter()
        .partition(|key| present.get(key.as_str()).is_some());
    for key in &missing {
        call.out
            .header(&format!("Skipping {key}, it is not set in the environment"))
            .await?;
    }
    for key in &there {
        call.out.header(&format!("Unsetting {key}")).await?;
    }
    if there.is_empty() {
        return Ok(());
    }
    control.store.config().unset(&scope, &there).await?;
    let names: Vec<_> = there.iter().map(EnvKey::to_string).collect();
    let why = format!("Unset {}", names.join(", "));
    redeploy(control, call, &scope, ConfigChange::Unset(&there), &why).await
}

async fn clear(control: &Control, call: &mut Call) -> Outcome {
    let (scope, _) = scope(call)?;
    control.store.config().clear(&scope).await?;
    call.out.header("Clearing config vars").await?;
    let (change, why) = (ConfigChange::Cleared, "Cleared config vars");
    redeploy(control, call, &scope, change, why).await
}

async fn import(control: &Control, call: &mut Call) -> Outcome {
    let (scope, at) = scope(call)?;
    let text = read_source(call, at).await?;
    let vars = match call.args.value("--format") {
        Some("json") => parse_json(&text)?,
        None | Some("envfile") => parse_envfile(&text)?,
        Some(other) => {
            return Err(Failure::new(format!(
                "Unknown format '{}': use envfile or json",
                other.escape_debug()
            )));
        }
    };
    let existing = if call.args.has("--replace") {
        Existing::Replaced
    } else {
        Existing::Kept
    };
    apply(control, call, scope, vars, existing).await
}

/// What standard input (`-`) or a file on the caller's host holds.
async fn read_source(call: &mut Call, at: usize) -> Outcome<String> {
    let name = call.args.get(at).unwrap_or_default().to_owned();
    let mut source: Box<dyn AsyncRead + Send + Unpin> = if name == "-" {
        call.take_stdin()
    } else {
        let file = tokio::fs::File::open(call.file(&name)?).await;
        Box::new(file.map_err(|error| {
            Failure::new(format!("Cannot read {}: {error}", name.escape_debug()))
        })?)
    };
    let mut text = String::new();
    let read = (&mut source)
        .take(IMPORT_MAX + 1)
        .read_to_string(&mut text)
        .await?;
    if read as u64 > IMPORT_MAX {
        return Err(Failure::new(
            "The file is larger than 2 MB, which no environment can carry",
        ));
    }
    Ok(text)
}

fn parse_json(text: &str) -> Outcome<Vec<(EnvKey, String)>> {
    let map: std::collections::BTreeMap<String, String> =
        serde_json::from_str(text).map_err(|error| {
            Failure::new(format!(
                "Invalid JSON: {error}; an object of strings is needed"
            ))
        })?;
    map.into_iter()
        .map(|(key, value)| Ok((EnvKey::parse(&key)?, value)))
        .collect()
}

fn parse_envfile(text: &str) -> Outcome<Vec<(EnvKey, String)>> {
    let vars = envfile::parse(text)?.into_iter();
    Ok(vars.map(|var| (var.key, var.value)).collect())
}

/// A change of an app's config makes a new release of the image that runs; a global one waits for the next deploy.
pub(crate) async fn redeploy(
    control: &Control,
    call: &mut Call,
    scope: &Scope,
    change: ConfigChange<'_>,
    why: &str,
) -> Outcome {
    let Scope::App(app) = scope else {
        return Ok(());
    };
    let record = control.store.apps().get(app).await?;
    control.tell_of_config(call, app, change).await?;
    let runs = record.deployed && !record.stopped && control.is_restored(app).await?;
    if call.args.has("--no-restart") || !runs {
        return Ok(());
    }
    if control.skips_deploy(app).await? {
        return call.out.header("Skipping deployment").await;
    }
    call.out.header(&format!("Restarting app {app}")).await?;
    if let Err(failure) = control.redeploy_config(call, why).await {
        // The change is kept: the next deploy carries it.
        call.out.warn(&failure.message).await?;
        call.out
            .warn(&format!(
                "The config is changed, but {app} still runs with the old one: 'ps:restart {app}' deploys it"
            ))
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envfile_export_reads_back() {
        let mut config = Config::default();
        config
            .set(
                EnvKey::parse("A").unwrap(),
                "multi\nline \"quoted\" $x `y` \\ 'z'",
            )
            .unwrap();
        let text = config.export(ExportFormat::Envfile);
        let read: Config = parse_envfile(&text).unwrap().into_iter().collect();
        assert_eq!(read, config);
    }

    #[test]
    fn pairs() {
        assert_eq!(parse_pair("A=b=c", false).unwrap().1, "b=c");
        assert_eq!(parse_pair("A=aGk=", true).unwrap().1, "hi");
        assert!(parse_pair("A", false).is_err());
        assert!(parse_pair("A=%%", true).is_err());
    }
}
