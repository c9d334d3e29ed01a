//! Whether a request comes to its app, and as what: looked at once, before a container is chosen.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_LENGTH, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use super::auth::Verdict;
use super::path::PrefixFate;
use super::shape::Shape;
use super::{Policy, Sticky};
use crate::failure::Failure;
use crate::host;
use crate::live::LiveApp;
use crate::trust::TrustedProxies;

const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Where issuers of certificates look; they must find it on plain HTTP.
const CHALLENGES: &str = "/.well-known/acme-challenge/";

/// What is known of a request beside its head.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit {
    /// Who asks, behind all trusted proxies.
    pub(crate) client: IpAddr,
    pub(crate) scheme: Scheme,
    /// The port that it came in on.
    pub(crate) port: u16,
}

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// Why a request does not come to its app.
#[derive(Debug)]
pub(crate) enum Stop {
    Failure(Failure),
    /// The client shall come again after so long.
    Later(Failure, Duration),
    Elsewhere {
        location: HeaderValue,
        code: u16,
    },
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl Visit {
    /// Who asks: the one who connects, or whom the trusted proxies in front name.
    pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &TrustedProxies) -> IpAddr {
        if !trusted.contains(peer) {
            return peer;
        }
        let mut chain: Vec<IpAddr> = Vec::new();
        for value in headers.get_all(X_FORWARDED_FOR) {
            let words = value.to_str().unwrap_or_default().split(',');
            chain.extend(words.filter_map(|word| word.trim().parse::<IpAddr>().ok()));
        }
        let stranger = chain.iter().rev().find(|ip| !trusted.contains(**ip));
        stranger.or(chain.first()).copied().unwrap_or(peer)
    }
}

/// Lets a request in, or says what to answer instead.
pub(crate) async fn admit<B>(
    app: &Arc<LiveApp>,
    request: &mut Request<B>,
    visit: Visit,
) -> Result<Shape, Stop> {
    let policy = &app.policy;
    if let Some(stop) = elsewhere(policy, request, visit) {
        return Err(stop);
    }
    if policy.maintenance.is_some() {
        return Err(Failure::Maintenance.into());
    }
    check_client(app, visit.client)?;
    check_password(app, request.headers_mut(), visit.client).await?;
    check_size(policy, request.headers())?;
    let shape = Shape::of(policy, request, visit.scheme);
    strip_prefix(policy, request);
    Ok(shape)
}

/// The headers that the app shall see beside those that every request gets.
pub(crate) fn adorn(policy: &Policy, headers: &mut HeaderMap) {
    if let Some(path) = policy
        .path
        .as_ref()
        .filter(|p| p.fate == PrefixFate::Stripped)
        && let Ok(value) = HeaderValue::from_str(path.as_str())
    {
        headers.insert(X_FORWARDED_PREFIX, value);
    }
    for rule in &policy.request_headers {
        rule.apply(headers);
    }
}

fn elsewhere<B>(policy: &Policy, request: &Request<B>, visit: Visit) -> Option<Stop> {
    let scheme = visit.scheme;
    let (uri, headers) = (request.uri(), request.headers());
    if policy.redirects.is_empty()
        && policy.canonical_host.is_none()
        && policy.https.redirect.is_none()
    {
        return None;
    }
    let host = headers.get(HOST)?.to_str().ok().and_then(host::normalise)?;
    let plain = scheme == Scheme::Http && !uri.path().starts_with(CHALLENGES);
    let redirect = policy.https.redirect;
    let https = redirect.filter(|to| plain && to.from == visit.port);
    let https = https.map(|redirect| redirect.to);
    let secure = if https.is_some() {
        "https"
    } else {
        scheme.name()
    };
    let redirected = policy.redirects.iter().find_map(|redirect| {
        let to = redirect.apply(secure, &host, uri)?;
        Some((to, redirect.code()))
    });
    let (location, code) = redirected.or_else(|| {
        let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let canonical = policy
            .canonical_host
            .as_deref()
            .filter(|name| *name != host);
        match (https, canonical) {
            (None, None) => None,
            (Some(443), name) => Some((format!("https://{}{whole}", name.unwrap_or(&host)), 301)),
            (Some(port), name) => Some((
                format!("https://{}:{port}{whole}", name.unwrap_or(&host)),
                301,
            )),
            (None, Some(name)) => {
                let port = port_of(headers).map_or(String::new(), |port| format!(":{port}"));
                Some((format!("{}://{name}{port}{whole}", scheme.name()), 301))
            }
        }
    })?;
    let location = HeaderValue::from_str(&location).ok()?;
    Some(Stop::Elsewhere { location, code })
}

fn port_of(headers: &HeaderMap) -> Option<&str> {
    let authority = headers.get(HOST)?.to_str().ok()?;
    let (_, port) = authority.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    is_port.then_some(port)
}

fn check_client(app: &LiveApp, client: IpAddr) -> Result<(), Stop> {
    let policy = &app.policy;
    let is_in = |list: &[super::Network]| list.iter().any(|network| network.contains(client));
    if is_in(&policy.deny) || (!policy.allow.is_empty() && !is_in(&policy.allow)) {
        return Err(Failure::Banned.into());
    }
    let Some(rate) = policy.rate else {
        return Ok(());
    };
    let taken = app.memory.rate.take(rate, client);
    taken.map_err(|wait| Stop::Later(Failure::TooMany, wait))
}

async fn check_password(
    app: &LiveApp,
    headers: &mut HeaderMap,
    client: IpAddr,
) -> Result<(), Stop> {
    let Some(auth) = &app.policy.auth else {
        return Ok(());
    };
    if auth.allowed.iter().any(|network| network.contains(client)) {
        return Ok(());
    }
    match app.memory.auth.check(auth, headers).await {
        Verdict::Right => {
            // It is this router's password, not the app's.
            headers.remove(AUTHORIZATION);
            Ok(())
        }
        Verdict::Wrong => Err(Failure::Unauthorized.into()),
        Verdict::Busy => Err(Stop::Later(Failure::TooMany, Duration::from_secs(5))),
    }
}

fn check_size(policy: &Policy, headers: &HeaderMap) -> Result<(), Stop> {
    let Some(limit) = policy.max_body else {
        return Ok(());
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    match announced.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > limit => Err(Failure::TooLarge.into()),
        // What is not announced is counted as it comes.
        _ => Ok(()),
    }
}

fn strip_prefix<B>(policy: &Policy, request: &mut Request<B>) {
    let Some(path) = policy
        .path
        .as_ref()
        .filter(|p| p.fate == PrefixFate::Stripped)
    else {
        return;
    };
    let uri = request.uri();
    let Some(rest) = path.rest(uri.path()) else {
        return;
    };
    let target = match uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    };
    if let Ok(target) = target.parse::<PathAndQuery>() {
        *request.uri_mut() = Uri::from(target);
    }
}

/// The container that a client's cookie names.
pub(crate) fn wanted_instance(policy: &Policy, headers: &HeaderMap) -> Option<i64> {
    if policy.balance.sticky == Sticky::No {
        return None;
    }
    let cookies = headers.get_all(http::header::COOKIE).iter();
    let pairs = cookies.flat_map(|value| value.to_str().unwrap_or_default().split(';'));
    let (_, value) = pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == super::shape::STICKY_COOKIE)?;
    i64::from_str_radix(value, 16).ok()
}
