//! Writing several pieces at once.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

/// Copying up to this much is cheaper than to have the kernel gather it.
const SMALL: usize = 4096;

thread_local! {
    // Kept, so that it need neither be allocated nor cleared for every write.
    static SPACE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

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
    SPACE.with_borrow_mut(|space| {
        space.clear();
        for piece in pieces {
            space.extend_from_slice(piece);
        }
        stream.poll_write(cx, space)
    })
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn pieces_arrive_in_order_whatever_their_size() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut near = TcpStream::connect(address).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        for size in [0, 1, SMALL - 4, SMALL - 3, 3 * SMALL] {
            let body = vec![b'x'; size];
            let sent = [b"head".as_slice(), &body].concat();
            let pieces = [b"head".as_slice(), &body].map(IoSlice::new);
            let wrote = poll_fn(|cx| poll_write(&mut near, cx, &pieces)).await;
            assert_eq!(wrote.unwrap(), sent.len());
            let mut read = vec![0; sent.len()];
            far.read_exact(&mut read).await.unwrap();
            assert_eq!(read, sent);
        }
    }
}
