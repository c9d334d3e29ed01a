//! Plugins that decide who may do what: `user-auth` before every command, `user-auth-app` for lists of apps.

use sarsen_domain::AppName;
use sarsen_plugins::{Call as Script, Output, Trigger};
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::output::Out;

impl Control {
    /// Asks whether these words may be said. One plugin that objects is enough; what it says is shown.
    pub(crate) async fn let_in(
        &self,
        identity: &Identity,
        words: &[String],
        out: &mut Out,
        gone: &CancellationToken,
    ) -> Outcome {
        // Asking about what a script does that was asked already would never come to an end.
        if identity.within || !self.plugins.implements(&Trigger::UserAuth) {
            return Ok(());
        }
        let mut call = Script::new(&[&identity.user, &identity.name], Output::Kept);
        call.args.extend_from_slice(words);
        call.env = identity.env();
        let asked = tokio::select! {
            asked = Box::pin(self.plugins.trigger(&Trigger::UserAuth, call)) => asked?,
            () = gone.cancelled() => return Err(Failure::silent(1)),
        };
        self.record(&asked).await;
        let Some(objection) = asked.failed() else {
            return Ok(());
        };
        if !objection.last_words.is_empty() {
            out.error_bytes(format!("{}\n", objection.last_words).as_bytes())
                .await?;
        }
        Err(Failure::new("Access denied"))
    }

    /// Those of the apps that the caller may see.
    pub(crate) async fn visible(
        &self,
        identity: &Identity,
        apps: Vec<AppName>,
    ) -> Outcome<Vec<AppName>> {
        if apps.is_empty() || !self.plugins.implements(&Trigger::UserAuthApp) {
            return Ok(apps);
        }
        let mut call = Script::new(&[&identity.user, &identity.name], Output::Kept);
        call.args.extend(apps.iter().map(ToString::to_string));
        call.env = identity.env();
        let asked = Box::pin(self.plugins.trigger(&Trigger::UserAuthApp, call)).await?;
        self.record(&asked).await;
        if let Some(run) = asked.failed() {
            return Err(super::failure_of(run));
        }
        let said = asked.stdout();
        let said = String::from_utf8_lossy(&said);
        let named = |app: &AppName| said.split_whitespace().any(|word| word == app.as_str());
        Ok(apps.into_iter().filter(named).collect())
    }
}
