//! The way in for browsers and programs: links and sessions, tokens, and commands that nobody is connected to.

pub(crate) mod runs;
pub(crate) mod secrets;
pub(crate) mod sessions;
pub(crate) mod throttle;
pub(crate) mod tokens;

use std::net::IpAddr;

use sarsen_domain::{AppName, Rights};
use sarsen_store::Holder;

use crate::access::{Action, Authorised, authorise, sees};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::session::Actor;

pub use runs::{Keeping, Order, RunProgress, RunState, RunView};
pub use sessions::{Opened, SignIn, WebSession};

/// Somebody who came through the dashboard or the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebActor {
    /// Whoever the session or the token stands for.
    pub holder: Holder,
    /// The key's fingerprint, for plugins.
    pub fingerprint: Option<String>,
    pub pass: WebPass,
    pub source: Option<IpAddr>,
    /// The most that a token may do; none for sessions.
    pub limit: Option<Rights>,
    /// What it may do now.
    pub rights: Rights,
}

/// What was shown at the door, by its number in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebPass {
    Session(i64),
    Token(i64),
}

/// Why the gate did not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such app, or none that the caller may know of.
    Unseen,
    /// The caller may not do this.
    Denied(Failure),
    /// It could not be found out.
    Broken(Failure),
}

impl WebActor {
    /// Whether what this one has begun is the other's to see.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.holder == other.holder && self.limit == other.limit
    }
}

impl Actor {
    /// Whether this one may do that: to an app, or to the host.
    pub fn may(&self, action: Action, app: Option<&AppName>) -> bool {
        match app {
            Some(app) => authorise(self, action, app.clone()).is_ok(),
            None => authorise(self, action, ()).is_ok(),
        }
    }

    /// Whether this one may know that there is such an app.
    pub fn sees(&self, app: &AppName) -> bool {
        sees(self, app)
    }
}

impl Control {
    /// Asks the gate about an app by name. What the caller may not know of looks like what is not there.
    pub async fn admit(
        &self,
        actor: &Actor,
        action: Action,
        app: &str,
    ) -> Result<Authorised<AppName>, Refusal> {
        let app = AppName::parse(app).map_err(|_| Refusal::Unseen)?;
        if !sees(actor, &app) {
            return Err(Refusal::Unseen);
        }
        let there = self.store.apps().exists(&app).await;
        if !there.map_err(|error| Refusal::Broken(error.into()))? {
            return Err(Refusal::Unseen);
        }
        authorise(actor, action, app).map_err(Refusal::Denied)
    }

    /// Asks the gate about the host, or, for [`Action::List`] and [`Action::Own`], about the caller alone.
    pub fn admit_to_host(&self, actor: &Actor, action: Action) -> Result<(), Refusal> {
        authorise(actor, action, ())
            .map(|_| ())
            .map_err(Refusal::Denied)
    }

    /// What a session or a token may do now: what its holder may, within the token's limit.
    pub(crate) async fn rights_of(
        &self,
        holder: &Holder,
        limit: Option<&Rights>,
    ) -> Outcome<Rights> {
        let own = match holder {
            Holder::Local { .. } => Rights::admin(),
            Holder::Key { name } => self.store.access().of(name).await?,
        };
        Ok(match limit {
            Some(limit) => own.within(limit),
            None => own,
        })
    }

    /// Whether somebody who came in a while ago is still let in, for what goes on for a long time.
    pub async fn still_may(&self, web: &WebActor, action: Action, app: Option<&AppName>) -> bool {
        let pass = match web.pass {
            WebPass::Session(id) => self.store.web_sessions().exists(id).await,
            WebPass::Token(id) => self.store.api_tokens().exists(id).await,
        };
        let rights = self.rights_of(&web.holder, web.limit.as_ref()).await;
        let (Ok(true), Ok(rights)) = (pass, rights) else {
            return false;
        };
        let actor = Actor::Web(WebActor {
            rights,
            ..web.clone()
        });
        actor.may(action, app)
    }

    async fn fingerprint_of(&self, holder: &Holder) -> Outcome<Option<String>> {
        let Holder::Key { name } = holder else {
            return Ok(None);
        };
        let keys = self.store.ssh_keys().list().await?;
        let key = keys.into_iter().find(|key| key.name == *name);
        Ok(key.map(|key| key.fingerprint))
    }
}

#[cfg(test)]
mod tests;
