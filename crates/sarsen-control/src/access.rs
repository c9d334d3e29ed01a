//! The one gate: may this actor do this to that? Deny by default.
//!
//! | right on the app | lets a key |
//! |---|---|
//! | `read` | look: [`Action::Read`] |
//! | `deploy` | also push, run commands and change settings of the app: `Deploy`, `Change`, `Inside` |
//! | any | manage its own sessions and tokens: [`Action::Own`] |
//! | `admin` | everything but [`Action::Keys`] and [`Action::Root`], which are for people on the host |
//!
//! What concerns the host, or names a service that several apps may share, needs the right everywhere; anything but
//! looking there needs `admin`.

use std::ops::Deref;

use sarsen_domain::{AppName, Right, Rights};

use crate::args::Usage;
use crate::failure::{Failure, Outcome};
use crate::session::Actor;
use crate::table::Command;

/// What a command does to its object. Every command of the table declares one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Shows what everybody may see, and of apps only those that the caller may see.
    List,
    /// Looks.
    Read,
    /// Changes settings.
    Change,
    /// Changes what runs.
    Deploy,
    /// Runs commands inside the app's containers, or shows its secrets.
    Inside,
    /// Makes and removes apps, and changes settings of all.
    Host,
    /// Manages the caller's own sessions and tokens.
    Own,
    /// Decides who may come in.
    Keys,
    /// Gives containers power over the host itself: its files, devices, namespaces.
    Root,
}

/// Proof that the gate let this actor act on this object. Cannot be made anywhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised<T>(T);

impl<T> Deref for Authorised<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What is acted on, as the gate sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach<'a> {
    /// One app.
    App(&'a AppName),
    /// Those apps that the caller may see: the command keeps to them.
    Visible,
    /// The host, or every app.
    Host,
}

/// Something that can be acted on.
pub trait Object {
    /// How far it reaches.
    fn reach(&self) -> Reach<'_>;
}

/// The apps that the caller may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VisibleApps;

impl Object for AppName {
    fn reach(&self) -> Reach<'_> {
        Reach::App(self)
    }
}

impl Object for VisibleApps {
    fn reach(&self) -> Reach<'_> {
        Reach::Visible
    }
}

/// The host.
impl Object for () {
    fn reach(&self) -> Reach<'_> {
        Reach::Host
    }
}

/// The words of a command that is a plugin's: nobody knows what it does.
impl Object for &[String] {
    fn reach(&self) -> Reach<'_> {
        Reach::Host
    }
}

/// Lets the actor act on the object, or says why not.
pub(crate) fn authorise<T: Object>(
    actor: &Actor,
    action: Action,
    object: T,
) -> Outcome<Authorised<T>> {
    let Some(rights) = actor.rights() else {
        return Ok(Authorised(object));
    };
    if matches!(action, Action::Keys | Action::Root) {
        return Err(Failure::new(format!(
            "This command must be run on the host itself, not over {}",
            way(actor)
        )));
    }
    if action == Action::Own && actor.door() == "api" {
        return Err(Failure::new(
            "Access denied: a token cannot be used to manage sessions and tokens",
        ));
    }
    if allows(rights, action, object.reach()) {
        return Ok(Authorised(object));
    }
    let what = match object.reach() {
        Reach::App(app) => format!(" to {app}"),
        Reach::Visible | Reach::Host => String::new(),
    };
    let name = actor.name();
    Err(Failure::new(match actor.door() {
        "api" => format!("Access denied: this token of {name} may not do this{what}"),
        _ => format!(
            "Access denied: the key of {name} may not do this{what} (on the host, 'access:list {name}' tells what it may)"
        ),
    }))
}

fn way(actor: &Actor) -> &'static str {
    match actor {
        Actor::Local { .. } | Actor::Key { .. } => "ssh",
        Actor::Web(_) => "the dashboard or its API",
    }
}

fn allows(rights: &Rights, action: Action, reach: Reach<'_>) -> bool {
    let needed = match (action, reach) {
        (Action::Keys | Action::Root, _) => return false,
        (Action::List, _) => return true,
        (Action::Own, _) => return rights.any(),
        (Action::Read, Reach::Visible) => return rights.any(),
        (Action::Host, _) => Right::Admin,
        (Action::Read, _) => Right::Read,
        (Action::Change | Action::Deploy | Action::Inside, Reach::App(_)) => Right::Deploy,
        (Action::Change | Action::Deploy | Action::Inside, Reach::Visible | Reach::Host) => {
            Right::Admin
        }
    };
    let held = match (action, reach) {
        // What concerns the host is not an app's, whatever app is named.
        (Action::Host, _) | (_, Reach::Visible | Reach::Host) => rights.everywhere,
        (_, Reach::App(app)) => rights.on(app),
    };
    held >= Some(needed)
}

/// How a command comes to what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// By the name of an app, where its usage has one.
    Named,
    /// By a flag such as `--global` or `--all`, which stands in place of an app.
    Instead,
}

/// Asks the gate for a command: about the app that is named, about those that the caller may see when one may be
/// named and is not, or about the host. A service may be shared between apps, so naming one is the host's business.
pub(crate) fn gate(
    command: &Command,
    actor: &Actor,
    app: Option<AppName>,
    reached: Reached,
) -> Outcome<Option<Authorised<AppName>>> {
    let usage = Usage::parse(command.usage)?;
    let names_service = usage.position("service").is_some();
    if names_service {
        authorise(actor, command.action, ())?;
    }
    if let Some(app) = app {
        return authorise(actor, command.action, app).map(Some);
    }
    if usage.position("app").is_some() && reached == Reached::Named && !names_service {
        authorise(actor, command.action, VisibleApps)?;
    } else {
        authorise(actor, command.action, ())?;
    }
    Ok(None)
}

/// Whether the actor may see that there is such an app.
pub(crate) fn sees(actor: &Actor, app: &AppName) -> bool {
    actor.rights().is_none_or(|rights| rights.on(app).is_some())
}

/// Lets the actor give containers these powers over the host, or says which of them must be given there.
pub(crate) fn authorise_powers(actor: &Actor, powers: &[String]) -> Outcome {
    let Some(first) = powers.first() else {
        return Ok(());
    };
    authorise(actor, Action::Root, ()).map(|_| ()).map_err(|_| {
        Failure::new(format!(
            "{} gives the app power over the host itself: run this command on the host, not over ssh",
            first.escape_debug()
        ))
    })
}

/// A variable or label that gives the app's services a name or an id in the catalog that is not simply the app's: another
/// app may be known by it.
pub(crate) fn service_tie(app: &AppName, key: &str, value: &str) -> Option<String> {
    let what = key.strip_prefix("SERVICE_")?;
    // `SERVICE_NAME`, or of one port `SERVICE_5000_NAME`.
    let (_, last) = what.rsplit_once('_').unwrap_or(("", what));
    let names_it = matches!(last, "NAME" | "ID");
    (names_it && value != app.as_str()).then(|| format!("{key}={value}"))
}

/// Lets the actor give an app these ties to what is not the app's own, or says which of them needs a right everywhere.
pub(crate) fn authorise_ties(actor: &Actor, ties: &[String]) -> Outcome {
    let Some(first) = ties.first() else {
        return Ok(());
    };
    authorise(actor, Action::Host, ()).map(|_| ()).map_err(|_| {
        Failure::new(format!(
            "Access denied: {} reaches beyond the app: ask somebody who has the right admin everywhere to run this command",
            first.escape_debug()
        ))
    })
}

#[cfg(test)]
mod tests;
