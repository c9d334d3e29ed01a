//! A response's body together with the connection that it arrives on.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::{Link, Progress};
use crate::settings::RouterSettings;
use crate::upstream::UpstreamState;

/// The body of an upstream's response. When it has ended, the connection goes back to the pool.
#[derive(Debug)]
pub(crate) struct LinkedBody {
    incoming: Incoming,
    link: Option<Box<Link>>,
    upstream: Arc<UpstreamState>,
    idle_timeout: Duration,
    pool_size: usize,
    // Set while we wait for the upstream; not while the client is the one who is slow.
    waiting: Option<Progress>,
}

/// Why a body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyEnd {
    #[error("the upstream sent nothing for too long")]
    Timeout,
    #[error("the upstream ended the connection in the middle of the response")]
    Cut,
}

impl LinkedBody {
    pub(crate) fn new(
        incoming: Incoming,
        link: Box<Link>,
        upstream: Arc<UpstreamState>,
        settings: &RouterSettings,
    ) -> Self {
        let mut body = Self {
            incoming,
            link: Some(link),
            upstream,
            idle_timeout: settings.idle_timeout,
            pool_size: settings.pool_size,
            waiting: None,
        };
        body.release_at_end();
        body
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        let mut polled = Pin::new(&mut self.incoming).poll_frame(cx);
        if polled.is_pending() {
            let Some(link) = &mut self.link else {
                return Poll::Ready(Some(Err(BodyEnd::Cut)));
            };
            link.drive(cx);
            polled = Pin::new(&mut self.incoming).poll_frame(cx);
        }
        match polled {
            Poll::Pending => self.poll_patience(cx),
            Poll::Ready(Some(Ok(frame))) => {
                self.waiting = None;
                self.release_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                self.link = None;
                Poll::Ready(Some(Err(BodyEnd::Cut)))
            }
            Poll::Ready(None) => {
                self.release();
                Poll::Ready(None)
            }
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    fn poll_patience(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyEnd>>> {
        let Some(link) = &mut self.link else {
            return Poll::Ready(Some(Err(BodyEnd::Cut)));
        };
        let progress = self.waiting.get_or_insert_with(Progress::new);
        progress.note(link.meter.total());
        std::task::ready!(link.timer.poll(cx, progress.since + self.idle_timeout));
        self.link = None;
        Poll::Ready(Some(Err(BodyEnd::Timeout)))
    }

    fn release_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some(link) = self.link.take() {
            self.upstream.keep_link(link, self.pool_size);
        }
    }
}
