//! How a conversation ends when nobody ends it properly.

use std::fs;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::task::TaskTracker;

use super::*;
use crate::quarantine::Pushes;

/// A client that neither says anything nor leaves.
struct Silent;

impl AsyncRead for Silent {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

fn io(stdout: impl AsyncWrite + Send + Unpin + 'static) -> GitIo {
    GitIo {
        stdin: Box::new(Silent),
        stdout: Box::new(stdout),
        stderr: Box::new(tokio::io::sink()),
        gone: CancellationToken::new(),
    }
}

/// A git that runs this instead; only a test may have git start a shell.
fn alias(home: &std::path::Path, tasks: &TaskTracker, script: &str) -> Git {
    Git::new(home, tasks, "run", "-c")
        .arg(format!("alias.run=!{script}"))
        .arg("run")
}

#[tokio::test]
async fn whoever_stays_behind_is_not_waited_for() {
    let (home, tasks) = (tempfile::tempdir().unwrap(), TaskTracker::new());
    let (ours, mut theirs) = tokio::io::duplex(100);
    let git = alias(home.path(), &tasks, "sleep 60 & echo done; exit 3; :");
    assert_eq!(converse(&git, io(ours), None).await.unwrap(), 3);
    let mut said = String::new();
    theirs.read_to_string(&mut said).await.unwrap();
    assert_eq!(said, "done\n");
}

#[tokio::test]
async fn an_abandoned_conversation_is_stopped_and_cleaned_up() {
    let (home, tasks) = (tempfile::tempdir().unwrap(), TaskTracker::new());
    let unfinished = home.path().join("objects/tmp_objdir-incoming-x");
    fs::create_dir_all(&unfinished).unwrap();
    let (ours, mut theirs) = tokio::io::duplex(100);
    let git = alias(home.path(), &tasks, "echo started; sleep 60; :");
    let active = Pushes::default().begin(home.path());
    let conversation = converse(&git, io(ours), Some(active));
    tokio::select! {
        end = conversation => panic!("{end:?}"),
        started = theirs.read_u8() => assert_eq!(started.unwrap(), b's'),
    }
    tasks.close();
    tasks.wait().await;
    assert!(!unfinished.exists());
}

#[tokio::test]
async fn a_client_that_no_longer_reads_is_gone() {
    let (home, tasks) = (tempfile::tempdir().unwrap(), TaskTracker::new());
    let (ours, theirs) = tokio::io::duplex(100);
    drop(theirs);
    let git = alias(home.path(), &tasks, "echo x; sleep 60; :");
    let end = converse(&git, io(ours), None).await;
    assert!(matches!(end, Err(GitError::Gone)), "{end:?}");
}

#[tokio::test]
async fn what_ignores_the_first_signal_gets_the_second() {
    let (home, tasks) = (tempfile::tempdir().unwrap(), TaskTracker::new());
    let (ours, mut theirs) = tokio::io::duplex(100);
    let git = alias(
        home.path(),
        &tasks,
        "trap : TERM; echo x; while :; do sleep 1; done; :",
    );
    let io = io(ours);
    let gone = io.gone.clone();
    let leave = async {
        theirs.read_u8().await.unwrap();
        gone.cancel();
        pending::<()>().await;
    };
    tokio::select! {
        end = converse(&git, io, None) => assert!(matches!(end, Err(GitError::Gone)), "{end:?}"),
        () = leave => {}
    }
}

const LONG: &str = "version=1:version=1:version=1:version=1:version=1:version=1:vers=1";

#[test]
fn only_known_protocol_words_are_passed_on() {
    let git = |protocol| {
        let git = Git::new(std::path::Path::new("/"), &TaskTracker::new(), "x", "x");
        format!("{:?}", with_protocol(git, protocol)).contains("GIT_PROTOCOL")
    };
    assert!(git(Some("version=2:x")));
    assert!(!git(Some("version=2;x")) && !git(Some(LONG)) && !git(None));
}
