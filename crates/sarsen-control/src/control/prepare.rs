//! What stands between a command's words and the command: its grammar, and the gate.

use sarsen_domain::AppName;

use super::globals::Globals;
use crate::access::{Authorised, Reached, gate};
use crate::args::{Args, Usage};
use crate::control::Control;
use crate::failure::{Failure, NO_SUCH_APP, Outcome};
use crate::session::Actor;
use crate::table::Command;

/// Arguments, and the app among them.
type Prepared = (Args, Option<Authorised<AppName>>);

impl Control {
    /// Reads a command's arguments, and asks the gate about the app that they name.
    pub(super) async fn prepare(
        &self,
        command: &'static Command,
        actor: &Actor,
        globals: &Globals,
        arguments: &[String],
    ) -> Outcome<Prepared> {
        let usage = Usage::parse(command.usage)?;
        let args = usage.apply(&globals.arguments(&usage, arguments)?)?;
        let place = usage.position("app");
        if let Some(place) = usage.position("repo") {
            // The app that a push is for may not be there yet.
            let app = AppName::parse(args.get(place).unwrap_or_default())?;
            gate(command, actor, Some(app), Reached::Named)?;
            return Ok((args, None));
        }
        let instead = ["--global", "--all", "--all-apps"];
        let reached = match instead.iter().any(|flag| args.has(flag)) {
            true => Reached::Instead,
            false => Reached::Named,
        };
        let named = place
            .filter(|_| reached == Reached::Named)
            .and_then(|place| args.get(place));
        let Some(name) = named else {
            gate(command, actor, None, reached)?;
            return Ok((args, None));
        };
        let missing = || missing(&usage, name);
        let app = AppName::parse(name).map_err(|_| missing())?;
        let app = gate(command, actor, Some(app), reached)?;
        let app = app.ok_or_else(missing)?;
        if !self.store.apps().exists(&app).await? {
            return Err(missing());
        }
        Ok((args, Some(app)))
    }
}

fn missing(usage: &Usage, name: &str) -> Failure {
    // A host where an app belongs: the app was left out.
    let is_host = name.contains(['.', ':']) && usage.stands_in("--global");
    let hint = if is_host {
        "\nThe app comes first, or --global in its place"
    } else {
        ""
    };
    let name = name.escape_debug();
    Failure::new(format!("App {name} does not exist{hint}")).with_code(NO_SUCH_APP)
}
