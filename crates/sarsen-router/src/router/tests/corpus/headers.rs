//! What the app gets to see of a client's headers.

use super::wording::{HOST, chunked, get, post};
use super::{BEHIND, Case};

pub(super) fn passed_on() -> Vec<Case> {
    let spoofed = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Host: evil.test\r\n\
                   X-Forwarded-Server: evil\r\nX-Forwarded-Prefix: /x\r\nX-Forwarded: for=6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
                   X-Real-IP: 6.6.6.6\r\nX-Request-Start: 17\r\n";
    let upgrade = |to: &str| {
        get(&format!(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {to}\r\nHTTP2-Settings: AAMAAABk\r\n"
        ))
    };
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    vec![
        Case::passes("forwarding headers of a stranger", get(spoofed), "GET /c")
            .has(&["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http"])
            .lacks(&["x-forwarded-host", "x-forwarded-server", "x-forwarded-prefix", "x-forwarded", "forwarded", "x-real-ip"]),
        Case::passes("forwarding headers with underscores", get("X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: https\r\n"), "GET /c")
            .lacks(&["x_forwarded_for", "x-forwarded_proto"]),
        Case::passes("a proxy for the app", get("Proxy: http://evil.test\r\n"), "GET /c").lacks(&["proxy"]),
        Case::passes("forwarding headers named by Connection", get("Connection: X-Forwarded-For, X-Forwarded-Proto, X-Request-Id\r\n"), "GET /c")
            .has(&["x-forwarded-for: 127.0.0.1", "x-forwarded-proto: http"]),
        Case::passes("the host named by Connection", get("Connection: Host, close, X-Mine\r\nX-Mine: 1\r\n"), "GET /c")
            .closed()
            .has(&["host: app.test"])
            .lacks(&["x-mine", "connection"]),
        Case::passes("the length named by Connection", post("Connection: Content-Length\r\nContent-Length: 2\r\n", "ab"), "POST /c")
            .has(&["content-length: 2"])
            .body("ab"),
        Case::passes("the coding named by Connection", post("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "2\r\nab\r\n0\r\n\r\n"), "POST /c")
            .has(&["transfer-encoding: chunked"])
            .body("ab"),
        Case::passes(
            "headers of one connection",
            get("Keep-Alive: 5\r\nProxy-Connection: close\r\nProxy-Authorization: Basic eA==\r\nTE: gzip, trailers\r\n"),
            "GET /c",
        )
        .has(&["te: trailers"])
        .lacks(&["keep-alive", "proxy-connection", "proxy-authorization"]),
        Case::passes("an id with quotes in it", get("X-Request-Id: aaaaaaaaaaaaaaaaaaaaaaa\"b\r\n"), "GET /c")
            .lacks(&["x-request-id: aaaaaaaaaaaaaaaaaaaaaaa\"b"]),
        Case::passes("an upgrade to HTTP/2", upgrade("h2c"), "GET /c").lacks(&["upgrade", "connection", "http2-settings"]),
        Case::passes("an upgrade to HTTP/2 among others", upgrade("websocket, H2C"), "GET /c").lacks(&["upgrade", "connection", "http2-settings"]),
        Case::passes("an upgrade that Connection does not name", get("Upgrade: websocket\r\n"), "GET /c").lacks(&["upgrade", "connection"]),
        Case::new("an upgrade in HTTP/1.0", format!("GET /c HTTP/1.0\r\n{HOST}{websocket}\r\n")).closed().sees(&["GET /c"]).lacks(&["upgrade"]),
        Case::new("an upgrade that the app does not take up, and a request behind it", format!("{}{}", get(websocket), get("")))
            .gets(&[200, 200])
            .sees(&["GET /c", "GET /c"]),
        Case::passes("an upgrade with a body", post(&format!("{websocket}Content-Length: {}\r\n", BEHIND.len()), BEHIND), "POST /c").body(BEHIND),
        Case::refused("an upgrade with both lengths", chunked(&format!("{websocket}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"))),
        Case::new("HEAD, whose answer has a length and no body", format!("HEAD /c HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")).closed().sees(&["HEAD /c"]),
    ]
}
