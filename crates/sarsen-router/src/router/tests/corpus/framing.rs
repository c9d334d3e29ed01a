//! How long a body is, said twice, strangely, or not at all.

use super::wording::{HOST, chunked, get, post};
use super::{BEHIND, Case};

pub(super) fn framing() -> Vec<Case> {
    let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let swapped = "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n";
    let mut all = vec![
        Case::refused("a length, then chunks", chunked(both)),
        Case::refused("chunks, then a length", chunked(swapped)),
        Case::refused(
            "both, behind empty lines",
            format!("\r\n\r\n{}", chunked(swapped)),
        ),
        Case::refused(
            "both, the length in capitals",
            chunked(&swapped.to_uppercase()),
        ),
        Case::refused(
            "both, by a bare line feed",
            chunked("X: a\nTransfer-Encoding: chunked\nContent-Length: 5\r\n"),
        ),
        Case::new(
            "both, behind another request",
            format!("{}{}", get(""), chunked(swapped)),
        )
        .gets(&[200, 200])
        .closed()
        .sees(&["GET /c", "POST /c"])
        .has(&["transfer-encoding: chunked"])
        .lacks(&["content-length"]),
    ];
    all.extend(codings());
    all.extend(odd_codings());
    all.extend(lengths());
    all.extend(bodies());
    all
}

fn codings() -> Vec<Case> {
    let chunks = "Transfer-Encoding: chunked\r\n";
    let coding = |value: &str| chunked(&format!("Transfer-Encoding: {value}\r\n"));
    vec![
        Case::refused("chunks twice", chunked(&format!("{chunks}{chunks}"))),
        Case::refused(
            "chunks and identity",
            chunked(&format!("{chunks}Transfer-Encoding: identity\r\n")),
        ),
        Case::refused(
            "identity and chunks",
            chunked(&format!("Transfer-Encoding: identity\r\n{chunks}")),
        ),
        Case::refused("identity", coding("identity")),
        Case::refused("gzip in chunks", coding("gzip, chunked")),
        Case::refused("chunks in gzip", coding("chunked, gzip")),
        Case::refused("almost chunks", coding("xchunked")),
        Case::refused("chunks with a parameter", coding("chunked;q=1")),
        Case::refused("chunks and a comma", coding("chunked,")),
        Case::refused("chunks in quotes", coding("\"chunked\"")),
        Case::refused("chunks behind a vertical tab", coding("\x0bchunked")),
        Case::refused("an empty coding", coding("")),
        Case::refused("a folded coding", coding("\r\n chunked")),
        Case::refused(
            "a space behind the coding's name",
            chunked("Transfer-Encoding : chunked\r\n"),
        ),
        Case::refused(
            "a tab behind the coding's name",
            chunked("Transfer-Encoding\t: chunked\r\n"),
        ),
        Case::refused(
            "chunks in HTTP/1.0",
            format!("POST /c HTTP/1.0\r\n{HOST}{chunks}\r\n0\r\n\r\n{BEHIND}"),
        ),
    ]
}

fn odd_codings() -> Vec<Case> {
    vec![
        Case::passes(
            "a coding with an underscore",
            post(
                "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n",
                "0\r\n\r\n",
            ),
            "POST /c",
        )
        .has(&["content-length: 5"])
        .lacks(&["transfer_encoding", "transfer-encoding"])
        .body("0\r\n\r\n"),
        Case::passes(
            "a coding behind a tab, in capitals",
            post("Transfer-Encoding:\tCHUNKED\r\n", "2\r\nab\r\n0\r\n\r\n"),
            "POST /c",
        )
        .has(&["transfer-encoding: chunked"])
        .body("ab"),
    ]
}

fn lengths() -> Vec<Case> {
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "abcde");
    vec![
        Case::refused(
            "two lengths",
            post("Content-Length: 5\r\nContent-Length: 6\r\n", "abcdef"),
        ),
        Case::refused("two lengths in one line", length("5, 6")),
        Case::refused("one length twice in one line", length("5, 5")),
        Case::passes(
            "one length twice",
            post("Content-Length: 5\r\nContent-Length: 5\r\n", "abcde"),
            "POST /c",
        )
        .has(&["content-length: 5"])
        .body("abcde"),
        Case::refused("a length with a plus", length("+5")),
        Case::refused("a negative length", length("-5")),
        Case::refused("a length in hexadecimal", length("0x5")),
        Case::refused("a length with a space inside", length("5 5")),
        Case::refused("a length with a parameter", length("5;a")),
        Case::refused("a length with a fraction", length("5.0")),
        Case::refused("no length", length("")),
        Case::refused("a length beyond 64 bits", length("18446744073709551621")),
        Case::refused("a length in wide digits", length("\u{ff15}")),
        Case::refused(
            "a space behind the length's name",
            post("Content-Length : 5\r\n", "abcde"),
        ),
        Case::refused(
            "a folded length",
            post("Content-Length:\r\n 5\r\n", "abcde"),
        ),
    ]
}

fn bodies() -> Vec<Case> {
    let chunks = "Transfer-Encoding: chunked\r\n";
    vec![
        Case::passes(
            "a request in a body",
            post(&format!("Content-Length: {}\r\n", BEHIND.len()), BEHIND),
            "POST /c",
        )
        .body(BEHIND),
        Case::passes(
            "a GET with a body",
            format!(
                "GET /c HTTP/1.1\r\n{HOST}Content-Length: {}\r\n\r\n{BEHIND}",
                BEHIND.len()
            ),
            "GET /c",
        )
        .body(BEHIND),
        Case::passes(
            "a GET with chunks",
            format!("GET /c HTTP/1.1\r\n{HOST}{chunks}\r\n3\r\nabc\r\n0\r\n\r\n"),
            "GET /c",
        )
        .body("abc"),
        Case::new(
            "three requests at once",
            format!(
                "{}{}{}",
                get(""),
                post("Content-Length: 2\r\n", "ab"),
                get("")
            ),
        )
        .gets(&[200, 200, 200])
        .sees(&["GET /c", "POST /c", "GET /c"]),
    ]
}
