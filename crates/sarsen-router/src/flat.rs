//! Writing several pieces at once.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Copying up to this much is cheaper than to have the kernel gather it.
const SMALL: usize = 4096;

/// Writes the pieces, or the first of them. A head with a small body goes out as one piece.
pub(crate) fn poll_write(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    let stream = Pin::new(stream);
    if let [single] = pieces {
        return stream.poll_write(cx, single);
    }
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    if total > SMALL {
        return stream.poll_write_vectored(cx, pieces);
    }
    let mut space = [0; SMALL];
    match gather(pieces, &mut space) {
        Some(flat) => stream.poll_write(cx, flat),
        None => stream.poll_write_vectored(cx, pieces),
    }
}

fn gather<'a>(pieces: &[IoSlice<'_>], space: &'a mut [u8; SMALL]) -> Option<&'a [u8]> {
    let mut len = 0;
    for piece in pieces {
        let end = len + piece.len();
        space.get_mut(len..end)?.copy_from_slice(piece);
        len = end;
    }
    space.get(..len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_gathered_in_order() {
        let mut space = [0; SMALL];
        let big = vec![b'x'; SMALL - 4];
        let pieces = [b"head".as_slice(), &big].map(IoSlice::new);
        let flat = gather(&pieces, &mut space).unwrap();
        assert_eq!(
            (flat.len(), flat.get(..5)),
            (SMALL, Some(b"headx".as_slice()))
        );
        let pieces = [b"heads".as_slice(), &big].map(IoSlice::new);
        assert!(gather(&pieces, &mut space).is_none());
        assert_eq!(gather(&[], &mut space), Some(b"".as_slice()));
    }
}
