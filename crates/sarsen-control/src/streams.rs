//! Between a caller and a process in a container: input one way, output the other, terminal sizes as they change.

use futures_util::StreamExt;
use sarsen_domain::ContainerId;
use sarsen_runtime::{Attached, ExecId, Runtime, StdStream};
use tokio::io::AsyncWriteExt;

use crate::failure::{Failure, Outcome};
use crate::session::Terminal;
use crate::table::Call;

/// Whose terminal it is.
pub(crate) enum Process {
    /// A container's first process.
    Container(ContainerId),
    /// A command in a container.
    Command(ExecId),
}

/// Carries bytes both ways until the process's output ends or the caller is gone.
pub(crate) async fn carry(
    runtime: &Runtime,
    call: &mut Call,
    process: Process,
    streams: Attached,
) -> Outcome {
    let Attached {
        mut stdin,
        mut output,
    } = streams;
    // The terminal is the process's own now: it echoes, and it says what Ctrl-C means.
    let _raw = call.terminal.as_ref().map(Terminal::raw);
    let mut source = call.take_stdin();
    let input = async move {
        // A process may close its input early; what it prints still counts.
        if let Err(error) = tokio::io::copy(&mut source, &mut stdin).await {
            tracing::debug!(%error, "input ended");
        }
        if let Err(error) = stdin.shutdown().await {
            tracing::debug!(%error, "input could not be closed");
        }
        std::future::pending::<()>().await;
    };
    let mut size = call.terminal.as_ref().map(|terminal| terminal.size.clone());
    let resizes = async move {
        while let Some(receiver) = &mut size {
            if receiver.changed().await.is_err() {
                break;
            }
            let now = *receiver.borrow_and_update();
            let resized = match &process {
                Process::Container(container) => runtime.resize(container, now).await,
                Process::Command(exec) => runtime.resize_exec(exec, now).await,
            };
            if let Err(error) = resized {
                tracing::debug!(%error, "the terminal could not be resized");
            }
        }
        std::future::pending::<()>().await;
    };
    let gone = call.gone.clone();
    let out = &mut call.out;
    let printing = async move {
        while let Some(chunk) = output.next().await {
            let chunk = chunk?;
            match chunk.stream {
                StdStream::Stdout => out.bytes(&chunk.bytes).await?,
                StdStream::Stderr => out.error_bytes(&chunk.bytes).await?,
            }
        }
        Ok(())
    };
    tokio::select! {
        printed = printing => printed,
        () = input => Ok(()),
        () = resizes => Ok(()),
        () = gone.cancelled() => Err(Failure::silent(1)),
    }
}
