//! An engine that goes away and comes back, played by a socket between us and it.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt, future};
use sarsen_runtime::{ContainerRuntime, DockerRuntime, RuntimeError};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::lab::{SOCKET, eventually, soon};

/// Passes everything on to the engine until it is dropped.
struct Door {
    path: PathBuf,
    tasks: TaskTracker,
    _open: DropGuard,
}

impl Door {
    fn open(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let open = CancellationToken::new();
        let tasks = TaskTracker::new();
        let shut = open.clone();
        let passages = tasks.clone();
        tasks.spawn(open.clone().run_until_cancelled_owned(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut far = UnixStream::connect(SOCKET).await.unwrap();
                passages.spawn(shut.clone().run_until_cancelled_owned(async move {
                    tokio::io::copy_bidirectional(&mut near, &mut far)
                        .await
                        .ok();
                }));
            }
        }));
        Self {
            path: path.to_owned(),
            tasks,
            _open: open.drop_guard(),
        }
    }
}

impl Door {
    /// Besides the task that waits for connections there is one for each.
    fn is_in_use(&self) -> bool {
        self.tasks.len() > 1
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).unwrap();
    }
}

#[tokio::test]
async fn calls_fail_while_it_is_away_and_work_again_after() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.sock");
    let docker = DockerRuntime::connect(&path).unwrap();
    let away = async || {
        let outcome = docker.ping().await;
        assert!(
            matches!(outcome, Err(RuntimeError::Unreachable(_))),
            "{outcome:?}"
        );
        let outcome = docker.info().await;
        assert!(
            matches!(outcome, Err(RuntimeError::Unreachable(_))),
            "{outcome:?}"
        );
        let outcome = docker.events(None).await.map(drop);
        assert!(
            matches!(outcome, Err(RuntimeError::Unreachable(_))),
            "{outcome:?}"
        );
    };
    away().await;

    let door = Door::open(&path);
    docker.ping().await.unwrap();
    let info = docker.info().await.unwrap();
    assert!(docker.cpus().await.unwrap() > 0);
    assert!(
        info.buildkit && info.api_version.starts_with("1."),
        "{info:?}"
    );
    let mut events = docker.events(None).await.unwrap();
    let lost = async {
        eventually("the stream asks", async || door.is_in_use().then_some(())).await;
        drop(door);
    };
    let (end, ()) = soon("the end of the events", future::join(events.next(), lost)).await;
    assert!(
        matches!(end, Some(Err(RuntimeError::Unreachable(_)))),
        "{end:?}"
    );
    assert!(events.next().await.is_none());
    away().await;

    let _door = Door::open(&path);
    assert_eq!(docker.info().await.unwrap(), info);
}
