//! Somebody who was let in, and what for. Only the guard makes these, so that a handler that takes one cannot be
//! reached past the gate.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use sarsen_control::{Action, Actor, Authorised, RunView, WebActor};
use sarsen_domain::{AppName, Right};

use crate::Web;

/// A request that passed the gate.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) viewer: Viewer,
    /// The app of the path.
    app: Option<Authorised<AppName>>,
    /// A command that was just carried out (`?done=ID`), when it is the viewer's own.
    pub(crate) done: Option<RunView>,
}

/// Who looks.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    pub(crate) name: String,
    /// What forms must carry; empty for programs.
    pub(crate) csrf: String,
    pub(crate) web: WebActor,
    pub(crate) actor: Actor,
    /// The session's number; none for programs.
    pub(crate) session: Option<i64>,
}

impl Viewer {
    pub(crate) fn new(web: WebActor, csrf: String, session: Option<i64>) -> Self {
        let actor = Actor::Web(web.clone());
        Self {
            name: actor.name().to_owned(),
            csrf,
            web,
            actor,
            session,
        }
    }

    /// Whether this one may do that, so that pages leave out what the gate would refuse.
    pub(crate) fn may(&self, action: Action, app: Option<&AppName>) -> bool {
        self.actor.may(action, app)
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.web.rights.everywhere == Some(Right::Admin)
    }
}

impl Visit {
    pub(crate) fn new(
        viewer: Viewer,
        app: Option<Authorised<AppName>>,
        done: Option<RunView>,
    ) -> Self {
        Self { viewer, app, done }
    }

    /// The app of the path; only for routes that have one.
    #[expect(
        clippy::result_large_err,
        reason = "handlers give the answer back as it is"
    )]
    pub(crate) fn app(&self) -> Result<&AppName, Response> {
        let app = self.app.as_deref();
        app.ok_or_else(|| StatusCode::NOT_FOUND.into_response())
    }
}

impl FromRequestParts<Web> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Web) -> Result<Self, Response> {
        let visit = parts.extensions.get::<Self>().cloned();
        visit.ok_or_else(|| {
            tracing::error!("a route without a guard was asked for");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        })
    }
}
