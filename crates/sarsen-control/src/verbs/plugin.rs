//! Plugins: install, enable, list, fire a trigger. What a plugin may do, root may: only people on the host change them.

use std::future::{Ready, ready};

use sarsen_plugins::{Call as Script, Installation, Plugin, PluginName, Source, Stdin, Trigger};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::plugins::{Lent, caller};
use crate::table::{self, Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "plugin:disable",
        "<plugin>",
        Keys,
        "Has a plugin's scripts run no longer",
        disable
    ),
    verb!(
        "plugin:enable",
        "<plugin>",
        Keys,
        "Has a plugin's scripts run again",
        enable
    ),
    verb!(
        "plugin:install",
        "[--committish REF] [--name NAME] [--skip-install-trigger] [<source>]",
        Keys,
        "Installs and enables a plugin from a git URL, an archive or a folder",
        install
    ),
    verb!(
        "plugin:installed",
        "<plugin>",
        Read,
        "Checks if a plugin is installed",
        installed
    ),
    verb!(
        "plugin:list",
        "[--format stdout|json]",
        Read,
        "Lists the plugins of this host",
        list
    ),
    verb!(
        "plugin:trigger",
        "<trigger> [<argument...>]",
        Keys,
        "Fires a trigger by hand",
        trigger
    ),
    verb!(
        "plugin:uninstall",
        "<plugin>",
        Keys,
        "Removes a plugin",
        uninstall
    ),
];

fn named(call: &Call) -> Outcome<PluginName> {
    Ok(PluginName::parse(call.args.get(0).unwrap_or_default())?)
}

async fn list(control: &Control, call: &mut Call) -> Outcome {
    let plugins = control.plugins.list()?;
    match call.args.value("--format") {
        Some("json") => {
            let rows = plugins.iter().map(json).collect();
            call.out
                .line(&serde_json::Value::Array(rows).to_string())
                .await
        }
        None | Some("stdout") => {
            let lines: String = plugins.iter().map(line).collect();
            call.out.bytes(lines.as_bytes()).await
        }
        Some(other) => Err(Failure::new(format!(
            "Unknown format '{}': use stdout or json",
            other.escape_debug()
        ))),
    }
}

fn state(plugin: &Plugin) -> &'static str {
    if plugin.enabled {
        "enabled"
    } else {
        "disabled"
    }
}

/// As plugn prints it: scripts cut it into columns.
fn line(plugin: &Plugin) -> String {
    let (version, description) = match &plugin.manifest {
        Ok(manifest) => (manifest.version.as_str(), manifest.description.clone()),
        Err(why) => ("", format!("broken: {why}")),
    };
    format!(
        "  {:<20} {version:<5} {:<10} {description}\n",
        plugin.name,
        state(plugin)
    )
}

fn json(plugin: &Plugin) -> serde_json::Value {
    let manifest = plugin.manifest.clone().unwrap_or_default();
    let record = plugin.record.clone().unwrap_or_default();
    let mut row = serde_json::json!({
        "name": plugin.name.as_str(), "version": manifest.version, "enabled": plugin.enabled, "core": false,
        "description": manifest.description, "source_url": record.source_url, "committish": record.committish,
        "branch": record.branch, "commit": record.commit,
    });
    if let (Err(why), Some(row)) = (&plugin.manifest, row.as_object_mut()) {
        row.insert("error".to_owned(), why.as_str().into());
    }
    row
}

fn installed(control: &Control, call: &mut Call) -> Ready<Outcome> {
    let found = named(call).and_then(|name| Ok(control.plugins.find(&name)?));
    ready(found.map(|_| ()))
}

