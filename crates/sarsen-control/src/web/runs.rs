//! Commands that nobody is connected to: a page or a program says one, goes away, and comes back for what it said.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use tokio::io::AsyncWrite;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::WebActor;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::session::{Actor, Front, Io, Request};
use crate::time::now;

/// So many are remembered, the oldest that have ended forgotten first.
const REMEMBERED: usize = 256;
/// So many go on at once: of one holder, and of all.
const OWN_AT_ONCE: usize = 8;
const AT_ONCE: usize = 64;
/// The end of what one wrote is kept.
const OUTPUT_MAX: usize = 256 * 1024;
/// Ended ones are forgotten after this long, in seconds.
const KEPT: i64 = 3600;

/// A command to be carried out.
#[derive(Debug, Clone)]
pub struct Order {
    pub argv: Vec<String>,
    /// What it reads; may be secret.
    pub stdin: Vec<u8>,
    /// The command line as it may be shown.
    pub shown: String,
    pub app: Option<String>,
    pub keeping: Keeping,
}

/// How long what a command wrote is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// For an hour.
    Hour,
    /// Until it was looked at: it is a secret.
    OneLook,
}

/// How far one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    Running,
    Ended,
}

/// One as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunView {
    pub id: String,
    /// The command line; secrets are left out.
    pub command: String,
    pub app: Option<String>,
    pub state: RunState,
    pub exit_code: Option<u8>,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    /// What it wrote, standard error included: the end of it when it was a lot.
    pub output: String,
    /// Bytes that came before `output`.
    pub omitted: u64,
}

/// What one has written beyond some place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunProgress {
    pub bytes: Vec<u8>,
    /// Bytes from its beginning to the end of `bytes`.
    pub position: u64,
    pub state: RunState,
    pub exit_code: Option<u8>,
}

/// All of them. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs(Arc<Mutex<VecDeque<Arc<Run>>>>);

/// One command.
#[derive(Debug)]
pub(crate) struct Run {
    id: String,
    shown: String,
    app: Option<String>,
    actor: WebActor,
    started_at: i64,
    gone: CancellationToken,
    keeping: Keeping,
    progress: Mutex<Progress>,
    /// Counts changes.
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Progress {
    output: VecDeque<u8>,
    omitted: u64,
    end: Option<(u8, i64)>,
}

/// The writing end.
struct Pen(Arc<Run>);

impl Runs {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, run: &Arc<Run>) -> Outcome {
        let mut runs = self.lock();
        runs.retain(|run| !run.is_over(now() - KEPT));
        let is_own = |other: &&&Arc<Run>| other.actor.is_same(&run.actor);
        let going: Vec<_> = runs.iter().filter(|run| !run.has_ended()).collect();
        if going.iter().filter(is_own).count() >= OWN_AT_ONCE || going.len() >= AT_ONCE {
            return Err(Failure::new(
                "Too many commands are under way: wait for one to end",
            ));
        }
        while runs.len() >= REMEMBERED {
            let Some(oldest) = runs.iter().position(|run| run.has_ended()) else {
                break;
            };
            runs.remove(oldest);
        }
        runs.push_back(Arc::clone(run));
        drop(runs);
        Ok(())
    }

    fn find(&self, actor: &WebActor, id: &str) -> Option<Arc<Run>> {
        let is_meant = |run: &&Arc<Run>| run.id == id && run.actor.is_same(actor);
        self.lock().iter().find(is_meant).cloned()
    }
}

impl Run {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        self.lock().end.is_some()
    }

    fn is_over(&self, before: i64) -> bool {
        self.lock().end.is_some_and(|(_, at)| at < before)
    }

    fn write(&self, bytes: &[u8]) {
        let mut progress = self.lock();
        progress.output.extend(bytes);
        let surplus = progress.output.len().saturating_sub(OUTPUT_MAX);
        progress.output.drain(..surplus);
        progress.omitted += surplus as u64;
        drop(progress);
        self.changes.send_modify(|count| *count += 1);
    }

    fn end(&self, code: u8) {
        self.lock().end = Some((code, now()));
        self.changes.send_modify(|count| *count += 1);
    }

    fn view(&self) -> RunView {
        let progress = self.lock();
        let bytes: Vec<u8> = progress.output.iter().copied().collect();
        RunView {
            id: self.id.clone(),
            command: self.shown.clone(),
            app: self.app.clone(),
            state: match progress.end {
                Some(_) => RunState::Ended,
                None => RunState::Running,
            },
            exit_code: progress.end.map(|(code, _)| code),
            started_at: self.started_at,
            finished_at: progress.end.map(|(_, at)| at),
            output: String::from_utf8_lossy(&bytes).into_owned(),
            omitted: progress.omitted,
        }
    }
}

