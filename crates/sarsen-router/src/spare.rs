//! A copy of a request's head, to ask again with.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use crate::body::RequestBody;

/// A request that may be sent again, because it has no body and asking twice does no harm.
///
/// Hardly ever needed, so it is made to be cheap to make: one piece of text with all values behind each other. It
/// shares nothing with the request, and so does not keep the connection's read buffer alive.
#[derive(Debug)]
pub(crate) struct Spare {
    method: Method,
    target_len: usize,
    headers: Vec<(HeaderName, usize)>,
    text: Vec<u8>,
}

impl Spare {
    pub(crate) fn of(request: &Request<RequestBody>) -> Option<Self> {
        if !request.body().is_empty() || !request.method().is_idempotent() {
            return None;
        }
        let target = request.uri().path_and_query().map_or("/", |t| t.as_str());
        let headers = request.headers();
        let values: usize = headers.values().map(HeaderValue::len).sum();
        let mut text = Vec::with_capacity(target.len() + values);
        text.extend_from_slice(target.as_bytes());
        let mut lengths = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            lengths.push((name.clone(), value.len()));
            text.extend_from_slice(value.as_bytes());
        }
        Some(Self {
            method: request.method().clone(),
            target_len: target.len(),
            headers: lengths,
            text,
        })
    }

    /// The request once more; `None` only if what was a request is none any more.
    pub(crate) fn request(&self) -> Option<Request<RequestBody>> {
        let mut text = Bytes::copy_from_slice(&self.text);
        let mut next = |len| (len <= text.len()).then(|| text.split_to(len));
        let uri = Uri::from_maybe_shared(next(self.target_len)?).ok()?;
        let mut headers = HeaderMap::with_capacity(self.headers.len());
        for (name, len) in &self.headers {
            let value = HeaderValue::from_maybe_shared(next(*len)?).ok()?;
            headers.append(name, value);
        }
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, target: &str) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::Empty);
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().unwrap();
        request
    }

    #[test]
    fn the_copy_is_the_same_request() {
        let mut first = request(Method::GET, "/a/b?c=d&e");
        let headers = first.headers_mut();
        for (name, value) in [
            ("host", "app.test"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-empty", ""),
            ("x-own", "\u{e9}t\u{e9}"),
        ] {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let copy = Spare::of(&first).unwrap().request().unwrap();
        assert_eq!(copy.method(), first.method());
        assert_eq!(copy.uri(), first.uri());
        assert_eq!(copy.headers(), first.headers());
        assert!(copy.body().is_empty());
    }

    #[test]
    fn what_must_not_be_asked_twice_has_no_spare() {
        assert!(Spare::of(&request(Method::POST, "/")).is_none());
        assert!(Spare::of(&request(Method::PATCH, "/")).is_none());
        let options = Spare::of(&request(Method::OPTIONS, "*")).unwrap();
        assert_eq!(options.request().unwrap().uri().path(), "*");
    }
}
