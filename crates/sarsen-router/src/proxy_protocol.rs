//! The PROXY protocol: what a load balancer in front says about the client, ahead of the client's first byte.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line of version 1, its end included.
const LINE: usize = 107;

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Addresses, and a few extras that nobody needs here.
const EXTRAS: usize = 2048;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The proxy speaks for this client.
    Client(SocketAddr),
    /// The proxy speaks for itself, as it does for its health checks.
    Itself,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what came is no PROXY protocol header")]
pub(crate) struct NoHeader;

/// Reads one header, and not a byte more.
pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Origin> {
    let mut start = [0; 6];
    from.read_exact(&mut start).await?;
    let origin = if start == *b"PROXY " {
        let mut line = start.to_vec();
        while !line.ends_with(b"\n") {
            if line.len() >= LINE {
                return Err(malformed(NoHeader));
            }
            line.push(from.read_u8().await?);
        }
        parse_line(&line)
    } else if SIGNATURE.starts_with(&start) {
        let mut head = [0; 16];
        let (before, rest) = head.split_at_mut(start.len());
        before.copy_from_slice(&start);
        from.read_exact(rest).await?;
        let length = parse_length(&head).map_err(malformed)?;
        let mut block = vec![0; length];
        from.read_exact(&mut block).await?;
        parse_block(&head, &block)
    } else {
        Err(NoHeader)
    };
    origin.map_err(malformed)
}

fn malformed(error: NoHeader) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Version 1: `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n`.
pub(crate) fn parse_line(line: &[u8]) -> Result<Origin, NoHeader> {
    let text = std::str::from_utf8(line).map_err(|_| NoHeader)?;
    let text = text.strip_suffix("\r\n").ok_or(NoHeader)?;
    let mut words = text.split(' ');
    if words.next() != Some("PROXY") {
        return Err(NoHeader);
    }
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(Origin::Itself);
    }
    let mut ip = || -> Option<IpAddr> { words.next()?.parse().ok() };
    let (source, destination) = (ip().ok_or(NoHeader)?, ip().ok_or(NoHeader)?);
    let is_right = match family {
        Some("TCP4") => source.is_ipv4() && destination.is_ipv4(),
        Some("TCP6") => source.is_ipv6() && destination.is_ipv6(),
        _ => false,
    };
    let mut port = || -> Option<u16> {
        let word = words.next()?;
        let is_plain = word.bytes().all(|b| b.is_ascii_digit());
        word.parse().ok().filter(|_| is_plain)
    };
    let (source_port, _) = (port().ok_or(NoHeader)?, port().ok_or(NoHeader)?);
    if !is_right || words.next().is_some() {
        return Err(NoHeader);
    }
    Ok(Origin::Client(SocketAddr::new(source, source_port)))
}

/// Version 2: how much follows the first 16 bytes.
pub(crate) fn parse_length(head: &[u8; 16]) -> Result<usize, NoHeader> {
    let (signature, rest) = head.split_at(SIGNATURE.len());
    let &[command, _, high, low] = rest else {
        return Err(NoHeader);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let is_right = signature == SIGNATURE && matches!(command, 0x20 | 0x21) && length <= EXTRAS;
    is_right.then_some(length).ok_or(NoHeader)
}

/// Version 2: the addresses, which come first in the block.
pub(crate) fn parse_block(head: &[u8; 16], block: &[u8]) -> Result<Origin, NoHeader> {
    let &[.., command, family, _, _] = head;
    if command == 0x20 {
        return Ok(Origin::Itself);
    }
    match family {
        0x11 => {
            let &[a, b, c, d, _, _, _, _, high, low, _, _] = first::<12>(block)?;
            let ip = IpAddr::V4(Ipv4Addr::new(a, b, c, d));
            Ok(Origin::Client(SocketAddr::new(
                ip,
                u16::from_be_bytes([high, low]),
            )))
        }
        0x21 => {
            let addresses = first::<36>(block)?;
            let source: &[u8; 16] = first(addresses)?;
            let &[.., high, low, _, _] = addresses;
            let ip = IpAddr::V6(Ipv6Addr::from(*source)).to_canonical();
            Ok(Origin::Client(SocketAddr::new(
                ip,
                u16::from_be_bytes([high, low]),
            )))
        }
        // Unix sockets, datagrams, or nothing said.
        _ => Ok(Origin::Itself),
    }
}

fn first<const N: usize>(block: &[u8]) -> Result<&[u8; N], NoHeader> {
    block.first_chunk().ok_or(NoHeader)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    async fn read_all(mut bytes: &[u8]) -> (io::Result<Origin>, &[u8]) {
        let origin = read(&mut bytes).await;
        (origin, bytes)
    }

    fn block(family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [SIGNATURE, [0x21, family].as_slice(), &length, addresses].concat()
    }

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_the_rest() {
        let v4 = block(0x11, &[192, 0, 2, 1, 10, 0, 0, 1, 0xdc, 4, 1, 187]);
        let extras = block(
            0x11,
            &[192, 0, 2, 1, 10, 0, 0, 1, 0xdc, 4, 1, 187, 3, 0, 1, 9],
        );
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        v6[32..34].copy_from_slice(&[0xdc, 4]);
        for (bytes, client) in [
            (
                b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n".to_vec(),
                "192.0.2.1:56324",
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n".to_vec(),
                "[2001:db8::1]:56324",
            ),
            (v4, "192.0.2.1:56324"),
            (extras, "192.0.2.1:56324"),
            (block(0x21, &v6), "[2001:db8::1]:56324"),
        ] {
            let sent = [bytes.as_slice(), b"GET /"].concat();
            let (origin, rest) = read_all(&sent).await;
            assert_eq!(origin.unwrap(), Origin::Client(client.parse().unwrap()));
            assert_eq!(rest, b"GET /");
        }
        let local = [SIGNATURE, [0x20, 0, 0, 0].as_slice()].concat();
        for bytes in [
            b"PROXY UNKNOWN\r\n".as_slice(),
            b"PROXY UNKNOWN a b c\r\n",
            &local,
        ] {
            assert_eq!(read_all(bytes).await.0.unwrap(), Origin::Itself);
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(200));
        for bytes in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
            b"PROXY TCP4 192.0.2.1",
            long.as_bytes(),
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c............",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x04....",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff....",
            b"\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c............",
        ] {
            assert!(read_all(bytes).await.0.is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            line in proptest::collection::vec(any::<u8>(), 0..120),
            rest in any::<[u8; 4]>(),
            block in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut head = [0; 16];
            head[..12].copy_from_slice(SIGNATURE);
            head[12..].copy_from_slice(&rest);
            prop_assert!(parse_line(&line).is_err() || line.starts_with(b"PROXY "));
            prop_assert!(parse_length(&head).is_err() || rest[0] & 0xf0 == 0x20);
            let named = matches!(parse_block(&head, &block), Ok(Origin::Client(_)));
            prop_assert!(!named || block.len() >= 12);
        }

        #[test]
        fn any_client_survives_the_line(ip in any::<[u8; 4]>(), port in any::<u16>()) {
            let client = SocketAddr::new(Ipv4Addr::from(ip).into(), port);
            let line = format!("PROXY TCP4 {} 10.0.0.1 {port} 80\r\n", client.ip());
            prop_assert_eq!(parse_line(line.as_bytes()), Ok(Origin::Client(client)));
        }
    }
}