async fn install(control: &Control, call: &mut Call) -> Outcome {
    let Some(source) = call.args.get(0).map(str::to_owned) else {
        return run_install(control, call).await;
    };
    let source = source_of(call, &source)?;
    let name = match call.args.value("--name") {
        Some(name) => PluginName::parse(name)?,
        None => source.default_name()?,
    };
    refuse_ours(&name)?;
    call.out
        .header(&format!("Fetching plugin {name} from {}", source.shown()))
        .await?;
    let wanted = Installation {
        source,
        name: name.clone(),
        committish: call.args.value("--committish").map(str::to_owned),
    };
    let fetched = tokio::select! {
        fetched = Box::pin(control.plugins.install(&wanted)) => fetched?,
        () = call.gone.cancelled() => return Err(Failure::silent(1)),
    };
    let commit = fetched
        .record
        .map(|record| record.commit)
        .filter(|commit| !commit.is_empty());
    let at = commit
        .map(|commit| format!(" at commit {commit}"))
        .unwrap_or_default();
    call.out
        .header(&format!("Plugin {name} enabled{at}"))
        .await?;
    if call.args.has("--skip-install-trigger") {
        return Ok(());
    }
    let ran = run_install(control, call).await;
    if ran.is_err() {
        // A half-made plugin must not stay; what its script has done by then is for it to undo.
        control.plugins.remove(&name).await?;
        call.out
            .warn(&format!(
                "Plugin {name} is removed again, because an install script failed"
            ))
            .await?;
    }
    ran
}

/// As Dokku does, every plugin's: an install script has to be such that it can run again.
async fn run_install(control: &Control, call: &mut Call) -> Outcome {
    fire(control, call, &Trigger::Install, Vec::new(), Stdin::Empty).await
}

/// Paths are taken from where the caller stands.
fn source_of(call: &Call, text: &str) -> Outcome<Source> {
    if text.starts_with("./") || text.starts_with("../") {
        let path = call.file(text)?;
        let path = std::fs::canonicalize(&path)
            .map_err(|error| Failure::new(format!("Cannot read {}: {error}", path.display())))?;
        return Ok(Source::parse(path.to_str().unwrap_or_default())?);
    }
    Ok(Source::parse(text)?)
}

/// A plugin called like one of our nouns would never be asked.
fn refuse_ours(name: &PluginName) -> Outcome {
    let noun = |command: &Command| command.name.split(':').next() == Some(name.as_str());
    if table::commands().any(noun) {
        return Err(Failure::new(format!(
            "'{name}' is the name of commands that are built in: choose another with --name"
        )));
    }
    Ok(())
}

async fn uninstall(control: &Control, call: &mut Call) -> Outcome {
    let name = named(call)?;
    if control.plugins.find(&name)?.enabled {
        let args = vec![name.to_string()];
        if let Err(failure) = fire(control, call, &Trigger::Uninstall, args, Stdin::Empty).await {
            return Err(Failure {
                message: format!(
                    "{}\nTo remove it without asking: 'plugin:disable {name}' first",
                    failure.message
                ),
                ..failure
            });
        }
    }
    control.plugins.remove(&name).await?;
    call.out.header(&format!("Plugin {name} uninstalled")).await
}

async fn enable(control: &Control, call: &mut Call) -> Outcome {
    let name = named(call)?;
    control.plugins.enable(&name).await?;
    call.out.header(&format!("Plugin {name} enabled")).await
}

async fn disable(control: &Control, call: &mut Call) -> Outcome {
    let name = named(call)?;
    control.plugins.disable(&name).await?;
    call.out.header(&format!("Plugin {name} disabled")).await
}

async fn trigger(control: &Control, call: &mut Call) -> Outcome {
    let trigger = Trigger::parse(call.args.get(0).unwrap_or_default())?;
    let args = call.args.from(1).to_vec();
    let stdin = Stdin::From(call.take_stdin());
    let fired = fire(control, call, &trigger, args, stdin).await;
    // Scripts that fire triggers use the code; the plugin has spoken for itself.
    fired.map_err(|failure| Failure::silent(failure.code))
}

/// Fires a trigger for a caller who watches.
async fn fire(
    control: &Control,
    call: &mut Call,
    trigger: &Trigger,
    args: Vec<String>,
    stdin: Stdin,
) -> Outcome {
    let (env, gone) = (caller(&call.actor), call.gone.clone());
    let mut lent = Lent::of(&mut call.out);
    let output = lent.output();
    let script = Script {
        args,
        env,
        stdin,
        output,
    };
    let report = tokio::select! {
        report = Box::pin(control.plugins.trigger_by_hand(trigger, script)) => report,
        () = gone.cancelled() => return Err(Failure::silent(1)),
    };
    lent.give_back(&mut call.out);
    let report = report?;
    match report.failed() {
        None => Ok(()),
        Some(run) => Err(Failure::new(format!("Stopped by {run}")).with_code(report.code())),
    }
}
