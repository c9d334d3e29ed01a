//! Plugins come, are brought up to date, and go.

use sarsen_plugins::{Installation, Plugin, PluginName, Source, Stdin, Trigger, Updated};

use super::{fire, named, say_replaced};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::{self, Call};

pub(super) async fn install(control: &Control, call: &mut Call) -> Outcome {
    let Some(source) = call.args.get(0).map(str::to_owned) else {
        return run_install(control, call).await;
    };
    if call.args.has("--core") {
        return Err(Failure::new("--core installs nothing from elsewhere"));
    }
    let source = source_of(call, &source)?;
    let name = match call.args.value("--name") {
        Some(name) => PluginName::parse(name)?,
        None => source.default_name()?,
    };
    if is_replaced(&source, &name) {
        return call
            .out
            .header(&format!(
                "The commands of {name} are built in: nothing is installed"
            ))
            .await;
    }
    refuse_ours(control, &name).await?;
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
    say_enabled(call, &fetched).await?;
    say_replaced(control, call, &name).await?;
    control.forget_host_tasks();
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

async fn say_enabled(call: &mut Call, plugin: &Plugin) -> Outcome {
    let name = &plugin.name;
    let commit = plugin.record.as_ref().map(|record| record.commit.as_str());
    let at = match commit {
        None | Some("") => String::new(),
        Some(commit) => format!(" at commit {commit}"),
    };
    call.out
        .header(&format!("Plugin {name} enabled{at}"))
        .await?;
    if only_for_nginx(name) {
        let warning = format!("{name} writes files for nginx, which nothing here reads");
        call.out.warn(&warning).await?;
    }
    Ok(())
}

/// As Dokku does, every plugin's: an install script has to be such that it can run again.
async fn run_install(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--core") {
        return call
            .out
            .header("The core plugins are part of the daemon")
            .await;
    }
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

/// Plugins that do nothing but write files for nginx, which is not here. What they are for is built in.
const REPLACED: &[&str] = &["http-auth", "letsencrypt", "maintenance", "redirect"];

/// Whether our own commands do what this plugin is for.
fn is_replaced(source: &Source, name: &PluginName) -> bool {
    let usual = source.default_name().ok();
    let names = [Some(name), usual.as_ref()];
    let ours = |name: &PluginName| REPLACED.contains(&name.as_str()) && is_noun(name);
    names.into_iter().flatten().any(ours)
}

fn is_noun(name: &PluginName) -> bool {
    table::nouns().contains(&name.as_str())
}

/// A plugin called like one of our nouns would never be asked. It may take the place of a bundled addon that nobody uses.
async fn refuse_ours(control: &Control, name: &PluginName) -> Outcome {
    if is_noun(name) {
        return Err(Failure::new(format!(
            "'{name}' is the name of commands that are built in: choose another with --name"
        )));
    }
    let services = control.store.services().all().await?;
    let mut services = services.iter();
    if let Some(service) = services.find(|service| service.addon.as_str() == name.as_str()) {
        return Err(Failure::new(format!(
            "There are services of the bundled addon {name}, such as {}: destroy them first, or choose another name with --name",
            service.name
        )));
    }
    Ok(())
}

/// Whether what this plugin writes is read by nobody here.
fn only_for_nginx(name: &PluginName) -> bool {
    REPLACED.contains(&name.as_str())
}

pub(super) async fn uninstall(control: &Control, call: &mut Call) -> Outcome {
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
    control.forget_host_tasks();
    control.store.plugin_runs().forget(name.as_str()).await?;
    call.out.header(&format!("Plugin {name} uninstalled")).await
}

pub(super) async fn update(control: &Control, call: &mut Call) -> Outcome {
    let names = match call.args.get(0) {
        Some(name) => vec![PluginName::parse(name)?],
        None => {
            let plugins = control.plugins.list()?;
            let own = plugins
                .into_iter()
                .filter(|plugin| plugin.enabled && !plugin.core);
            own.map(|plugin| plugin.name).collect()
        }
    };
    for name in names {
        update_one(control, call, &name).await?;
    }
    control.forget_host_tasks();
    fire(control, call, &Trigger::Update, Vec::new(), Stdin::Empty).await
}

async fn update_one(control: &Control, call: &mut Call, name: &PluginName) -> Outcome {
    if !control.plugins.find(name)?.enabled {
        return Err(Failure::new(format!(
            "Plugin {name} is disabled: 'plugin:enable {name}' first"
        )));
    }
    let committish = call.args.get(1).map(str::to_owned);
    let updated = tokio::select! {
        updated = Box::pin(control.plugins.update(name, committish.as_deref())) => updated?,
        () = call.gone.cancelled() => return Err(Failure::silent(1)),
    };
    let told = match updated {
        Updated::At(record) => format!("Plugin {name} updated to {}", record.commit),
        Updated::Pinned(committish) => format!("Plugin {name} stays at {committish}"),
        Updated::NotGit => {
            format!("Plugin {name} does not come from git: install it again to change it")
        }
    };
    call.out.header(&told).await
}
