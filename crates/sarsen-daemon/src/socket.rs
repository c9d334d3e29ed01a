//! The control socket: the front door for whoever may open it, which is the local command line, plugin scripts and git's hooks.

mod conversation;
mod stdin;
#[cfg(test)]
pub(crate) mod tests;

use std::io;
use std::time::Duration;

use nix::unistd::{Uid, User};
use sarsen_control::{Actor, Front};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::wire::{Call, Frame, Hello, Kind, VERSION};
use conversation::{Caller, carry};

/// Far more than scripts that call each other need; a runaway recursion ends here and not in memory.
const MOST_CONNECTIONS: usize = 1000;
/// A client says hello at once.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
const BACK_OFF: Duration = Duration::from_millis(100);

/// Serves until `shutdown`, then waits for the commands that run. Dropping the future ends those, too.
pub async fn serve<F: Front>(listener: UnixListener, front: F, shutdown: CancellationToken) {
    let abandoned = CancellationToken::new();
    let _abandoned_on_drop = abandoned.clone().drop_guard();
    let tasks = TaskTracker::new();
    tokio::select! {
        () = accept(&listener, &front, &tasks, &abandoned) => {}
        () = shutdown.cancelled() => {}
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn accept<F: Front>(
    listener: &UnixListener,
    front: &F,
    tasks: &TaskTracker,
    abandoned: &CancellationToken,
) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let connection = connection(
                    stream,
                    front.clone(),
                    tasks.clone(),
                    abandoned.child_token(),
                );
                tasks.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "control connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the control socket");
                sleep(BACK_OFF).await;
            }
        }
    }
}

async fn connection<F: Front>(
    mut stream: UnixStream,
    front: F,
    tasks: TaskTracker,
    gone: CancellationToken,
) -> io::Result<()> {
    let uid = Uid::from_raw(stream.peer_cred()?.uid());
    let received = timeout(HELLO_TIMEOUT, Frame::receive(&mut stream)).await?;
    let hello = match received.and_then(|frame| hello(&frame)) {
        Ok(hello) => hello,
        Err(error) => return refuse(stream, &error.to_string()).await,
    };
    // Each command is two tasks: this one and its work.
    if tasks.len() > 2 * MOST_CONNECTIONS {
        return refuse(stream, "the daemon is busy with too many commands").await;
    }
    let actor = match &hello.call {
        // Whoever may open the socket may do everything, so may say as well to act for somebody who may do less.
        Call::Visit(visit) => match front.vouched(&visit.fingerprint, visit.source).await {
            Some(actor) => actor,
            None => return refuse(stream, "this key may not log in").await,
        },
        Call::Run(_) | Call::Hook(_) => Actor::Local {
            user: name_of(uid).await,
        },
    };
    let caller = Caller {
        actor,
        call: hello.call,
    };
    carry(stream, caller, front, &tasks, gone).await
}

fn hello(frame: &Frame) -> io::Result<Hello> {
    let other_version = || {
        io::Error::other("this client and the daemon are of different versions: restart the daemon")
    };
    if frame.kind != Kind::Hello {
        return Err(other_version());
    }
    let hello: Hello = serde_json::from_slice(&frame.payload).map_err(|_| other_version())?;
    if hello.version != VERSION {
        return Err(other_version());
    }
    Ok(hello)
}

async fn refuse(mut stream: UnixStream, reason: &str) -> io::Result<()> {
    let text = format!(" !     {reason}\n");
    Frame::new(Kind::Stderr, text).send(&mut stream).await?;
    Frame::new(Kind::Exit, [1]).send(&mut stream).await
}

/// The login name, or the number when there is none. The look-up may ask a directory service, so it blocks elsewhere.
async fn name_of(uid: Uid) -> String {
    if uid.is_root() {
        return "root".to_owned();
    }
    let found = tokio::task::spawn_blocking(move || User::from_uid(uid)).await;
    match found {
        Ok(Ok(Some(user))) => user.name,
        Ok(Ok(None) | Err(_)) | Err(_) => uid.to_string(),
    }
}
