//! The first bytes of a connection: who it is from, whether it is encrypted, which version of HTTP it speaks.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::host;
use crate::listener::Front;
use crate::proxy_protocol::{self, Origin};
use crate::stream::Stream;
use crate::tls::ACME_ALPN;

/// What every HTTP/2 connection begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that is ready for its first request.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) stream: Stream,
    /// Bytes that were read already.
    pub(crate) early: Bytes,
    pub(crate) version: Version,
    /// The client, or what a trusted proxy says about it.
    pub(crate) address: SocketAddr,
    /// The host that the client named in the TLS handshake.
    pub(crate) server_name: Option<Box<str>>,
}

/// The version of HTTP that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// Reads what comes before the first request; `None` when there will not be one.
pub(crate) async fn greet(
    front: &Front,
    mut stream: TcpStream,
    address: SocketAddr,
) -> io::Result<Option<Greeted>> {
    let address = origin(front, &mut stream, address).await?;
    if let Some(tls) = &front.tls {
        return shake_hands(front, &tls.acceptor, stream, address).await;
    }
    let patience = front.inner.settings.keep_alive_timeout;
    let (version, early) = timeout(patience, sniff(&mut stream)).await??;
    Ok(Some(Greeted {
        stream: Stream::Plain(stream),
        early,
        version,
        address,
        server_name: None,
    }))
}

/// The client's address, from the header that trusted proxies send first.
pub(crate) async fn origin(
    front: &Front,
    stream: &mut TcpStream,
    address: SocketAddr,
) -> io::Result<SocketAddr> {
    let settings = &front.inner.settings;
    if !settings.proxy_protocol.contains(address.ip()) {
        return Ok(address);
    }
    let reading = proxy_protocol::read(stream);
    match timeout(settings.head_timeout, reading).await?? {
        Origin::Client(client) => Ok(client),
        Origin::Itself => Ok(address),
    }
}

async fn shake_hands(
    front: &Front,
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    address: SocketAddr,
) -> io::Result<Option<Greeted>> {
    let patience = front.inner.settings.handshake_timeout;
    let stream = timeout(patience, acceptor.accept(stream)).await??;
    let (_, session) = stream.get_ref();
    let version = match session.alpn_protocol() {
        // The certificate was the answer.
        Some(ACME_ALPN) => return Ok(None),
        Some(b"h2") => Version::Http2,
        Some(_) | None => Version::Http1,
    };
    let server_name = session
        .server_name()
        .and_then(host::normalise)
        .map(|name| name.into());
    Ok(Some(Greeted {
        stream: Stream::Tls(Box::new(stream)),
        early: Bytes::new(),
        version,
        address,
        server_name,
    }))
}

// Looks at the first bytes without taking them, unless they look like the beginning of the preface and no more of it
// is there.
async fn sniff(stream: &mut TcpStream) -> io::Result<(Version, Bytes)> {
    let mut seen = [0; PREFACE.len()];
    let count = stream.peek(&mut seen).await?;
    let start = seen.get(..count).unwrap_or_default();
    match judge(start) {
        Some(version) => Ok((version, Bytes::new())),
        None => sniff_slowly(stream).await,
    }
}

async fn sniff_slowly(stream: &mut TcpStream) -> io::Result<(Version, Bytes)> {
    let mut early = Vec::with_capacity(PREFACE.len());
    loop {
        let mut next = [0];
        if stream.read(&mut next).await? == 0 {
            return Ok((Version::Http1, early.into()));
        }
        early.extend(next);
        if let Some(version) = judge(&early) {
            return Ok((version, early.into()));
        }
    }
}

/// The version that these first bytes speak, once they tell. Nothing at all means that the client left.
pub(crate) fn judge(start: &[u8]) -> Option<Version> {
    if start == PREFACE {
        return Some(Version::Http2);
    }
    let is_open = !start.is_empty() && PREFACE.starts_with(start);
    (!is_open).then_some(Version::Http1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_version_as_soon_as_they_can() {
        for (start, version) in [
            (b"".as_slice(), Some(Version::Http1)),
            (b"G", Some(Version::Http1)),
            (b"P", None),
            (b"PR", None),
            (b"PU", Some(Version::Http1)),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (PREFACE, Some(Version::Http2)),
            (b"PRI * HTTP/1.1\r\n", Some(Version::Http1)),
        ] {
            assert_eq!(judge(start), version, "{start:?}");
        }
    }
}
