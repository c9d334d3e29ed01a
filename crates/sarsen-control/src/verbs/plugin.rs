//! Plugins: install, update, enable, list, fire a trigger. What a plugin may do, root may: only people on the host change them.

mod install;
mod show;

use std::future::{Ready, ready};

use sarsen_plugins::{Call as Script, PluginName, Stdin, Trigger};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::plugins::{Lent, answers};
use crate::table::{Call, Command, verb};
use crate::verbs::help;

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[
    verb!(
        "plugin",
        "",
        Read,
        "Shows the commands for plugins",
        overview
    ),
    verb!(
        "plugin:ask",
        "<trigger> [<argument...>]",
        Host,
        "Answers a trigger that plugins fire, as far as it is not plugins that answer it",
        answers::answer
    ),
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
        "[--core] [--committish REF] [--name NAME] [--skip-install-trigger] [<source>]",
        Keys,
        "Installs and enables a plugin from a git URL, an archive or a folder",
        install::install
    ),
    verb!(
        "plugin:install-dependencies",
        "[--core]",
        Keys,
        "Has all plugins install the packages that they need",
        dependencies
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
        show::list
    ),
    verb!(
        "plugin:report",
        "[--format stdout|json] [<plugin>]",
        Read,
        "Displays what plugins are and how their last scripts ended",
        show::report
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
        install::uninstall
    ),
    verb!(
        "plugin:update",
        "[<plugin>] [<committish>]",
        Keys,
        "Brings a plugin, or all of them, up to date from git",
        install::update
    ),
];

fn named(call: &Call) -> Outcome<PluginName> {
    Ok(PluginName::parse(call.args.get(0).unwrap_or_default())?)
}

fn installed(control: &Control, call: &mut Call) -> Ready<Outcome> {
    let found = named(call).and_then(|name| Ok(control.plugins.find(&name)?));
    ready(found.map(|_| ()))
}

/// A noun alone asks what it can do.
async fn overview(control: &Control, call: &mut Call) -> Outcome {
    match help::topic("plugin:help", &[]) {
        Some(topic) => help::show(&mut call.out, &topic, &control.replaced()).await,
        None => Ok(()),
    }
}

async fn enable(control: &Control, call: &mut Call) -> Outcome {
    let name = named(call)?;
    control.plugins.enable(&name).await?;
    control.forget_host_tasks();
    call.out.header(&format!("Plugin {name} enabled")).await?;
    say_replaced(control, call, &name).await
}

/// A plugin with the name of an addon has its commands from here on.
async fn say_replaced(control: &Control, call: &mut Call, name: &PluginName) -> Outcome {
    if control.addons.catalog.get(name.as_str()).is_none() {
        return Ok(());
    }
    let said =
        format!("       It takes the place of the bundled addon {name} as long as it is enabled");
    call.out.line(&said).await
}

async fn disable(control: &Control, call: &mut Call) -> Outcome {
    let name = named(call)?;
    control.plugins.disable(&name).await?;
    control.forget_host_tasks();
    call.out.header(&format!("Plugin {name} disabled")).await
}

/// Dokku's own plugins need packages; what we need is not a plugin's.
async fn dependencies(control: &Control, call: &mut Call) -> Outcome {
    if call.args.has("--core") {
        return call.out.header("Nothing is missing").await;
    }
    fire(
        control,
        call,
        &Trigger::Dependencies,
        Vec::new(),
        Stdin::Empty,
    )
    .await
}

async fn trigger(control: &Control, call: &mut Call) -> Outcome {
    let trigger = Trigger::parse(call.args.get(0).unwrap_or_default())?;
    let args = call.args.from(1).to_vec();
    if sarsen_plugins::is_answered(trigger.as_str()) {
        let mut question = vec!["plugin:ask".to_owned(), trigger.to_string()];
        question.extend_from_slice(&args);
        control.stand_in(call, &question).await?;
    }
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
    let (env, gone) = (call.identity.env(), call.gone.clone());
    let mut lent = Lent::of(&mut call.out);
    let output = lent.output();
    let script = Script {
        args,
        env,
        folder: None,
        stdin,
        output,
    };
    let report = tokio::select! {
        report = Box::pin(control.plugins.trigger_by_hand(trigger, script)) => report,
        () = gone.cancelled() => return Err(Failure::silent(1)),
    };
    lent.give_back(&mut call.out);
    let report = report?;
    control.record(&report).await;
    match report.failed() {
        None => Ok(()),
        Some(run) => Err(Failure::new(format!("Stopped by {run}")).with_code(report.code())),
    }
}
