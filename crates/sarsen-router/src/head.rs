//! Headers on their way through: what is taken away, what is added.

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderValue, Version};

#[cfg(test)]
mod tests;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// What the router says about itself and about a client.
#[derive(Debug)]
pub(crate) struct Voucher {
    /// The client's address as text.
    pub(crate) client: HeaderValue,
    /// Whether the client is a proxy whose headers count.
    pub(crate) is_trusted: bool,
    /// `http` or `https`
    pub(crate) proto: HeaderValue,
    /// The port that the request came in on, as text.
    pub(crate) port: HeaderValue,
    /// `1.1 NAME`
    pub(crate) via: Option<HeaderValue>,
}

/// A request's id.
#[derive(Debug)]
pub(crate) enum RequestId {
    /// The client's. Copied, so that the log line does not keep the connection's read buffer alive.
    Own(Box<[u8]>),
    /// Made here.
    New([u8; 36]),
}

/// The protocol that a request wants to change to, if it is one that may pass.
pub(crate) fn wanted_upgrade(version: Version, headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get(UPGRADE)?;
    // HTTP/2 inside a tunnel would carry headers past this router unseen.
    let is_http2 = tokens(wanted).any(|t| {
        t.len() >= 2
            && t.as_bytes()
                .get(..2)
                .is_some_and(|p| p.eq_ignore_ascii_case(b"h2"))
    });
    let is_asked = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(tokens)
        .any(|t| t.eq_ignore_ascii_case("upgrade"));
    (version == Version::HTTP_11 && is_asked && !is_http2).then(|| wanted.clone())
}

/// The request's id: the client's own if it is a decent one, else a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> RequestId {
    let decent = |value: &&HeaderValue| {
        let legal = |b: &u8| b.is_ascii_alphanumeric() || b"+/=-".contains(b);
        (20..=200).contains(&value.len()) && value.as_bytes().iter().all(legal)
    };
    match headers.get(X_REQUEST_ID).filter(decent) {
        Some(own) => RequestId::Own(own.as_bytes().into()),
        None => RequestId::New(random_uuid()),
    }
}

/// Makes a request's headers fit for the app. Returns the chain of addresses that the request came along.
pub(crate) fn prepare_request(
    headers: &mut HeaderMap,
    voucher: &Voucher,
    request_id: HeaderValue,
    upgrade: Option<HeaderValue>,
) -> HeaderValue {
    strip(headers, |name| {
        is_hop_by_hop(name) || !voucher.lets_pass(name)
    });
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
    let chain = voucher.chain(headers);
    headers.insert(X_FORWARDED_FOR, chain.clone());
    headers
        .entry(X_FORWARDED_PROTO)
        .or_insert_with(|| voucher.proto.clone());
    headers
        .entry(X_FORWARDED_PORT)
        .or_insert_with(|| voucher.port.clone());
    headers.entry(X_REQUEST_START).or_insert_with(now_millis);
    headers.insert(X_REQUEST_ID, request_id);
    add_via(headers, voucher.via.as_ref());
    chain
}

/// Makes a request's trailers fit for the app: nothing may come in at the back that is stopped at the front, and there
/// are servers that take trailers for headers.
pub(crate) fn prepare_trailers(trailers: &mut HeaderMap) {
    let belongs_in_front = [
        HOST,
        CONTENT_LENGTH,
        AUTHORIZATION,
        COOKIE,
        TRAILER,
        X_REQUEST_ID,
    ];
    let is_doomed = |name: &&HeaderName| {
        is_hop_by_hop(name)
            || belongs_in_front.contains(name)
            || is_misleading(name.as_str())
            || vouches(name.as_str())
    };
    let doomed: Vec<HeaderName> = trailers.keys().filter(is_doomed).cloned().collect();
    for name in doomed {
        trailers.remove(name);
    }
}

