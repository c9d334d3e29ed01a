//! Whom and what a request is for.

use super::wording::{HOST, get};
use super::{BEHIND, Case};

/// Whom the request is for.
pub(super) fn hosts() -> Vec<Case> {
    let host = |host: &str| format!("GET /c HTTP/1.1\r\nHost: {host}\r\n\r\n{BEHIND}");
    vec![
        Case::refused("two hosts", get("Host: other.test\r\n")),
        Case::refused("one host twice", get(HOST)),
        Case::refused("no host", "GET /c HTTP/1.1\r\n\r\n"),
        Case::refused("an empty host", host("")),
        Case::refused("a host with a path", host("app.test/x")),
        Case::refused("a host with a user", host("a@app.test")),
        Case::refused("hosts in a list", host("app.test, other.test")),
        Case::refused("a host with a space", host("app.test other.test")),
        Case::refused("a host with a strange port", host("app.test:80x")),
        Case::refused(
            "a host with a space before the colon",
            format!("GET /c HTTP/1.1\r\nHost : app.test\r\n\r\n{BEHIND}"),
        ),
        Case::passes(
            "a host in capitals, with port and dot",
            "GET /c HTTP/1.1\r\nHost: APP.test.:80\r\n\r\n",
            "GET /c",
        ),
        Case::new(
            "a host that is nobody's",
            "GET /c HTTP/1.1\r\nHost: other.test\r\n\r\n",
        )
        .gets(&[404])
        .closed(),
    ]
}

/// What the request is for.
pub(super) fn targets() -> Vec<Case> {
    let target = |target: &str| format!("GET {target} HTTP/1.1\r\n{HOST}\r\n");
    let mut all = vec![
        Case::passes(
            "a whole URL, with another host in the header",
            "GET http://app.test/c HTTP/1.1\r\nHost: other.test\r\n\r\n",
            "GET /c",
        )
        .has(&["host: app.test"]),
        Case::new("a whole URL of another host", target("http://other.test/c"))
            .gets(&[404])
            .closed(),
        Case::passes(
            "a whole URL without path",
            target("http://app.test"),
            "GET /",
        ),
        Case::refused("a URL with a user", target("http://u:p@app.test/c")),
        Case::refused("a host for a target", target("app.test")),
        Case::refused("a host and a port for a target", target("app.test:80")),
        Case::refused("a target without slash", target("c")),
    ];
    all.extend(odd_targets());
    all
}

fn odd_targets() -> Vec<Case> {
    let target = |target: &str| format!("GET {target} HTTP/1.1\r\n{HOST}\r\n");
    vec![
        Case::refused("GET *", target("*")),
        Case::passes(
            "OPTIONS *",
            format!("OPTIONS * HTTP/1.1\r\n{HOST}\r\n"),
            "OPTIONS *",
        ),
        Case::new(
            "CONNECT",
            format!("CONNECT app.test:80 HTTP/1.1\r\n{HOST}\r\n{BEHIND}"),
        )
        .gets(&[405])
        .closed(),
        Case::refused("a target with a control character", target("/\x01")),
        Case::refused("a target with DEL", target("/\x7f")),
        Case::refused(
            "a target that is not UTF-8",
            [
                b"GET /\xff HTTP/1.1\r\n".as_slice(),
                HOST.as_bytes(),
                b"\r\n",
            ]
            .concat(),
        ),
        Case::new(
            "a target that is too long",
            target(&format!("/{}", "x".repeat(70_000))),
        )
        .gets(&[431])
        .closed(),
        Case::passes(
            "a fragment, which is no part of it",
            target("/c#x"),
            "GET /c",
        ),
        Case::passes(
            "line ends in percent code",
            target("/c%0d%0aX:%20a"),
            "GET /c%0d%0aX:%20a",
        )
        .lacks(&["x"]),
        Case::passes(
            "a strange method",
            format!("get /c HTTP/1.1\r\n{HOST}\r\n"),
            "get /c",
        ),
    ]
}