impl AsyncWrite for Pen {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.write(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Control {
    /// Begins a command; its id. It goes on whether anybody looks or not.
    pub fn begin_run_of(&self, actor: &WebActor, order: Order) -> Outcome<String> {
        let run = Arc::new(Run {
            id: format!("{:016x}", rand::random::<u64>()),
            shown: order.shown,
            app: order.app,
            actor: actor.clone(),
            started_at: now(),
            keeping: order.keeping,
            gone: self.shutdown.child_token(),
            progress: Mutex::default(),
            changes: watch::channel(0).0,
        });
        self.runs.add(&run)?;
        let request = Request {
            actor: Actor::Web(actor.clone()),
            argv: order.argv,
            terminal: None,
            git_protocol: None,
            folder: None,
            variables: Default::default(),
        };
        let io = Io {
            stdin: Box::new(io::Cursor::new(order.stdin)),
            stdout: Box::new(Pen(Arc::clone(&run))),
            stderr: Box::new(Pen(Arc::clone(&run))),
            gone: run.gone.clone(),
        };
        let (control, id) = (self.clone(), run.id.clone());
        let running = self
            .tasks
            .spawn(async move { control.run(request, io).await });
        self.tasks.spawn(async move {
            // Whoever waits for it learns its end, however that came about.
            run.end(running.await.unwrap_or(1));
        });
        Ok(id)
    }

    /// What a command that this one has begun came to so far.
    pub fn run_view(&self, actor: &WebActor, id: &str) -> Option<RunView> {
        let run = self.runs.find(actor, id)?;
        let view = run.view();
        if run.keeping == Keeping::OneLook && view.state == RunState::Ended {
            run.lock().output.clear();
        }
        Some(view)
    }

    /// Waits for the end of a command, so long at most.
    pub async fn await_run(
        &self,
        actor: &WebActor,
        id: &str,
        patience: Duration,
    ) -> Option<RunView> {
        let run = self.runs.find(actor, id)?;
        let mut changes = run.changes.subscribe();
        let ended = changes.wait_for(|_| run.has_ended());
        // Whether it has ended is in the view.
        drop(tokio::time::timeout(patience, ended).await);
        Some(run.view())
    }

    /// Counts the changes of a command, for who follows it.
    pub fn run_changes(&self, actor: &WebActor, id: &str) -> Option<watch::Receiver<u64>> {
        Some(self.runs.find(actor, id)?.changes.subscribe())
    }

    /// What a command has written beyond some place, as far as it is kept.
    pub fn run_progress(&self, actor: &WebActor, id: &str, from: u64) -> Option<RunProgress> {
        let run = self.runs.find(actor, id)?;
        let progress = run.lock();
        let skipped = usize::try_from(from.saturating_sub(progress.omitted)).unwrap_or(usize::MAX);
        let state = match progress.end {
            Some(_) => RunState::Ended,
            None => RunState::Running,
        };
        Some(RunProgress {
            bytes: progress.output.iter().skip(skipped).copied().collect(),
            position: progress.omitted + progress.output.len() as u64,
            state,
            exit_code: progress.end.map(|(code, _)| code),
        })
    }

    /// Asks a command to stop; false when there is none.
    pub fn cancel_run(&self, actor: &WebActor, id: &str) -> bool {
        let run = self.runs.find(actor, id);
        run.map(|run| run.gone.cancel()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: usize) -> Arc<Run> {
        let holder = sarsen_store::Holder::Local {
            user: "root".to_owned(),
        };
        Arc::new(Run {
            id: id.to_string(),
            shown: String::new(),
            app: None,
            actor: WebActor {
                holder,
                fingerprint: None,
                pass: super::super::WebPass::Session(1),
                source: None,
                limit: None,
                rights: sarsen_domain::Rights::admin(),
            },
            started_at: now(),
            keeping: Keeping::Hour,
            gone: CancellationToken::new(),
            progress: Mutex::default(),
            changes: watch::channel(0).0,
        })
    }

    #[test]
    fn their_number_and_their_output_are_bounded() {
        let runs = Runs::default();
        let first = run(0);
        runs.add(&first).unwrap();
        for id in 1..OWN_AT_ONCE {
            runs.add(&run(id)).unwrap();
        }
        assert!(runs.add(&run(99)).is_err());
        first.end(0);
        runs.add(&run(100)).unwrap();
        first.write(&[b'x'; OUTPUT_MAX]);
        first.write(b"end");
        let view = first.view();
        assert!(view.output.len() == OUTPUT_MAX && view.output.ends_with("xend"));
        assert_eq!((view.omitted, view.exit_code), (3, Some(0)));
    }

    #[test]
    fn what_somebody_began_is_theirs() {
        let runs = Runs::default();
        let own = run(7);
        runs.add(&own).unwrap();
        assert!(runs.find(&own.actor, "7").is_some() && runs.find(&own.actor, "8").is_none());
        let mut other = own.actor.clone();
        other.holder = sarsen_store::Holder::Key {
            name: "eve".parse().unwrap(),
        };
        assert!(runs.find(&other, "7").is_none());
    }
}
