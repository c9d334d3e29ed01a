//! Lines that are none, and bytes that belong in none.

use super::wording::{HOST, get};
use super::{BEHIND, Case};

pub(super) fn lines() -> Vec<Case> {
    let with = |line: &str| format!("{}{BEHIND}", get(&format!("{line}\r\n")));
    let mut all = vec![
        Case::refused("a folded line", with("X: a\r\n b")),
        Case::refused("a line folded by a tab", with("X: a\r\n\tb")),
        Case::refused(
            "a first line that is folded",
            format!("GET /c HTTP/1.1\r\n X: a\r\n{HOST}\r\n{BEHIND}"),
        ),
        Case::refused("NUL in a value", with("X: a\0b")),
        Case::refused("NUL in a name", with("X\0: a")),
        Case::refused(
            "NUL in the target",
            format!("GET /\0c HTTP/1.1\r\n{HOST}\r\n"),
        ),
        Case::refused("a bare carriage return in a value", with("X: a\rb")),
        Case::refused("a bare carriage return for a line end", with("X: a\rY: b")),
        Case::refused("a control character in a value", with("X: a\x01b")),
        Case::refused("DEL in a value", with("X: a\x7fb")),
        Case::refused("a line without colon", with("X")),
        Case::refused("a line without name", with(": a")),
        Case::refused("a name with a space", with("X Y: a")),
        Case::refused("a name with a bracket", with("X(a): b")),
        Case::refused("a name beyond ASCII", with("X\u{e9}: a")),
    ];
    all.extend(first_lines());
    all
}

fn first_lines() -> Vec<Case> {
    vec![
        Case::refused("a space before the first line", format!(" {}", get(""))),
        Case::refused(
            "two spaces in the first line",
            format!("GET  /c HTTP/1.1\r\n{HOST}\r\n"),
        ),
        Case::refused(
            "tabs in the first line",
            format!("GET\t/c\tHTTP/1.1\r\n{HOST}\r\n"),
        ),
        Case::refused(
            "a fourth word in the first line",
            format!("GET /c HTTP/1.1 x\r\n{HOST}\r\n"),
        ),
        Case::refused("no version", format!("GET /c\r\n{HOST}\r\n")),
        Case::refused("HTTP/1.2", format!("GET /c HTTP/1.2\r\n{HOST}\r\n")),
        Case::refused("HTTP/2.0", format!("GET /c HTTP/2.0\r\n{HOST}\r\n")),
        Case::refused(
            "a version in small letters",
            format!("GET /c http/1.1\r\n{HOST}\r\n"),
        ),
        Case::refused(
            "a method with a colon",
            format!("GE:T /c HTTP/1.1\r\n{HOST}\r\n"),
        ),
        Case::refused(
            "TLS on a plain port",
            "\x16\x03\x01\x02\x00\x01\x00\x01\u{7c}\x03\x03\r\n\r\n",
        ),
        Case::new("a hundred and one headers", get(&"A: b\r\n".repeat(101)))
            .gets(&[431])
            .closed(),
        Case::new(
            "a head that is too large",
            get(&format!("X: {}\r\n", "x".repeat(40_000))),
        )
        .gets(&[431])
        .closed(),
        Case::passes(
            "bare line feeds",
            "GET /c HTTP/1.1\nHost: app.test\nX: 1\n\n",
            "GET /c",
        )
        .has(&["x: 1"]),
        Case::passes(
            "empty lines in front",
            format!("\r\n\r\n{}", get("")),
            "GET /c",
        ),
    ]
}
