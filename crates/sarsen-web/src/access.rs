//! Who may look: a link used once gives a session, a session gives the pages.

use axum::extract::{FromRequestParts, Query, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::Web;
use crate::pages::denied;

/// Plain HTTP on loopback: `Secure` and `__Host-` would make browsers drop it.
const COOKIE_NAME: &str = "sarsen_session";
const COOKIE_RULES: &str = "Path=/; HttpOnly; SameSite=Strict";

/// Proof that the request belongs to a session; a handler that takes it cannot be reached without one.
pub(crate) struct Viewer {
    pub(crate) name: String,
}

#[derive(Deserialize)]
pub(crate) struct Login {
    #[serde(default)]
    token: String,
}

impl FromRequestParts<Web> for Viewer {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Response> {
        let session = session_of(&parts.headers).and_then(|id| web.control.logins().session(id));
        session.map(|name| Self { name }).ok_or_else(denied)
    }
}

pub(crate) async fn login(
    method: Method,
    State(web): State<Web>,
    Query(login): Query<Login>,
) -> Response {
    if method == Method::HEAD {
        // Whoever only looks at links that pass by may not use them up.
        return StatusCode::NO_CONTENT.into_response();
    }
    match web.control.logins().redeem(&login.token) {
        Some(session) => {
            let cookie = format!("{COOKIE_NAME}={session}; {COOKIE_RULES}");
            (
                StatusCode::SEE_OTHER,
                [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)],
            )
                .into_response()
        }
        None => denied(),
    }
}

pub(crate) async fn logout(State(web): State<Web>, headers: HeaderMap) -> Response {
    if let Some(id) = session_of(&headers) {
        web.control.logins().end(id);
    }
    let cookie = format!("{COOKIE_NAME}=; Max-Age=0; {COOKIE_RULES}");
    (
        StatusCode::SEE_OTHER,
        [(LOCATION, "/".to_owned()), (SET_COOKIE, cookie)],
    )
        .into_response()
}

fn session_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, id)| id)
}
