//! What an app saw of a request, and the strictest reading of the bytes that it got.

/// A request as an app understood it.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// `POST /c`
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// Of a body in chunks.
    pub(super) trailers: Vec<(String, String)>,
}

impl Seen {
    /// Whether it has this header, and has it once.
    pub(super) fn has(&self, line: &str) -> bool {
        let (name, value) = line.split_once(": ").unwrap_or((line, ""));
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        found.next().is_some_and(|(_, v)| v == value) && found.next().is_none()
    }

    /// Whether a header or a trailer has this name.
    pub(super) fn names(&self, name: &str) -> bool {
        let mut all = self.headers.iter().chain(&self.trailers);
        all.any(|(n, _)| n == name)
    }
}

/// Reads one request off the front of these bytes. `Ok(None)`: there is not all of it yet.
///
/// Takes nothing that any server could read in another way: one form of line end, one form of framing, no spaces where
/// none belong.
pub(super) fn read(bytes: &mut Vec<u8>) -> Result<Option<Seen>, String> {
    let Some(end) = find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = text(&bytes[..end])?;
    let mut lines = head.split("\r\n");
    let start = lines.next().unwrap_or_default();
    let [method, target, "HTTP/1.1"] = start.split(' ').collect::<Vec<_>>()[..] else {
        return Err(format!("a strange first line: {start:?}"));
    };
    if !is_token(method) || !(target.starts_with('/') || target == "*") {
        return Err(format!("a strange first line: {start:?}"));
    }
    let headers = lines.map(field).collect::<Result<Vec<_>, _>>()?;
    let values = |name: &str| -> Vec<&str> {
        let own = headers.iter().filter(|(n, _)| n == name);
        own.map(|(_, value)| value.as_str()).collect()
    };
    if values("host").len() != 1 {
        return Err(format!("not one host: {headers:?}"));
    }
    let rest = &bytes[end + 4..];
    let body = match (&*values("content-length"), &*values("transfer-encoding")) {
        ([], []) => Some((String::new(), Vec::new(), 0)),
        ([length], []) => plain(rest, length)?,
        ([], ["chunked"]) => chunked(rest)?,
        (lengths, codings) => return Err(format!("framed twice: {lengths:?} {codings:?}")),
    };
    let Some((body, trailers, taken)) = body else {
        return Ok(None);
    };
    let seen = Seen {
        line: format!("{method} {target}"),
        headers,
        body,
        trailers,
    };
    bytes.drain(..end + 4 + taken);
    Ok(Some(seen))
}

type Body = Option<(String, Vec<(String, String)>, usize)>;

fn plain(rest: &[u8], length: &str) -> Result<Body, String> {
    if length.is_empty() || !length.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("a strange length: {length:?}"));
    }
    let length: usize = length.parse().map_err(|_| "a large length".to_owned())?;
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    Ok(Some((text(body)?, Vec::new(), length)))
}

fn chunked(rest: &[u8]) -> Result<Body, String> {
    let (mut body, mut at) = (String::new(), 0);
    loop {
        let Some(end) = find(&rest[at..], b"\r\n") else {
            return Ok(None);
        };
        let size = text(&rest[at..at + end])?;
        if size.is_empty() || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("a strange chunk: {size:?}"));
        }
        let size = usize::from_str_radix(&size, 16).map_err(|e| e.to_string())?;
        at += end + 2;
        if size == 0 {
            return trailing(&rest[at..], body, at);
        }
        let Some(chunk) = rest.get(at..at + size + 2) else {
            return Ok(None);
        };
        if !chunk.ends_with(b"\r\n") {
            return Err("a chunk without end".to_owned());
        }
        body += &text(&chunk[..size])?;
        at += size + 2;
    }
}

fn trailing(rest: &[u8], body: String, at: usize) -> Result<Body, String> {
    if rest.starts_with(b"\r\n") {
        return Ok(Some((body, Vec::new(), at + 2)));
    }
    let Some(end) = find(rest, b"\r\n\r\n") else {
        return Ok(None);
    };
    let lines = text(&rest[..end])?;
    let trailers = lines.split("\r\n").map(field).collect::<Result<_, _>>()?;
    Ok(Some((body, trailers, at + end + 4)))
}

fn field(line: &str) -> Result<(String, String), String> {
    let (name, value) = line
        .split_once(": ")
        .filter(|(name, value)| is_token(name) && value.trim() == *value)
        .ok_or_else(|| format!("a strange line: {line:?}"))?;
    let is_clean = !value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f);
    is_clean
        .then(|| (name.to_ascii_lowercase(), value.to_owned()))
        .ok_or_else(|| format!("a strange value: {line:?}"))
}

fn is_token(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(legal)
}

fn text(bytes: &[u8]) -> Result<String, String> {
    String::from_utf8(bytes.to_vec()).map_err(|_| format!("not text: {bytes:?}"))
}

fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|w| w == needle)
}

#[test]
fn the_strict_reading_is_strict() {
    let head = "POST /c HTTP/1.1\r\nhost: a\r\n";
    for wrong in [
        "content-length: 1\r\ncontent-length: 1\r\n\r\nx",
        "content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        "content-length: +1\r\n\r\nx",
        "content-length : 1\r\n\r\nx",
        "x: a\n\r\n\r\n",
        "x:  a\r\n\r\n",
        " x: a\r\n\r\n",
        "host: b\r\n\r\n",
        "transfer-encoding: Chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n1;x\r\nx\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n",
    ] {
        let read = read(&mut format!("{head}{wrong}").into_bytes());
        assert!(read.is_err(), "{wrong:?} {read:?}");
    }
    let chunks = "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-sum: 1\r\n\r\nGET";
    let mut bytes = format!("{head}{chunks}").into_bytes();
    let seen = read(&mut bytes).unwrap().unwrap();
    assert_eq!((seen.line.as_str(), seen.body.as_str()), ("POST /c", "ab"));
    assert!(seen.names("x-sum") && seen.has("host: a"));
    assert_eq!(bytes, b"GET");
    let mut part = format!("{head}content-length: 2\r\n\r\nx").into_bytes();
    assert!(read(&mut part).unwrap().is_none());
}
