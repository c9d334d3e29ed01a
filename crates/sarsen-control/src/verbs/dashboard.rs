//! The way into the dashboard.

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::table::{Call, Command, verb};

/// The verbs of this file.
pub(crate) const COMMANDS: &[Command] = &[verb!(
    "dashboard:login",
    "",
    Host,
    "Prints a link into the dashboard, good once within 15 minutes",
    login
)];

async fn login(control: &Control, call: &mut Call) -> Outcome {
    let base = control.settings.dashboard.as_ref().ok_or_else(|| {
        Failure::new("The dashboard is turned off: set web.listen in the daemon's configuration")
    })?;
    let token = control.logins.issue(call.actor.name());
    call.out.line(&format!("{base}/login?token={token}")).await
}
