//! A request's body as it comes from the client, which is listened to for a while even when nobody wants it any more.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::client_io::{FAREWELL, FAREWELL_SILENCE, Seat};
use crate::listener::Front;
use crate::proxy::Peer;

/// What a client may still send to nobody.
const FAREWELL_BYTES: usize = 64 * 1024 * 1024;

/// The body. When it is dropped before its end, which is when somebody answers early, the rest is taken to nowhere. Else
/// its stream of HTTP/2 would be reset, and there are clients that lose the answer then, or wait for room to send; and
/// its connection of HTTP/1.1 would be closed, of which who has got an answer knows nothing when it asks again.
#[derive(Debug)]
pub(crate) struct ClientBody {
    incoming: Option<Incoming>,
    // Who listens to it, until its end.
    unheard: Option<Listener>,
}

#[derive(Debug)]
struct Listener {
    front: Arc<Front>,
    seat: Arc<Seat>,
}

impl ClientBody {
    pub(crate) fn new(incoming: Incoming, peer: &Peer) -> Self {
        let is_empty = incoming.is_end_stream();
        Self {
            incoming: Some(incoming),
            unheard: (!is_empty).then(|| Listener {
                front: Arc::clone(&peer.front),
                seat: Arc::clone(&peer.seat),
            }),
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = match &mut self.incoming {
            Some(incoming) => Pin::new(incoming).poll_frame(cx),
            None => Poll::Ready(None),
        };
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.unheard = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let known = self.incoming.as_ref().map(Body::size_hint);
        known.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        let (Some(Listener { front, seat }), Some(incoming)) =
            (self.unheard.take(), self.incoming.take())
        else {
            return;
        };
        // At its end a runtime takes no more tasks.
        if incoming.is_end_stream() || Handle::try_current().is_err() {
            return;
        }
        let lingering = seat.linger();
        front.tasks.clone().spawn(async move {
            let hearing = front.abort.run_until_cancelled(hear_out(incoming));
            if hearing.await != Some(Heard::Everything) {
                seat.hear_no_more();
            }
            drop(lingering);
        });
    }
}

/// How listening to a body that nobody wants came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    Everything,
    Enough,
}

/// Takes a body to nowhere: until its end, or for as long as there is hope of one.
async fn hear_out(mut body: impl Body<Data = Bytes> + Unpin) -> Heard {
    let end = Instant::now() + FAREWELL;
    let mut heard = 0;
    // Looked at here as well: what is there at once is never too late.
    while heard <= FAREWELL_BYTES && Instant::now() < end {
        let silence = Instant::now() + FAREWELL_SILENCE;
        let next = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
        match timeout_at(end.min(silence), next).await {
            Ok(Some(Ok(frame))) => heard += frame.data_ref().map_or(0, Bytes::len),
            Ok(None) => return Heard::Everything,
            Ok(Some(Err(_))) | Err(_) => break,
        }
    }
    Heard::Enough
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use tokio::time::{Sleep, sleep};

    use super::*;

    /// So many bytes, again and again after so long.
    struct Tap {
        piece: usize,
        every: Duration,
        pause: Pin<Box<Sleep>>,
        sent: usize,
    }

    impl Tap {
        fn new(piece: usize, every: Duration) -> Self {
            Self {
                piece,
                every,
                pause: Box::pin(sleep(every)),
                sent: 0,
            }
        }
    }

    impl Body for &mut Tap {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            std::task::ready!(self.pause.as_mut().poll(cx));
            self.pause = Box::pin(sleep(self.every));
            self.sent += self.piece;
            Poll::Ready(Some(Ok(Frame::data(vec![0; self.piece].into()))))
        }
    }

    async fn hears(piece: usize, every: Duration) -> (Duration, usize) {
        let begun = Instant::now();
        let mut tap = Tap::new(piece, every);
        assert_eq!(hear_out(&mut tap).await, Heard::Enough);
        (begun.elapsed(), tap.sent)
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_listened_to_for_ever() {
        let (long, sent) = hears(1, Duration::from_secs(1)).await;
        assert!((25..=30).contains(&sent) && long <= FAREWELL + FAREWELL_SILENCE / 100);
        let (long, sent) = hears(1, FAREWELL_SILENCE * 2).await;
        assert!(sent == 0 && long <= FAREWELL_SILENCE * 11 / 10, "{long:?}");
        let (long, sent) = hears(1024 * 1024, Duration::from_millis(1)).await;
        assert!(
            (64..=65).contains(&(sent >> 20)) && long < FAREWELL / 2,
            "{sent} {long:?}"
        );
    }
}
