//! Compression of answers on their way: what gains by it, and the stream itself.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, response};

use super::Compression;

/// What is smaller fits a packet anyway.
const WORTH_IT: u64 = 1100;
/// Fast, and within some percent of the best.
const LEVEL: u32 = 4;
/// Held back at most, before it goes out.
const PIECE: usize = 16 * 1024;

/// Whether a request's answer may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appetite {
    /// Nobody wants it.
    None,
    /// The app's owner does, this client does not.
    NotThisTime,
    Gzip,
}

/// Compresses a body piece by piece.
#[derive(Debug)]
pub(crate) struct Squeezer {
    encoder: GzEncoder<Vec<u8>>,
    // Something was put in that has not come out.
    holds: bool,
}

impl Appetite {
    pub(crate) fn of(compression: Compression, method: &Method, headers: &HeaderMap) -> Self {
        if compression == Compression::Off || method == Method::HEAD {
            return Self::None;
        }
        let words = headers.get_all(ACCEPT_ENCODING).iter();
        let mut codings = words.flat_map(|value| value.to_str().unwrap_or_default().split(','));
        if codings.any(accepts_gzip) {
            Self::Gzip
        } else {
            Self::NotThisTime
        }
    }
}

// `gzip`, `gzip;q=0.5`, but not `gzip;q=0`.
fn accepts_gzip(coding: &str) -> bool {
    let mut parts = coding.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts
        .find_map(|part| part.strip_prefix("q="))
        .map_or(Some(1.0), |q| q.parse::<f32>().ok());
    name.eq_ignore_ascii_case("gzip") && weight.is_some_and(|q| q > 0.0)
}

/// Changes an answer's head for compression, if its body is to be compressed.
pub(crate) fn begin(appetite: Appetite, parts: &mut response::Parts) -> Option<Box<Squeezer>> {
    if appetite == Appetite::None || !gains(parts) {
        return None;
    }
    // Caches must know, also when this client gets the plain one.
    let vary = HeaderValue::from_static("Accept-Encoding");
    parts.headers.append(VARY, vary);
    if appetite == Appetite::NotThisTime {
        return None;
    }
    let headers = &mut parts.headers;
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    weaken_etag(headers);
    Some(Box::new(Squeezer::new()))
}

fn gains(parts: &response::Parts) -> bool {
    let headers = &parts.headers;
    let has_body = !matches!(
        parts.status,
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::PARTIAL_CONTENT
    ) && !parts.status.is_informational();
    let is_forbidden = headers
        .get_all(CACHE_CONTROL)
        .iter()
        .any(|v| v.to_str().is_ok_and(|v| v.contains("no-transform")));
    let length = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    let is_small = length
        .and_then(|length| length.parse::<u64>().ok())
        .is_some_and(|length| length < WORTH_IT);
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    has_body
        && !is_forbidden
        && !is_small
        && !headers.contains_key(CONTENT_ENCODING)
        && !headers.contains_key(CONTENT_RANGE)
        && kind.is_some_and(is_text)
}

fn is_text(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    // A stream of events is read as it comes, and each is small.
    (kind.starts_with("text/") && kind != "text/event-stream")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            kind.as_str(),
            "application/json"
                | "application/javascript"
                | "application/x-javascript"
                | "application/xml"
                | "application/wasm"
                | "application/manifest+json"
                | "application/vnd.ms-fontobject"
                | "font/ttf"
                | "font/otf"
                | "image/bmp"
        )
}

// The bytes differ now, the meaning does not.
fn weaken_etag(headers: &mut HeaderMap) {
    let weak = headers
        .get(ETAG)
        .filter(|tag| tag.as_bytes().starts_with(b"\""))
        .and_then(|tag| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok());
    if let Some(weak) = weak {
        headers.insert(ETAG, weak);
    }
}

impl Squeezer {
    fn new() -> Self {
        Self {
            encoder: GzEncoder::new(Vec::new(), flate2::Compression::new(LEVEL)),
            holds: false,
        }
    }

    /// Takes a piece; gives one when enough has come together.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Option<Bytes> {
        if let Err(error) = self.encoder.write_all(piece) {
            // Writing into memory does not fail.
            tracing::debug!(%error, "cannot compress");
        }
        self.holds = true;
        if self.encoder.get_ref().len() < PIECE {
            return None;
        }
        self.take()
    }

    /// Gives everything that was put in so far, because nothing more comes for now.
    pub(crate) fn flush(&mut self) -> Option<Bytes> {
        if !std::mem::take(&mut self.holds) {
            return None;
        }
        if let Err(error) = self.encoder.flush() {
            tracing::debug!(%error, "cannot compress");
        }
        self.take()
    }

    /// The end of the stream.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        if let Err(error) = self.encoder.try_finish() {
            tracing::debug!(%error, "cannot compress");
        }
        self.take()
    }

    fn take(&mut self) -> Option<Bytes> {
        let ready = std::mem::take(self.encoder.get_mut());
        (!ready.is_empty()).then(|| Bytes::from(ready))
    }
}
