//! The TCP connection under an ssh session: no delayed acknowledgements while it starts, and a way to end it for certain.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// A handshake and a login take about this many reads.
const QUICK_READS: u8 = 16;

/// Ends with an error when it is told to stop, and when the client takes nothing for too long.
pub(crate) struct Socket {
    tcp: TcpStream,
    quick_reads: u8,
    // Two futures, because reading and writing may be polled by different wakers.
    stop_reading: Pin<Box<WaitForCancellationFutureOwned>>,
    stop_writing: Pin<Box<WaitForCancellationFutureOwned>>,
    patience: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// `patience` is how long a write may wait for a client that takes nothing: a stopped process does not close its connection,
    /// and the session cannot ask it for a sign of life while it waits to write.
    pub(crate) fn new(tcp: TcpStream, stop: &CancellationToken, patience: Duration) -> Self {
        let socket = Self {
            tcp,
            quick_reads: QUICK_READS,
            stop_reading: Box::pin(stop.clone().cancelled_owned()),
            stop_writing: Box::pin(stop.clone().cancelled_owned()),
            patience,
            stalled: None,
        };
        if let Err(error) = socket.tcp.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY");
        }
        socket.acknowledge_at_once();
        socket
    }

    /// Clients start with Nagle's algorithm on: without this each step of the handshake waits 40 ms for our acknowledgement.
    /// The kernel forgets the option, so it is set again after each of the first reads.
    fn acknowledge_at_once(&self) {
        if let Err(error) = SockRef::from(&self.tcp).set_tcp_quickack(true) {
            tracing::debug!(%error, "no TCP_QUICKACK");
        }
    }

    fn watch_for_stall<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(sleep(patience)));
        match stalled.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.stop_reading.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        let read = Pin::new(&mut self.tcp).poll_read(context, buffer);
        if read.is_ready() && self.quick_reads > 0 {
            self.quick_reads -= 1;
            self.acknowledge_at_once();
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.stop_writing.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.watch_for_stall(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
