//! Triggers around whole commands: what is fired before one begins and after it has succeeded. A change of settings is
//! told here, once for every way of making it.

use sarsen_domain::{AppName, EnvKey};
use sarsen_plugins::{Call as Script, Output, Stdin, Trigger};

use super::Lent;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::Call;

/// A trigger and what it is told.
type Moment = (Trigger, Vec<String>);

/// What is fired before a command.
fn before(call: &Call, app: &AppName) -> Option<Moment> {
    let trigger = match call.command.name {
        "ps:start" => Trigger::PreStart,
        "domains:enable" => Trigger::PreEnableVhost,
        "domains:disable" => Trigger::PreDisableVhost,
        "git-upload-pack" => Trigger::GitPrePull,
        _ => return None,
    };
    Some((trigger, vec![app.to_string()]))
}

/// A change of an app's config vars. Only their names are told.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ConfigChange<'a> {
    Set(&'a [EnvKey]),
    Unset(&'a [EnvKey]),
    Cleared,
}

/// What is fired after a command that has succeeded.
fn after(call: &Call, app: &AppName) -> Vec<Moment> {
    let (noun, verb) = call.command.name.split_once(':').unwrap_or_default();
    let app = app.to_string();
    let words = || call.args.from(1).to_vec();
    let moment = match (noun, verb) {
        ("domains", "add" | "remove" | "set" | "clear" | "reset" | "enable" | "disable") => {
            let mut args = vec![app, verb.to_owned()];
            args.extend(words());
            (Trigger::PostDomainsUpdate, args)
        }
        ("ports", "add" | "remove" | "set" | "clear") => {
            (Trigger::PostProxyPortsUpdate, vec![app, verb.to_owned()])
        }
        // A certificate decides on the URLs of domains: those who follow these are told of no action.
        ("certs", "add" | "update" | "generate" | "rollback") => {
            let domains = (Trigger::PostDomainsUpdate, vec![app.clone()]);
            return vec![(Trigger::PostCertsUpdate, vec![app]), domains];
        }
        ("certs", "remove") => {
            let domains = (Trigger::PostDomainsUpdate, vec![app.clone()]);
            return vec![(Trigger::PostCertsRemove, vec![app]), domains];
        }
        ("proxy", "enable") => (Trigger::ProxyEnable, vec![app]),
        ("proxy", "disable") => (Trigger::ProxyDisable, vec![app]),
        ("ps", "stop") => (Trigger::PostStop, vec![app]),
        ("buildpacks", "set-property") if call.args.get(1) == Some("stack") => {
            let value = call.args.get(2).unwrap_or_default().to_owned();
            (Trigger::PostStackSet, vec![app, value])
        }
        _ if call.command.name == "git-upload-pack" => (Trigger::GitPostPull, vec![app]),
        _ => return Vec::new(),
    };
    vec![moment]
}

impl Control {
    /// Fires what belongs before the command; a plugin that objects stops it.
    pub(crate) async fn announce(&self, call: &mut Call) -> Outcome {
        if call.command.name == "ps:restore" {
            self.fire_for(call, (Trigger::PreRestore, Vec::new()))
                .await?;
        }
        for app in self.concerned(call).await? {
            if let Some(moment) = before(call, &app) {
                self.fire_for(call, moment).await?;
            }
        }
        Ok(())
    }

    /// Fires what belongs after the command. It has happened: a failure is only said.
    pub(crate) async fn tell_of(&self, call: &mut Call) -> Outcome {
        for app in self.concerned(call).await? {
            for moment in after(call, &app) {
                if let Err(failure) = self.fire_for(call, moment).await {
                    call.out.warn(&failure.message).await?;
                }
            }
        }
        Ok(())
    }

    /// An app's config vars have changed; nothing runs with them yet.
    pub(crate) async fn tell_of_config(
        &self,
        call: &mut Call,
        app: &AppName,
        change: ConfigChange<'_>,
    ) -> Outcome {
        let (verb, keys) = match change {
            ConfigChange::Set(keys) => ("set", keys),
            ConfigChange::Unset(keys) => ("unset", keys),
            ConfigChange::Cleared => ("clear", &[][..]),
        };
        let mut args = vec![app.to_string(), verb.to_owned()];
        args.extend(keys.iter().map(EnvKey::to_string));
        if let Err(failure) = self.fire_for(call, (Trigger::PostConfigUpdate, args)).await {
            call.out.warn(&failure.message).await?;
        }
        Ok(())
    }

    /// The app of the command, or all of them.
    async fn concerned(&self, call: &mut Call) -> Outcome<Vec<AppName>> {
        if let Some(app) = &call.app {
            return Ok(vec![AppName::clone(app)]);
        }
        if call.args.has("--all") {
            return Ok(self.store.apps().list().await?);
        }
        // Git's own words name the repository, not an app.
        let name = call
            .args
            .get(0)
            .filter(|_| call.command.name == "git-upload-pack");
        Ok(name
            .and_then(|name| AppName::parse(name).ok())
            .into_iter()
            .collect())
    }

    /// Fires a trigger for who gave the command, and shows what scripts print.
    pub(crate) async fn fire_for(&self, call: &mut Call, moment: Moment) -> Outcome {
        self.fire_with(call, moment, Vec::new()).await
    }

    /// The same with more variables.
    pub(crate) async fn fire_with(
        &self,
        call: &mut Call,
        (trigger, args): Moment,
        variables: Vec<(String, String)>,
    ) -> Outcome {
        let words: Vec<_> = args.iter().map(String::as_str).collect();
        self.note_trigger(&trigger, &words).await;
        if !self.plugins.implements(&trigger) {
            return Ok(());
        }
        let (mut env, gone) = (call.identity.env(), call.gone.clone());
        env.extend(variables);
        let mut lent = Lent::of(&mut call.out);
        // Git speaks its own language on both streams.
        let output = if call.command.name.starts_with("git-") {
            Output::Kept
        } else {
            lent.output()
        };
        let script = Script {
            args,
            env,
            folder: None,
            stdin: Stdin::Empty,
            output,
        };
        let fired = tokio::select! {
            fired = Box::pin(self.plugins.trigger(&trigger, script)) => fired,
            () = gone.cancelled() => return Err(Failure::silent(1)),
        };
        lent.give_back(&mut call.out);
        let fired = fired?;
        self.record(&fired).await;
        fired
            .failed()
            .map_or(Ok(()), |run| Err(Failure::new(format!("Stopped by {run}"))))
    }
}
