//! The one way to every route: who is it, may they, and did a page of ours send it.

use axum::body::{Body, to_bytes};
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sarsen_control::{Actor, Look, Refusal, Shown, WebSession};

use crate::Web;
use crate::arrival::Arrival;
use crate::door::{self, cookie_of};
use crate::table::{Kind, Need};
use crate::visit::{Viewer, Visit};
use crate::{api, pages};

/// The largest body that is taken.
pub(crate) const BODY_MAX: usize = 3 * 1024 * 1024;
const CSRF_HEADER: &str = "x-csrf-token";

/// A route, as its guard knows it.
#[derive(Clone)]
pub(crate) struct Guarded {
    pub(crate) web: Web,
    pub(crate) need: Need,
    pub(crate) kind: Kind,
}

/// Why a request goes no further.
#[derive(Debug)]
pub(crate) enum Halt {
    NotSignedIn,
    /// Too many wrong secrets.
    Wait,
    /// The form is not one of ours.
    Forged,
    TooLarge,
    Refused(Refusal),
}

/// Whom the guard found, and the cookie that is due.
struct Found {
    viewer: Viewer,
    rotated: Option<String>,
}

pub(crate) async fn guard(
    State(guarded): State<Guarded>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let Need::May(action) = guarded.need else {
        return next.run(request).await;
    };
    let arrival = request
        .extensions()
        .get::<Arrival>()
        .cloned()
        .unwrap_or_default();
    let headers = request.headers().clone();
    let found = match identify(&guarded, &headers, &arrival).await {
        Ok(found) => found,
        Err(halt) => return refuse(&guarded, None, halt),
    };
    let viewer = found.viewer;
    let request = match own_form(&viewer, &arrival, request).await {
        Ok(request) => request,
        Err(halt) => return refuse(&guarded, Some(&viewer), halt),
    };
    let control = &guarded.web.control;
    let named = params
        .iter()
        .find(|(name, _)| *name == "app")
        .map(|(_, app)| app);
    let admitted = match named {
        Some(app) => control.admit(&viewer.actor, action, app).await.map(Some),
        None => control.admit_to_host(&viewer.actor, action).map(|()| None),
    };
    let app = match admitted {
        Ok(app) => app,
        Err(refusal) => return refuse(&guarded, Some(&viewer), Halt::Refused(refusal)),
    };
    let done = query(&request, "done").and_then(|id| control.run_view(&viewer.web, &id));
    let mut request = request;
    request
        .extensions_mut()
        .insert(Visit::new(viewer, app, done));
    let mut response = next.run(request).await;
    if let Some(secret) = found.rotated
        && let Ok(cookie) = HeaderValue::from_str(&door::cookie(&secret, &arrival))
    {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// Whose token or session came with the request.
async fn identify(
    guarded: &Guarded,
    headers: &HeaderMap,
    arrival: &Arrival,
) -> Result<Found, Halt> {
    let control = &guarded.web.control;
    let is_api = guarded.kind == Kind::Api;
    let broken = |failure| Halt::Refused(Refusal::Broken(failure));
    if let Some(token) = bearer(headers).filter(|_| is_api) {
        let shown = control.token_actor(token, arrival.source).await;
        return match shown.map_err(broken)? {
            Shown::Actor(Actor::Web(web)) => Ok(Found {
                viewer: Viewer::new(web, String::new(), None),
                rotated: None,
            }),
            Shown::Actor(_) | Shown::Nothing => Err(Halt::NotSignedIn),
            Shown::Wait => Err(Halt::Wait),
        };
    }
    let secret = cookie_of(headers, arrival).ok_or(Halt::NotSignedIn)?;
    let look = match guarded.kind {
        Kind::Page => Look::MayRotate,
        Kind::Api | Kind::Stream | Kind::File => Look::Only,
    };
    let session = control.web_session(secret, arrival.source, look).await;
    let session = session.map_err(broken)?.ok_or(Halt::NotSignedIn)?;
    let WebSession {
        id,
        actor,
        csrf,
        rotated,
    } = session;
    let Actor::Web(web) = actor else {
        return Err(Halt::NotSignedIn);
    };
    Ok(Found {
        viewer: Viewer::new(web, csrf, Some(id)),
        rotated,
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets a change through only when a page of ours asks for it: the session's own mark is in it, and the browser does
/// not say otherwise. Programs show a token that no browser sends by itself.
async fn own_form(viewer: &Viewer, arrival: &Arrival, request: Request) -> Result<Request, Halt> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(request);
    }
    let (parts, body) = request.into_parts();
    let bytes = to_bytes(body, BODY_MAX).await.map_err(|_| Halt::TooLarge)?;
    if viewer.session.is_some() {
        let text = |name: &str| {
            parts
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let is_elsewhere = text(ORIGIN.as_str()).is_some_and(|origin| origin != arrival.origin())
            || text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none"));
        let is_form = text(CONTENT_TYPE.as_str())
            .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        let in_form = is_form.then(|| form_field(&bytes, "csrf")).flatten();
        let shown = text(CSRF_HEADER).map(str::to_owned).or(in_form);
        let is_own =
            shown.is_some_and(|shown| sarsen_control::is_same_secret(&viewer.csrf, &shown));
        if is_elsewhere || !is_own {
            return Err(Halt::Forged);
        }
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

fn form_field(body: &[u8], name: &str) -> Option<String> {
    parse_form(body)
        .into_iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

/// The fields of a form, in their order.
pub(crate) fn parse_form(body: &[u8]) -> Vec<(String, String)> {
    form_urlencoded::parse(body).into_owned().collect()
}

fn query(request: &Request, name: &str) -> Option<String> {
    let fields = parse_form(request.uri().query()?.as_bytes());
    fields
        .into_iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

fn refuse(guarded: &Guarded, viewer: Option<&Viewer>, halt: Halt) -> Response {
    let (status, title, text) = match halt {
        Halt::NotSignedIn if guarded.kind == Kind::Page => return pages::denied(),
        Halt::NotSignedIn => (
            StatusCode::UNAUTHORIZED,
            "Not signed in",
            "Show a token: 'Authorization: Bearer …' (see 'tokens:create')".to_owned(),
        ),
        Halt::Wait => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many attempts",
            "Too many wrong links or tokens came from there: wait 15 minutes".to_owned(),
        ),
        Halt::Forged => (
            StatusCode::FORBIDDEN,
            "Not sent from here",
            "The form does not belong to this session: go back, load the page again, and send it once more".to_owned(),
        ),
        Halt::TooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "Too large",
            "More than 3 MB are not taken".to_owned(),
        ),
        Halt::Refused(Refusal::Unseen) => (
            StatusCode::NOT_FOUND,
            "Not found",
            "There is no such app.".to_owned(),
        ),
        Halt::Refused(Refusal::Denied(failure)) => {
            (StatusCode::FORBIDDEN, "Not allowed", failure.message)
        }
        Halt::Refused(Refusal::Broken(failure)) => {
            tracing::error!(error = %failure, "a request of the dashboard cannot be answered");
            (StatusCode::INTERNAL_SERVER_ERROR, "Something is wrong", failure.message)
        }
    };
    match guarded.kind {
        Kind::Page => pages::refused(status, viewer, title, text),
        Kind::Api => api::error(status, &text),
        Kind::Stream | Kind::File => (status, format!("{text}\n")).into_response(),
    }
}
