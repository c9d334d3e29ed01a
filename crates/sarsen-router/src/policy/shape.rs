//! What an answer looks like on its way to the client: the app's wishes about headers, compression and pages.

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER,
    SET_COOKIE, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, response};

use super::admit::{Scheme, Stop, wanted_instance};
use super::squeeze::{self, Appetite, Squeezer};
use super::{Page, Policy, Sticky};
use crate::failure::Failure;
use crate::page::{self, Taste};

/// The cookie that keeps a client with its container.
pub(crate) const STICKY_COOKIE: &str = "sarsen_affinity";

/// What must be known of a request to shape its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    appetite: Appetite,
    scheme: Scheme,
    /// The container that the client wants to stay with.
    pub(crate) wanted: Option<i64>,
}

impl Shape {
    pub(crate) fn of<B>(policy: &Policy, request: &Request<B>, scheme: Scheme) -> Self {
        Self {
            appetite: Appetite::of(policy.compression, request.method(), request.headers()),
            scheme,
            wanted: wanted_instance(policy, request.headers()),
        }
    }

    /// Shapes the head of an app's answer that came from the container `instance`.
    pub(crate) fn answer(
        self,
        policy: &Policy,
        parts: &mut response::Parts,
        instance: i64,
    ) -> Option<Box<Squeezer>> {
        let squeezer = squeeze::begin(self.appetite, parts);
        if squeezer.is_some() {
            parts.headers.remove(CONTENT_LENGTH);
            parts.headers.remove(ACCEPT_RANGES);
        }
        self.headers(policy, &mut parts.headers);
        if policy.balance.sticky == Sticky::Cookie && self.wanted != Some(instance) {
            let secure = match self.scheme {
                Scheme::Https => "; Secure",
                Scheme::Http => "",
            };
            let cookie =
                format!("{STICKY_COOKIE}={instance:x}; Path=/; HttpOnly; SameSite=Lax{secure}");
            if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                parts.headers.append(SET_COOKIE, cookie);
            }
        }
        squeezer
    }

    fn headers(self, policy: &Policy, headers: &mut HeaderMap) {
        dress(policy, self.scheme, headers);
    }
}

/// The headers that go with every answer of an app, also with those that the router gives in its place.
pub(crate) fn dress(policy: &Policy, scheme: Scheme, headers: &mut HeaderMap) {
    if let (Some(hsts), Scheme::Https) = (policy.https.hsts, scheme)
        && let Ok(value) = HeaderValue::from_str(&hsts.value())
    {
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(value);
    }
    for rule in &policy.response_headers {
        rule.apply(headers);
    }
}

/// The router's own answer, with the app's page where it has one.
pub(crate) fn instead(
    stop: &Stop,
    policy: Option<&Policy>,
    taste: Taste,
    request_id: &HeaderValue,
) -> Response<Bytes> {
    let (failure, wait) = match stop {
        Stop::Elsewhere { location, code } => return elsewhere(location, *code),
        Stop::Failure(failure) => (*failure, None),
        Stop::Later(failure, wait) => (*failure, Some(wait)),
    };
    let mut response = page::failure(failure, taste, request_id);
    let own = policy.and_then(|policy| own_page(policy, failure));
    if let Some(Page { html }) = own {
        *response.body_mut() = html.clone();
        let kind = HeaderValue::from_static("text/html; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    let headers = response.headers_mut();
    if failure == Failure::Unauthorized {
        let asks = HeaderValue::from_static("Basic realm=\"Restricted\", charset=\"UTF-8\"");
        headers.insert(WWW_AUTHENTICATE, asks);
    }
    if let Some(wait) = wait {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

fn own_page(policy: &Policy, failure: Failure) -> Option<&Page> {
    if failure == Failure::Maintenance
        && let Some(page) = policy.maintenance.as_ref().filter(|p| !p.html.is_empty())
    {
        return Some(page);
    }
    policy.error_pages.get(&failure.status().as_u16())
}

fn elsewhere(location: &HeaderValue, code: u16) -> Response<Bytes> {
    const BY: HeaderName = HeaderName::from_static("x-redirect-by");
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::FOUND);
    let headers = response.headers_mut();
    headers.insert(LOCATION, location.clone());
    headers.insert(BY, HeaderValue::from_static("sarsen"));
    if !matches!(code, 301 | 308) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}
