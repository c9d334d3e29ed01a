//! Signing in and out: a link used once gives a session, whose secret is the cookie.

use axum::extract::{Query, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE, USER_AGENT};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, extract::FromRequestParts};
use sarsen_control::{Look, Opened, SignIn};
use serde::Deserialize;

use crate::Web;
use crate::arrival::Arrival;
use crate::pages::{self, denied};
use crate::visit::Visit;

/// Inside TLS. The beginning of the name has browsers see to it that no other host, and nobody in the clear, sets it.
const SECURE_NAME: &str = "__Host-sarsen";
/// In the clear on loopback, where browsers would drop the other.
const PLAIN_NAME: &str = "sarsen_session";
const RULES: &str = "Path=/; HttpOnly; SameSite=Strict";

#[derive(Deserialize)]
pub(crate) struct Login {
    #[serde(default)]
    token: String,
}

/// A `Set-Cookie` with the secret of a session.
pub(crate) fn cookie(secret: &str, arrival: &Arrival) -> String {
    if arrival.https {
        format!("{SECURE_NAME}={secret}; Secure; {RULES}")
    } else {
        format!("{PLAIN_NAME}={secret}; {RULES}")
    }
}

/// The secret that a browser shows. Each way in has a name of its own: what was set in the clear counts nothing inside
/// TLS.
pub(crate) fn cookie_of<'h>(headers: &'h HeaderMap, arrival: &Arrival) -> Option<&'h str> {
    let wanted = if arrival.https {
        SECURE_NAME
    } else {
        PLAIN_NAME
    };
    let cookies = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == wanted)
        .map(|(_, secret)| secret)
}

pub(crate) async fn login(
    method: Method,
    State(web): State<Web>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
    Query(login): Query<Login>,
) -> Response {
    if method == Method::HEAD {
        // Whoever only looks at links that pass by may not use them up.
        return StatusCode::NO_CONTENT.into_response();
    }
    let agent = headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok());
    let sign_in = SignIn {
        token: &login.token,
        source: arrival.source,
        agent: agent.unwrap_or_default(),
    };
    let secret = match web.control.sign_in(sign_in).await {
        Ok(Opened::Session(secret)) => secret,
        Ok(Opened::Nothing) => return denied(),
        Ok(Opened::Wait) => {
            let text = "Too many wrong links came from there: wait 15 minutes".to_owned();
            return pages::refused(
                StatusCode::TOO_MANY_REQUESTS,
                None,
                "Too many attempts",
                text,
            );
        }
        Err(failure) => return pages::broken(&failure),
    };
    // The session that the browser had is over, whosever it was.
    if let Some(old) = cookie_of(&headers, &arrival)
        && let Ok(Some(old)) = web
            .control
            .web_session(old, arrival.source, Look::Only)
            .await
        && let Err(failure) = web.control.sign_out(old.id).await
    {
        return pages::broken(&failure);
    }
    let headers = [
        (LOCATION, "/".to_owned()),
        (SET_COOKIE, cookie(&secret, &arrival)),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

pub(crate) async fn logout(
    visit: Visit,
    State(web): State<Web>,
    Extension(arrival): Extension<Arrival>,
) -> Response {
    if let Some(id) = visit.viewer.session
        && let Err(failure) = web.control.sign_out(id).await
    {
        return pages::broken(&failure);
    }
    let gone = format!("{}; Max-Age=0", cookie("", &arrival));
    let headers = [(LOCATION, "/".to_owned()), (SET_COOKIE, gone)];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Whether somebody with a session asks, for what is open on loopback only.
pub(crate) struct SignedIn;

impl FromRequestParts<Web> for SignedIn {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        web: &Web,
    ) -> Result<Self, Response> {
        let arrival = parts
            .extensions
            .get::<Arrival>()
            .cloned()
            .unwrap_or_default();
        let Some(secret) = cookie_of(&parts.headers, &arrival) else {
            return Err(denied());
        };
        let session = web
            .control
            .web_session(secret, arrival.source, Look::Only)
            .await;
        match session {
            Ok(Some(_)) => Ok(Self),
            Ok(None) => Err(denied()),
            Err(failure) => Err(pages::broken(&failure)),
        }
    }
}
