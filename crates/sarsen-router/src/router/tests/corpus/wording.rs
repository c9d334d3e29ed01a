//! How the cases are put into words.

use super::BEHIND;

pub(super) const HOST: &str = "Host: app.test\r\n";

pub(super) fn post(headers: &str, body: &str) -> String {
    format!("POST /c HTTP/1.1\r\n{HOST}{headers}\r\n{body}")
}

pub(super) fn get(headers: &str) -> String {
    format!("GET /c HTTP/1.1\r\n{HOST}{headers}\r\n")
}

/// A POST with these headers, a body in one chunk, and a request behind it.
pub(super) fn chunked(headers: &str) -> String {
    post(headers, &format!("0\r\n\r\n{BEHIND}"))
}