/// Whether the one who sent this closes the connection after it.
pub(crate) fn is_last(version: Version, headers: &HeaderMap) -> bool {
    let mut words = headers.get_all(CONNECTION).iter().flat_map(tokens);
    if version < Version::HTTP_11 {
        !words.any(|t| t.eq_ignore_ascii_case("keep-alive"))
    } else {
        words.any(|t| t.eq_ignore_ascii_case("close"))
    }
}

/// Makes a response's headers fit for the client.
pub(crate) fn prepare_response(
    headers: &mut HeaderMap,
    via: Option<&HeaderValue>,
    upgrade: Option<HeaderValue>,
) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    strip(headers, is_hop_by_hop);
    if let Some(upgrade) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, upgrade);
    }
    add_via(headers, via);
}

impl RequestId {
    pub(crate) fn header(&self) -> HeaderValue {
        let text = match self {
            Self::Own(text) => &**text,
            Self::New(text) => text,
        };
        HeaderValue::from_bytes(text).unwrap_or(const { HeaderValue::from_static("-") })
    }
}

impl Voucher {
    fn lets_pass(&self, name: &HeaderName) -> bool {
        let text = name.as_str();
        !is_misleading(text) && (self.is_trusted || !vouches(text))
    }

    fn chain(&self, headers: &HeaderMap) -> HeaderValue {
        let mut chain = Vec::new();
        for known in headers.get_all(X_FORWARDED_FOR) {
            chain.extend_from_slice(known.as_bytes());
            chain.extend_from_slice(b", ");
        }
        if chain.is_empty() {
            return self.client.clone();
        }
        chain.extend_from_slice(self.client.as_bytes());
        HeaderValue::from_maybe_shared(bytes::Bytes::from(chain))
            .unwrap_or_else(|_| self.client.clone())
    }
}

// Many app servers cannot tell `X_Forwarded_For` from the real one, and to those that go by the rules of CGI `Proxy` is
// the proxy that the app itself shall use.
fn is_misleading(name: &str) -> bool {
    name.contains('_') || name == "proxy"
}

// What only proxies say, about the way that a request has come.
fn vouches(name: &str) -> bool {
    name.starts_with("x-forwarded") || matches!(name, "forwarded" | "x-real-ip" | "x-request-start")
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    // The parser has seen to `Expect: 100-continue`, and answers it when the body is first asked for.
    [
        CONNECTION,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
        EXPECT,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
    ]
    .contains(name)
        || matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings"
        )
}

// Removes what `is_doomed` says and what the `Connection` header names.
fn strip(headers: &mut HeaderMap, is_doomed: impl Fn(&HeaderName) -> bool) {
    let mut doomed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_doomed(name))
        .cloned()
        .collect();
    if doomed.is_empty() {
        return;
    }
    let named = headers.get_all(CONNECTION).iter().flat_map(tokens);
    // Naming `Host` or the length would take the message apart.
    let may_name = |name: &HeaderName| *name != HOST && *name != CONTENT_LENGTH;
    doomed.extend(
        named
            .filter_map(|token| token.parse().ok())
            .filter(may_name),
    );
    let keeps_trailers = headers
        .get(TE)
        .is_some_and(|te| tokens(te).any(|t| t.eq_ignore_ascii_case("trailers")));
    for name in doomed {
        headers.remove(name);
    }
    if keeps_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &str> {
    let text = value.to_str().unwrap_or_default();
    text.split(',')
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn add_via(headers: &mut HeaderMap, via: Option<&HeaderValue>) {
    if let Some(via) = via {
        headers.append(VIA, via.clone());
    }
}

fn now_millis() -> HeaderValue {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    HeaderValue::from(u64::try_from(since.as_millis()).unwrap_or_default())
}

// Version 4.
fn random_uuid() -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let random = rand::random::<u128>() & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let places = text.iter_mut().enumerate();
    let digits = places.filter(|(place, _)| !matches!(place, 8 | 13 | 18 | 23));
    for (number, (_, digit)) in digits.enumerate() {
        let value = (random >> (124 - number * 4)) as usize & 0xf;
        *digit = DIGITS.get(value).copied().unwrap_or(b'0');
    }
    text
}
