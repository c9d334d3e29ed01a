//! One thing done to one app or to all: one after the other, or a few at a time with their output kept apart.

use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use sarsen_domain::AppName;
use tokio::io::AsyncWrite;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::output::Out;
use crate::table::Call;

/// What is done to an app.
pub(super) type Work = for<'a> fn(&'a Control, &'a mut Call, &'a AppName) -> BoxFuture<'a, Outcome>;

/// Output that waits until its turn comes.
#[derive(Debug, Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsyncWrite for Page {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Does the work to the app named, or with `--all` (and when none need be named) to every one. What fails for one is
/// said, and the others have their turn.
pub(super) async fn each(control: &Control, call: &mut Call, verb: &str, work: Work) -> Outcome {
    let parallel = parallel(call)?;
    let apps = match &call.app {
        Some(app) => vec![AppName::clone(app)],
        None => {
            let apps = control.store.apps().list().await?;
            control.visible(&call.identity, apps).await?
        }
    };
    let failed = if parallel > 1 && apps.len() > 1 {
        side_by_side(control, call, apps, (parallel, work)).await?
    } else {
        one_by_one(control, call, apps, work).await?
    };
    if failed.is_empty() {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "Could not {verb} {}",
            failed.join(", ")
        )))
    }
}

/// `--parallel`: a number of apps, or -1 for as many as there are processors.
fn parallel(call: &Call) -> Outcome<usize> {
    match call.args.value("--parallel") {
        None => Ok(1),
        Some("-1") => Ok(std::thread::available_parallelism().map_or(1, NonZeroUsize::get)),
        Some(text) => text
            .parse()
            .ok()
            .filter(|count| (1..=64).contains(count))
            .ok_or_else(|| {
                Failure::new(format!(
                    "Invalid --parallel '{}': give a number from 1 to 64, or -1 for one per processor",
                    text.escape_debug()
                ))
            }),
    }
}

async fn one_by_one(
    control: &Control,
    call: &mut Call,
    apps: Vec<AppName>,
    work: Work,
) -> Outcome<Vec<String>> {
    let mut failed = Vec::new();
    for app in apps {
        if let Err(failure) = work(control, call, &app).await {
            call.out.warn(&failure.message).await?;
            failed.push(app.to_string());
        }
    }
    Ok(failed)
}

async fn side_by_side(
    control: &Control,
    call: &mut Call,
    apps: Vec<AppName>,
    (parallel, work): (usize, Work),
) -> Outcome<Vec<String>> {
    // Made at once (they start when polled): a closure kept across an await would not be `Send` for callers.
    let all: Vec<_> = apps
        .into_iter()
        .map(|app| {
            let (stdout, stderr) = (Page::default(), Page::default());
            let mut own = apart(call, &stdout, &stderr);
            async move {
                let outcome = work(control, &mut own, &app).await;
                (app, outcome, stdout.take(), stderr.take())
            }
        })
        .collect();
    let mut ended = futures_util::stream::iter(all).buffer_unordered(parallel);
    let mut failed = Vec::new();
    while let Some((app, outcome, stdout, stderr)) = ended.next().await {
        call.out.bytes(&stdout).await?;
        call.out.error_bytes(&stderr).await?;
        if let Err(failure) = outcome {
            call.out.warn(&failure.message).await?;
            failed.push(app.to_string());
        }
    }
    failed.sort();
    Ok(failed)
}

/// The same call, writing somewhere else.
fn apart(call: &Call, stdout: &Page, stderr: &Page) -> Call {
    let mut out = Out::new(Box::new(stdout.clone()), Box::new(stderr.clone()));
    out.quiet = call.out.quiet;
    Call {
        actor: call.actor.clone(),
        identity: call.identity.clone(),
        command: call.command,
        args: call.args.clone(),
        app: None,
        out,
        stdin: Box::new(tokio::io::empty()),
        terminal: None,
        git_protocol: None,
        folder: None,
        gone: call.gone.clone(),
        force: call.force,
        verdict: 0,
    }
}
