//! The files that go with the pages: one sheet, one script, one picture.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

pub(super) const STYLE: &str = include_str!("../../../../templates/style.css");
pub(super) const SCRIPT: &str = include_str!("../../../../templates/script.js");
const ICON: &str = include_str!("../../../../templates/icon.svg");

/// Long enough to spare requests, short enough for an upgrade to be seen.
const A_WHILE: &str = "max-age=300";

pub(crate) async fn style() -> Response {
    file("text/css; charset=utf-8", STYLE)
}

pub(crate) async fn script() -> Response {
    file("text/javascript; charset=utf-8", SCRIPT)
}

pub(crate) async fn icon() -> Response {
    file("image/svg+xml", ICON)
}

fn file(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, A_WHILE)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_stay_small() {
        assert!(
            SCRIPT.len() < 30_000,
            "the script has {} bytes",
            SCRIPT.len()
        );
        assert!(STYLE.len() < 24_000, "the sheet has {} bytes", STYLE.len());
    }

    #[test]
    fn they_ask_nobody_else() {
        for text in [STYLE, SCRIPT, ICON] {
            let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!elsewhere.contains("http:") && !elsewhere.contains("https:"));
            assert!(!elsewhere.contains("@import") && !elsewhere.contains("url("));
        }
        for risky in [
            "eval(",
            "new Function",
            "insertAdjacentHTML",
            ".innerHTML = ",
            "document.write",
        ] {
            assert!(!SCRIPT.contains(risky), "{risky}");
        }
    }
}
