//! The pages that the router answers with itself: small, and without anything to load.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response};

use crate::failure::Failure;

const X_SARSEN_ERROR: HeaderName = HeaderName::from_static("x-sarsen-error");

/// Whether the client would rather see a page than a line of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taste {
    Html,
    Text,
}

impl Taste {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let wants_html = headers
            .get_all(ACCEPT)
            .iter()
            .any(|v| v.to_str().is_ok_and(|v| v.contains("text/html")));
        if wants_html { Self::Html } else { Self::Text }
    }
}

/// The response for a failure.
pub(crate) fn failure(failure: Failure, taste: Taste, request_id: &HeaderValue) -> Response<Bytes> {
    let status = failure.status();
    let title = status.canonical_reason().unwrap_or("Error");
    // Checked or made by us: letters, digits and a few signs that mean nothing in HTML.
    let id = request_id.to_str().unwrap_or_default();
    let (code, number, sentence) = (failure.code(), status.as_u16(), failure.sentence());
    let (kind, body) = match taste {
        Taste::Text => (
            "text/plain; charset=utf-8",
            format!("{number} {title}: {sentence}\ncode {code}, request {id}\n"),
        ),
        Taste::Html => (
            "text/html; charset=utf-8",
            format!(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
                 <meta name=\"viewport\" content=\"width=device-width\"><title>{number} {title}</title>\
                 <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:20vh auto;padding:0 1rem;\
                 color-scheme:light dark}}h1{{font-size:1.5rem}}small{{opacity:.7}}</style></head>\
                 <body><h1>{title}</h1><p>{sentence}</p><small>{number} · {code} · request {id}</small></body></html>\n"
            ),
        ),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_SARSEN_ERROR, HeaderValue::from_static(code));
    if failure.ends_connection() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_the_accept_header() {
        let id = HeaderValue::from_static("id-1");
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/html,*/*;q=0.8"));
        let page = failure(Failure::NoWeb, Taste::of(&headers), &id);
        assert_eq!(page.status(), 503);
        assert_eq!(page.headers()["x-sarsen-error"], "H14");
        let text = String::from_utf8(page.into_body().to_vec()).unwrap();
        assert!(
            text.starts_with("<!doctype html>")
                && text.contains("not running")
                && text.contains("id-1")
        );

        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let page = failure(Failure::UnknownHost, Taste::of(&headers), &id);
        assert_eq!(page.headers()[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(
            page.into_body(),
            "404 Not Found: There is no app at this address.\ncode unknown-host, request id-1\n"
        );
    }
}
