//! A request that came over HTTP/2, in the words of HTTP/1.1: that is what everything behind here speaks.

use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderName, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use hyper::ext::Protocol;

use crate::failure::Failure;
use crate::host;

const SEC_WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");
const SEC_WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");

/// Refuses what has two meanings, and puts the rest into the form of HTTP/1.1.
pub(crate) fn settle<B>(request: &mut Request<B>) -> Result<(), Failure> {
    let host = authority(request)?;
    if request.method() == Method::CONNECT {
        accept_websocket(request)?;
    }
    check_path(request)?;
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    request.headers_mut().insert(HOST, host);
    join_cookies(request.headers_mut());
    join_lengths(request.headers_mut());
    *request.version_mut() = Version::HTTP_11;
    Ok(())
}

/// Refuses `*` but for OPTIONS: it is no path.
pub(crate) fn check_path<B>(request: &Request<B>) -> Result<(), Failure> {
    let is_path = request.uri().path() != "*" || request.method() == Method::OPTIONS;
    is_path.then_some(()).ok_or(Failure::BadRequest)
}

// `:authority`, or `Host` without it. Where both are there they must not differ.
fn authority<B>(request: &Request<B>) -> Result<HeaderValue, Failure> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Failure::BadRequest);
    }
    let Some(authority) = request.uri().authority() else {
        return first.cloned().ok_or(Failure::BadRequest);
    };
    let authority = authority.as_str();
    if let Some(other) = first {
        let other = other.to_str().ok().and_then(host::normalise);
        if other.is_none() || other != host::normalise(authority) {
            return Err(Failure::BadRequest);
        }
    }
    HeaderValue::from_str(authority).map_err(|_| Failure::BadRequest)
}

// A websocket is a tunnel of its own in HTTP/2; to the app it is an upgrade.
fn accept_websocket<B>(request: &mut Request<B>) -> Result<(), Failure> {
    let protocol = request.extensions().get::<Protocol>();
    if protocol.is_none_or(|p| !p.as_str().eq_ignore_ascii_case("websocket")) {
        return Err(Failure::Forbidden);
    }
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_KEY, websocket_key());
    Ok(())
}

/// The answer to a websocket in the words of HTTP/2: no change of protocols, but success.
pub(crate) fn open_tunnel<B>(response: &mut Response<B>) {
    *response.status_mut() = StatusCode::OK;
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        response.headers_mut().remove(name);
    }
}

// Sixteen random bytes in Base64. Apps need one, and nobody looks at the answer to it.
fn websocket_key() -> HeaderValue {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let random = rand::random::<u128>();
    let digit = |bits: u128| DIGITS.get((bits & 0x3f) as usize).copied().unwrap_or(b'A');
    let mut key: Vec<u8> = (0..21).map(|place| digit(random >> (place * 6))).collect();
    // The last digit stands for two bits only.
    key.push(digit((random >> 126) << 4));
    key.extend_from_slice(b"==");
    HeaderValue::from_bytes(&key).unwrap_or(const { HeaderValue::from_static("") })
}

// The same length may be said twice in HTTP/2; servers of HTTP/1.1 do not agree on what that is.
fn join_lengths(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let (Some(first), Some(_)) = (lengths.next().cloned(), lengths.next()) {
        headers.insert(CONTENT_LENGTH, first);
    }
}

// HTTP/2 may send a cookie header in crumbs; HTTP/1.1 has one.
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice())) {
        headers.insert(COOKIE, whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = uri.parse().unwrap();
        *request.version_mut() = Version::HTTP_2;
        for (name, value) in headers {
            let value = HeaderValue::from_static(value);
            request.headers_mut().append(*name, value);
        }
        request
    }

    #[test]
    fn the_authority_becomes_the_host() {
        for (uri, headers) in [
            ("https://app.test/a?b", [].as_slice()),
            ("https://app.test/a?b", &[("host", "APP.test:443")]),
            ("/a?b", &[("host", "app.test")]),
        ] {
            let mut request = request(uri, headers);
            settle(&mut request).unwrap();
            assert_eq!(request.headers()[HOST], "app.test");
            assert_eq!(request.uri(), "/a?b");
            assert_eq!(request.version(), Version::HTTP_11);
        }
        for (uri, headers) in [
            ("/", [].as_slice()),
            ("https://app.test/", &[("host", "other.test")]),
            (
                "https://app.test/",
                &[("host", "app.test"), ("host", "app.test")],
            ),
            ("https://app.test/", &[("host", "a b")]),
        ] {
            let settled = settle(&mut request(uri, headers));
            assert_eq!(settled, Err(Failure::BadRequest), "{uri} {headers:?}");
        }
    }

    #[test]
    fn cookie_crumbs_become_one_cookie() {
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
        let mut request = request("https://app.test/", &crumbs);
        settle(&mut request).unwrap();
        let cookies: Vec<_> = request.headers().get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
    }

    #[test]
    fn websockets_become_upgrades_and_other_tunnels_are_refused() {
        let mut socket = request("https://app.test/ws", &[("sec-websocket-version", "13")]);
        *socket.method_mut() = Method::CONNECT;
        let mut plain = request("https://app.test/", &[]);
        *plain.method_mut() = Method::CONNECT;
        socket
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        settle(&mut socket).unwrap();
        assert_eq!(
            (socket.method(), socket.uri().path()),
            (&Method::GET, "/ws")
        );
        assert_eq!(socket.headers()[UPGRADE], "websocket");
        let key = &socket.headers()[SEC_WEBSOCKET_KEY];
        assert!(key.len() == 24 && key.to_str().unwrap().ends_with("=="));
        assert_eq!(settle(&mut plain), Err(Failure::Forbidden));
    }
}
