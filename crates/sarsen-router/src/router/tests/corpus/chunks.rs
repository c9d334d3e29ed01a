//! Bodies in chunks that are none, and what follows them.

use super::{BEHIND, Case};

const HEAD: &str = "POST /c HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n";

fn chunks(body: &str) -> String {
    format!("{HEAD}\r\n{body}{BEHIND}")
}

fn announced(names: &str, trailers: &str) -> String {
    format!("{HEAD}Trailer: {names}\r\n\r\n2\r\nab\r\n0\r\n{trailers}\r\n")
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = sizes();
    all.extend(trailers());
    all
}

fn sizes() -> Vec<Case> {
    let mut all = vec![
        Case::cut("a size that is no number", chunks("zz\r\nabc\r\n0\r\n\r\n")),
        Case::cut("a negative size", chunks("-3\r\nabc\r\n0\r\n\r\n")),
        Case::cut("a size with a plus", chunks("+3\r\nabc\r\n0\r\n\r\n")),
        Case::cut("a size with a prefix", chunks("0x3\r\nabc\r\n0\r\n\r\n")),
        Case::cut("a size behind a space", chunks(" 3\r\nabc\r\n0\r\n\r\n")),
        Case::cut(
            "a size with an underscore",
            chunks("0_3\r\nabc\r\n0\r\n\r\n"),
        ),
        Case::cut("no size", chunks("\r\nabc\r\n0\r\n\r\n")),
        Case::cut(
            "a size beyond 64 bits",
            chunks("10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ),
        Case::cut(
            "a size that ends with a line feed",
            chunks("3\nabc\r\n0\r\n\r\n"),
        ),
        Case::cut(
            "a size that ends with a carriage return",
            chunks("3\rabc\r\n0\r\n\r\n"),
        ),
    ];
    all.extend(ends());
    all
}

fn ends() -> Vec<Case> {
    let extensions = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(20_000));
    vec![
        Case::cut(
            "a chunk that is longer than it says",
            chunks("3\r\nabcd\r\n0\r\n\r\n"),
        ),
        Case::cut(
            "a chunk that is shorter than it says",
            chunks("6\r\nabc\r\n0\r\n\r\n"),
        ),
        Case::cut(
            "a chunk that ends with a line feed",
            chunks("3\r\nabc\n0\r\n\r\n"),
        ),
        Case::cut("a chunk without end", chunks("3\r\nabc0\r\n\r\n")),
        Case::cut(
            "an extension with a line feed",
            chunks("3;a=\n\r\nabc\r\n0\r\n\r\n"),
        ),
        Case::cut(
            "an extension with a request",
            chunks("3;\nGET /smuggled HTTP/1.1\r\nabc\r\n0\r\n\r\n"),
        ),
        Case::cut("extensions without end", chunks(&extensions)),
        Case::cut(
            "a last chunk that ends with a line feed",
            chunks("3\r\nabc\r\n0\n\r\n"),
        ),
        Case::passes(
            "extensions, which end here",
            format!("{HEAD}\r\n3;a=\"1\";b\r\nabc\r\n0;c\r\n\r\n"),
            "POST /c",
        )
        .body("abc"),
        Case::passes(
            "a size with zeros in front",
            format!("{HEAD}\r\n0000000003\r\nabc\r\n000\r\n\r\n"),
            "POST /c",
        )
        .body("abc"),
        Case::new(
            "chunks, and a request behind them",
            format!("{HEAD}\r\n3\r\nabc\r\n0\r\n\r\nGET /c HTTP/1.1\r\nHost: app.test\r\n\r\n"),
        )
        .gets(&[200, 200])
        .sees(&["POST /c", "GET /c"]),
    ]
}

fn trailers() -> Vec<Case> {
    let mut all = vec![
        Case::cut("a request for a trailer", chunks("3\r\nabc\r\n0\r\n")),
        Case::cut(
            "a folded trailer",
            chunks("3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n"),
        ),
        Case::cut(
            "a trailer with NUL",
            chunks("3\r\nabc\r\n0\r\nX: a\0\r\n\r\n"),
        ),
        Case::cut(
            "a trailer with a bare carriage return",
            chunks("3\r\nabc\r\n0\r\nX: a\rb\r\n\r\n"),
        ),
        Case::cut(
            "a trailer without name",
            chunks("3\r\nabc\r\n0\r\n: a\r\n\r\n"),
        ),
        Case::cut(
            "trailers without end",
            chunks(&format!("3\r\nabc\r\n0\r\n{}", "A: b\r\n".repeat(20_000))),
        ),
    ];
    all.extend(announced_trailers());
    all
}

fn announced_trailers() -> Vec<Case> {
    vec![
        Case::passes(
            "a trailer that was announced",
            announced("X-Sum", "X-Sum: 9\r\n"),
            "POST /c",
        )
        .body("ab"),
        Case::passes(
            "framing in trailers",
            announced(
                "Content-Length, Transfer-Encoding, Host",
                "Content-Length: 9\r\nTransfer-Encoding: gzip\r\nHost: b\r\n",
            ),
            "POST /c",
        )
        .body("ab")
        .lacks(&["content-length"])
        .has(&["host: app.test", "transfer-encoding: chunked"]),
        Case::passes(
            "forwarding headers in trailers",
            announced(
                "X-Forwarded-For, X-Real-IP, Forwarded",
                "X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n",
            ),
            "POST /c",
        )
        .body("ab")
        .lacks(&["x-real-ip", "forwarded"])
        .has(&["x-forwarded-for: 127.0.0.1"]),
        Case::passes(
            "a trailer that Connection names",
            format!("{HEAD}Connection: X-Mine\r\nTrailer: X-Mine\r\n\r\n0\r\nX-Mine: 1\r\n\r\n"),
            "POST /c",
        ),
        Case::passes(
            "a trailer with an underscore",
            announced("X_Sum", "X_Sum: 9\r\n"),
            "POST /c",
        )
        .lacks(&["x_sum"]),
        Case::passes(
            "trailers that nobody announced",
            format!("{HEAD}\r\n0\r\nX-Sum: 9\r\n\r\n"),
            "POST /c",
        )
        .lacks(&["x-sum"]),
    ]
}
