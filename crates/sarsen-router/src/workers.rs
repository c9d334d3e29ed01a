//! The threads that serve connections: one per core, each with a runtime of its own.
//!
//! A connection stays on its thread from its first byte to its last, and so does the connection to the upstream that
//! it uses. Nothing is handed from thread to thread while a request is under way.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

/// More would not pay on one host that has apps to run as well.
const MAX_WORKERS: usize = 16;

thread_local! {
    static CURRENT: Cell<usize> = const { Cell::new(0) };
}

/// All threads of one router. They end when this is dropped; whoever spawns on them waits for the tasks himself.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: Vec<Worker>,
    // Listeners so far.
    doors: AtomicUsize,
}

/// A connection's place on one of the threads, which it is counted at.
#[derive(Debug)]
pub(crate) struct Place {
    thread: usize,
    load: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Worker {
    number: usize,
    handle: Handle,
    // Connections that it serves.
    load: Arc<AtomicUsize>,
    _stop: DropGuard,
}

/// How many threads a router has.
pub(crate) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_WORKERS))
    })
}

/// The number of the thread that this runs on, below [`count`].
pub(crate) fn current() -> usize {
    CURRENT.get()
}

impl Workers {
    pub(crate) async fn start() -> io::Result<Self> {
        let mut workers = Vec::with_capacity(count());
        for number in 0..count() {
            workers.push(Worker::start(number).await?);
        }
        Ok(Self {
            threads: workers,
            doors: AtomicUsize::new(0),
        })
    }

    /// A thread to accept connections on; each listener gets the next one.
    pub(crate) fn door(&self) -> Handle {
        let number = self.doors.fetch_add(1, Ordering::Relaxed);
        let thread = self.threads.iter().cycle().nth(number % count());
        thread.map_or_else(Handle::current, |worker| worker.handle.clone())
    }

    /// The thread that serves the fewest connections, this one if it is one of them.
    pub(crate) fn assign(&self) -> (Handle, Place) {
        let from_here = self.threads.iter().cycle().skip(current());
        let idlest = from_here
            .take(self.threads.len())
            .min_by_key(|worker| worker.load.load(Ordering::Relaxed));
        match idlest {
            Some(worker) => (
                worker.handle.clone(),
                Place::at(worker.number, &worker.load),
            ),
            // There is always one; but were there none, the caller's own runtime would do.
            None => (Handle::current(), Place::at(current(), &Arc::default())),
        }
    }
}

impl Worker {
    async fn start(number: usize) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let (tell, told) = oneshot::channel();
        let stopped = stop.clone();
        std::thread::Builder::new()
            .name(format!("router-{number}"))
            .spawn(move || {
                CURRENT.set(number);
                // Built here, because a runtime must not be dropped inside of another one.
                match Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => {
                        if tell.send(Ok(runtime.handle().clone())).is_ok() {
                            runtime.block_on(stopped.cancelled());
                        }
                    }
                    Err(error) => drop(tell.send(Err(error))),
                }
            })?;
        let handle = told.await.map_err(io::Error::other)??;
        Ok(Self {
            number,
            handle,
            load: Arc::default(),
            _stop: stop.drop_guard(),
        })
    }
}

impl Place {
    fn at(thread: usize, load: &Arc<AtomicUsize>) -> Self {
        load.fetch_add(1, Ordering::Relaxed);
        Self {
            thread,
            load: Arc::clone(load),
        }
    }

    /// Whether it is on the thread that asks, which must be one of them.
    pub(crate) fn is_here(&self) -> bool {
        self.thread == current()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_are_spread_evenly_over_named_threads() {
        let workers = Workers::start().await.unwrap();
        let mut numbers = Vec::new();
        let mut places = Vec::new();
        for _ in 0..count() {
            let (handle, place) = workers.assign();
            let task = handle.spawn(async {
                let name = std::thread::current().name().map(str::to_owned);
                (current(), name.unwrap())
            });
            let (number, name) = task.await.unwrap();
            assert_eq!(name, format!("router-{number}"));
            numbers.push(number);
            places.push(place);
        }
        numbers.sort_unstable();
        assert_eq!(numbers, (0..count()).collect::<Vec<_>>());
        places.pop();
        let (_handle, _place) = workers.assign();
        let loads = workers
            .threads
            .iter()
            .map(|w| w.load.load(Ordering::Relaxed));
        assert!(loads.into_iter().all(|load| load == 1));
    }
}
