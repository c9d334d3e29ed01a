//! Services of addons. Every addon has the same verbs, under its own noun: `redis:create`, `postgres:create`, …

mod backups;
mod data;
mod expose;
mod life;
mod links;
mod list;
mod make;
mod settings;
mod show;
#[cfg(test)]
mod tests;

use std::sync::{LazyLock, OnceLock};

use sarsen_addons::{Addon, Catalog};
use sarsen_domain::ServiceName;
use sarsen_store::{ServiceRecord, ServiceState};

use self::list::{VERBS, Verb};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::{Call, Command};

/// The verbs of the addons that this installation has; made once, for the table speaks of verbs that live for ever.
static INSTALLED: OnceLock<Vec<Command>> = OnceLock::new();

/// The same before any installation is known, as in the docs.
static BUNDLED: LazyLock<Vec<Command>> = LazyLock::new(|| {
    // A bundled addon that cannot be read is found by its own test.
    Catalog::bundled()
        .map(|catalog| verbs_of(&catalog))
        .unwrap_or_default()
});

/// Adds these addons' verbs to the command table. Only the first call counts.
pub(crate) fn install(catalog: &Catalog) {
    INSTALLED.get_or_init(|| verbs_of(catalog));
}

/// Every addon's verbs.
pub(crate) fn commands() -> &'static [Command] {
    INSTALLED.get().unwrap_or(&BUNDLED)
}

fn verbs_of(catalog: &Catalog) -> Vec<Command> {
    let of_addon = |addon: &Addon| {
        let verbs = VERBS.iter().filter(|verb| (verb.has)(addon));
        verbs.map(|verb| verb.of(addon)).collect::<Vec<_>>()
    };
    catalog.iter().flat_map(of_addon).collect()
}

impl Verb {
    fn of(&self, addon: &Addon) -> Command {
        Command {
            name: format!("{}:{}", addon.name, self.verb).leak(),
            usage: self.usage,
            help: self.help.replace('%', &addon.title).leak(),
            action: self.action,
            run: self.run,
        }
    }
}

/// The addon that the verb belongs to.
fn addon(control: &Control, call: &Call) -> Outcome<Addon> {
    let noun = call.command.name.split(':').next().unwrap_or_default();
    let addon = control.addons.catalog.get(noun).cloned();
    addon.ok_or_else(|| Failure::new(format!("There is no addon {noun}")))
}

/// The addon and the name that was given.
fn named(control: &Control, call: &Call) -> Outcome<(Addon, ServiceName)> {
    let name = ServiceName::parse(call.args.get(0).unwrap_or_default())?;
    Ok((addon(control, call)?, name))
}

/// The addon and the service that was named, which exists.
async fn subject(control: &Control, call: &mut Call) -> Outcome<(Addon, ServiceRecord)> {
    let (addon, name) = named(control, call)?;
    let record = control.store.services().get(&addon.name, &name).await?;
    if record.state == ServiceState::Destroying {
        return Err(Failure::new(format!(
            "{} service {name} is being destroyed",
            addon.title
        )));
    }
    Ok((addon, record))
}

/// The service that was named and its addon; it runs.
async fn running(control: &Control, call: &mut Call) -> Outcome<(Addon, ServiceRecord)> {
    let (addon, record) = subject(control, call).await?;
    if record.state != ServiceState::Running {
        let (title, name) = (&addon.title, &record.name);
        return Err(Failure::new(format!(
            "{title} service {name} is stopped: start it first"
        )));
    }
    Ok((addon, record))
}
