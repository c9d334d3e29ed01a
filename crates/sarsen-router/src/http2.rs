//! HTTP/2 from clients: one task per connection and one per stream, all on the connection's thread.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2::Builder;
use hyper_util::rt::TokioTimer;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::client_io::Seat;
use crate::settings::RouterSettings;
use crate::timer::LazyTimer;

mod request;

pub(crate) use request::{check_path, open_tunnel, settle};

/// Streams that one connection may have at a time.
const STREAMS: u32 = 128;

/// What a client may send ahead of the app, per stream and per connection.
const STREAM_WINDOW: u32 = 128 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// What is kept of a response that the client is slow to read.
const SEND_BUFFER: usize = 128 * 1024;

/// Streams that were reset before they were looked at, and resets that a client provoked: beyond these the connection
/// is closed.
const PENDING_RESETS: usize = 32;
const PROVOKED_RESETS: usize = 128;

/// A client that gives up more requests than this, and more than it lets be answered, is not after the answers.
const GIVEN_UP: u32 = 100;

/// A client is asked for a sign of life when it was silent for so long, and has as long again to give it.
const PING: Duration = Duration::from_secs(30);

tokio::task_local! {
    static PACE: Arc<Pace>;
}

/// Runs the streams of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    tasks: TaskTracker,
    seat: Arc<Seat>,
    idle_timeout: Duration,
}

/// How a stream's response gets on.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    state: AtomicU8,
    frames: AtomicU64,
}

const WITH_APP: u8 = 0;
const WITH_CLIENT: u8 = 1;
const DONE: u8 = 2;

/// Settings of one listener's connections. Whose they are is known only later.
pub(crate) fn builder(settings: &RouterSettings, streams: Streams) -> Builder<Streams> {
    let mut http = Builder::new(streams);
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(settings.max_head_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(PROVOKED_RESETS)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .enable_connect_protocol();
    http
}

/// The pace of the stream that this runs for.
pub(crate) fn pace() -> Option<Arc<Pace>> {
    PACE.try_with(Arc::clone).ok()
}

// ===== impl Streams =====

impl Streams {
    pub(crate) fn new(tasks: TaskTracker, seat: Arc<Seat>, idle_timeout: Duration) -> Self {
        Self {
            tasks,
            seat,
            idle_timeout,
        }
    }

    // A stream whose client stopped reading is never asked for its body, so nobody else would notice.
    async fn watch(self, stream: impl Future<Output = ()>, pace: Arc<Pace>) {
        let mut stream = pin!(stream);
        let mut timer = LazyTimer::default();
        let mut seen = (0, Instant::now());
        poll_fn(|cx| {
            if stream.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let Some(frames) = pace.waits_for_client() else {
                return Poll::Pending;
            };
            if frames != seen.0 {
                seen = (frames, Instant::now());
            }
            timer.poll(cx, seen.1 + self.idle_timeout)
        })
        .await;
        if pace.is_done() {
            self.seat.note_completed();
        } else {
            self.seat.note_given_up();
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let pace = Arc::<Pace>::default();
        let watched = self.clone().watch(stream, Arc::clone(&pace));
        self.tasks.spawn(PACE.scope(pace, watched));
    }
}

// ===== impl Pace =====

impl Pace {
    /// A piece of the response went out; the next is asked for when the client has room for it.
    pub(crate) fn sent(&self) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.state.store(WITH_CLIENT, Ordering::Relaxed);
    }

    /// The client has room, and the app has nothing for it.
    pub(crate) fn awaited(&self) {
        self.state.store(WITH_APP, Ordering::Relaxed);
    }

    /// The response is complete.
    pub(crate) fn done(&self) {
        self.state.store(DONE, Ordering::Relaxed);
    }

    fn is_done(&self) -> bool {
        self.state.load(Ordering::Relaxed) == DONE
    }

    fn waits_for_client(&self) -> Option<u64> {
        let waits = self.state.load(Ordering::Relaxed) == WITH_CLIENT;
        waits.then(|| self.frames.load(Ordering::Relaxed))
    }
}

/// Ends connections that nobody uses any more, and those that are only there to make work.
#[derive(Debug, Default)]
pub(crate) struct Keeper {
    timer: LazyTimer,
    idle_since: Option<Instant>,
}

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Stays,
    Idle,
    Abusive,
}

impl Keeper {
    /// Looks at a connection that has just been driven; wakes the task when there may be another verdict.
    pub(crate) fn judge(
        &mut self,
        cx: &mut Context<'_>,
        seat: &Seat,
        keep_alive: Duration,
    ) -> Verdict {
        if seat.given_up() > GIVEN_UP.max(seat.completed()) {
            return Verdict::Abusive;
        }
        if seat.is_busy() {
            self.idle_since = None;
            return Verdict::Stays;
        }
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        if self.timer.poll(cx, since + keep_alive).is_ready() {
            // Another while for saying goodbye.
            self.idle_since = None;
            cx.waker().wake_by_ref();
            return Verdict::Idle;
        }
        Verdict::Stays
    }
}
