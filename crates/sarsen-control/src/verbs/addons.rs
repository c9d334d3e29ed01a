//! Services of addons. Every addon has the same verbs, under its own noun: `redis:create`, `postgres:create`, …

mod data;
mod links;
mod show;

use std::sync::{LazyLock, OnceLock};

use sarsen_addons::{Addon, Catalog};
use sarsen_domain::ServiceName;
use sarsen_store::{ServiceRecord, ServiceState};

use crate::access::Action;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::{Call, Command, Handler};
use crate::verbs::apps::confirm;

/// A verb that every addon has which can do it.
struct Verb {
    verb: &'static str,
    usage: &'static str,
    action: Action,
    /// `%` stands for the addon's title.
    help: &'static str,
    run: Handler,
    has: fn(&Addon) -> bool,
}

macro_rules! verb {
    ($name:literal, $usage:literal, $action:ident, $help:literal, $function:expr) => {
        verb!($name, $usage, $action, $help, $function, |_| true)
    };
    ($name:literal, $usage:literal, $action:ident, $help:literal, $function:expr, $has:expr) => {
        Verb {
            verb: $name,
            usage: $usage,
            action: Action::$action,
            help: $help,
            run: |control, call| Box::pin($function(control, call)),
            has: $has,
        }
    };
}

const VERBS: &[Verb] = &[
    verb!(
        "app-links",
        "<app>",
        Read,
        "Lists the % services that an app is linked to",
        links::of_app
    ),
    verb!(
        "connect",
        "<service>",
        Inside,
        "Opens a client's session with a % service",
        data::connect,
        Addon::connects
    ),
    verb!(
        "create",
        "[-i|--image IMAGE] [-I|--image-version VERSION] <service>",
        Host,
        "Creates a % service",
        create
    ),
    verb!(
        "destroy",
        "[-f|--force] <service>",
        Host,
        "Permanently destroys a % service and its data",
        destroy
    ),
    verb!(
        "enter",
        "<service> [<command...>]",
        Inside,
        "Runs a command, or a shell, in the container of a % service",
        data::enter
    ),
    verb!(
        "exists",
        "<service>",
        Read,
        "Checks if a % service exists",
        show::exists
    ),
    verb!(
        "export",
        "<service>",
        Inside,
        "Writes the data of a % service to standard output",
        data::export,
        Addon::exports
    ),
    verb!(
        "import",
        "<service>",
        Inside,
        "Replaces the data of a % service by what comes on standard input",
        data::import,
        Addon::imports
    ),
    verb!(
        "info",
        "[--dsn] [--exposed-ports] [--id] [--internal-ip] [--links] [--status] [--version] [--volume] [--format stdout|json] <service>",
        Inside,
        "Displays a report about a % service, its URL included",
        show::info
    ),
    verb!(
        "link",
        "[-a|--alias ALIAS] [-n|--no-restart] <service> <app>",
        Change,
        "Links a % service to an app, which gets its URL as a config var",
        links::link
    ),
    verb!(
        "linked",
        "<service> <app>",
        Read,
        "Checks if a % service is linked to an app",
        links::linked
    ),
    verb!(
        "links",
        "<service>",
        Read,
        "Lists the apps that a % service is linked to",
        links::links
    ),
    verb!(
        "list",
        "[--format stdout|json]",
        Read,
        "Lists the % services",
        show::list
    ),
    verb!(
        "logs",
        "[-t|--tail] [-n|--num N] <service>",
        Read,
        "Shows the last log lines of a % service, or follows them",
        show::logs
    ),
    verb!(
        "restart",
        "<service>",
        Change,
        "Restarts a % service",
        restart
    ),
    verb!("start", "<service>", Change, "Starts a % service", start),
    verb!("stop", "<service>", Change, "Stops a % service", stop),
    verb!(
        "unlink",
        "[-n|--no-restart] <service> <app>",
        Change,
        "Takes the link of a % service to an app, and its config var, away",
        links::unlink
    ),
];

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

async fn create(control: &Control, call: &mut Call) -> Outcome {
    let (addon, name) = named(control, call)?;
    let (repository, version) = (
        call.args.value("--image"),
        call.args.value("--image-version"),
    );
    let image = addon.image(repository, version)?;
    let _busy = control.addons.take(&addon.name, &name)?;
    let title = &addon.title;
    if control
        .store
        .services()
        .get(&addon.name, &name)
        .await
        .is_ok()
    {
        return Err(Failure::new(format!(
            "{title} service {name} already exists"
        )));
    }
    let engine = &control.addons.engine;
    if !engine.has_image(&image).await? {
        call.out.header(&format!("Pulling {image}")).await?;
        engine.pull(&image).await?;
    }
    call.out
        .header(&format!("Starting {title} service {name}"))
        .await?;
    control.create_service(&addon, &name, image).await?;
    call.out
        .title(&format!("{title} container created: {name}"))
        .await
}

async fn destroy(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = match subject(control, call).await {
        Ok(subject) => subject,
        // Asked again while the first time is not done, or was cut off.
        Err(failure) => retried(control, call).await.ok_or(failure)?,
    };
    let (title, name) = (&addon.title, &record.name);
    let links = control.store.services().links(record.id).await?;
    if !links.is_empty() {
        let links: Vec<_> = links.iter().map(|app| app.as_str()).collect();
        return Err(Failure::new(format!(
            "Cannot delete linked service: {title} service {name} is linked to {}",
            links.join(", ")
        )));
    }
    if !(call.force || call.args.has("--force")) {
        let what = format!("{title} service {name} and its data");
        confirm(call, name.as_str(), &what).await?;
    }
    let _busy = control.addons.take(&addon.name, name)?;
    call.out.header(&format!("Deleting {name}")).await?;
    control.destroy_service(&addon, &record).await?;
    call.out
        .title(&format!("{title} container deleted: {name}"))
        .await
}

async fn retried(control: &Control, call: &mut Call) -> Option<(Addon, ServiceRecord)> {
    let (addon, name) = named(control, call).ok()?;
    let record = control
        .store
        .services()
        .get(&addon.name, &name)
        .await
        .ok()?;
    Some((addon, record))
}

async fn start(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let _busy = control.addons.take(&addon.name, &record.name)?;
    call.out
        .header(&format!("Starting {}", record.name))
        .await?;
    let services = control.store.services();
    services.set_state(record.id, ServiceState::Running).await?;
    control.start_service(&addon, &record).await
}

async fn stop(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let _busy = control.addons.take(&addon.name, &record.name)?;
    call.out
        .header(&format!("Stopping {}", record.name))
        .await?;
    let services = control.store.services();
    services.set_state(record.id, ServiceState::Stopped).await?;
    let service = crate::addons::service(&record);
    Ok(control.addons.engine.stop(&addon, &service).await?)
}

async fn restart(control: &Control, call: &mut Call) -> Outcome {
    let (addon, record) = subject(control, call).await?;
    let _busy = control.addons.take(&addon.name, &record.name)?;
    call.out
        .header(&format!("Restarting {}", record.name))
        .await?;
    let services = control.store.services();
    services.set_state(record.id, ServiceState::Running).await?;
    let service = crate::addons::service(&record);
    control.addons.engine.stop(&addon, &service).await?;
    control.start_service(&addon, &record).await
}
