//! Output and input: logs, attached containers, commands.

use std::time::Duration;

use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, LogsOptionsBuilder, ResizeContainerTTYOptionsBuilder,
    ResizeExecOptionsBuilder,
};
use bytes::Bytes;
use futures_util::future::{self, BoxFuture, Either};
use futures_util::{Stream, StreamExt, stream};
use sarsen_domain::ContainerId;

use super::error::engine_error;
use super::{DockerRuntime, hijack};
use crate::{
    Attached, EngineStream, Exec, ExecId, ExecSpec, LogChunk, LogOptions, Result, RuntimeError,
    StdStream, TtySize,
};

/// First and longest pause between two questions whether a command has ended.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(200));

impl DockerRuntime {
    /// For containers without a terminal: with one, output that begins with a byte below 3 would be lost.
    pub(super) async fn container_logs(
        &self,
        id: &ContainerId,
        options: LogOptions,
    ) -> Result<EngineStream<LogChunk>> {
        // The stream below asks only when it is polled: what is not there should be said at once.
        self.inspect_container(id.as_str()).await?;
        let tail = options
            .tail
            .map_or("all".to_owned(), |lines| lines.to_string());
        let query = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(options.follow)
            .timestamps(options.timestamps)
            .tail(&tail)
            .build();
        let logs = self.client().await?.logs(id.as_str(), Some(query));
        Ok(chunks(logs))
    }

    pub(super) async fn attach_container(&self, id: &ContainerId) -> Result<Attached> {
        if self.inspect_container(id.as_str()).await?.tty {
            let path = format!("/containers/{id}/attach?stream=1&stdin=1&stdout=1&stderr=1");
            return hijack::terminal(&self.socket, &path, Bytes::new()).await;
        }
        let options = AttachContainerOptionsBuilder::new()
            .stream(true)
            .stdin(true)
            .stdout(true)
            .stderr(true)
            .build();
        let client = self.client().await?;
        let attached = client.attach_container(id.as_str(), Some(options));
        let AttachContainerResults { output, input } = attached.await.map_err(engine_error)?;
        Ok(Attached {
            stdin: input,
            output: chunks(output),
        })
    }

    pub(super) async fn resize_container(&self, id: &ContainerId, size: TtySize) -> Result<()> {
        let options = ResizeContainerTTYOptionsBuilder::new()
            .h(i32::from(size.rows))
            .w(i32::from(size.columns))
            .build();
        let client = self.client().await?;
        let resized = client.resize_container_tty(id.as_str(), options);
        resized.await.map_err(engine_error)
    }

    pub(super) async fn exec_in(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Exec> {
        let client = self.client().await?;
        let made = client.create_exec(id.as_str(), exec_options(spec)).await;
        let exec = ExecId(made.map_err(engine_error)?.id);
        let streams = if spec.tty {
            self.start_terminal(client, &exec, spec.size).await?
        } else {
            start_piped(&client, &exec).await?
        };
        Ok(Exec { id: exec, streams })
    }

    async fn start_terminal(
        &self,
        client: Docker,
        exec: &ExecId,
        size: Option<TtySize>,
    ) -> Result<Attached> {
        let path = format!("/exec/{}/start", exec.0);
        // Engines since API 1.42 begin with this size; older ones pass over it.
        let console = size.map(|size| [size.rows, size.columns]);
        let body = serde_json::json!({"Detach": false, "Tty": true, "ConsoleSize": console});
        let body = body.to_string().into();
        let mut streams = hijack::terminal(&self.socket, &path, body).await?;
        if let Some(size) = size {
            let exec = exec.clone();
            let resize = async move {
                if let Err(error) = resize_exec(&client, &exec, size).await {
                    tracing::debug!("a terminal did not get its first size: {error}");
                }
            };
            streams.output = resized(streams.output, Box::pin(resize)).await;
        }
        Ok(streams)
    }

    /// The output of a command may end a little before the engine knows its exit code.
    pub(super) async fn exec_code(&self, exec: &ExecId) -> Result<i64> {
        let client = self.client().await?;
        let (mut pause, longest) = PAUSES;
        loop {
            let answer = client.inspect_exec(&exec.0).await.map_err(engine_error)?;
            match (answer.running, answer.exit_code) {
                (Some(false), Some(code)) => return Ok(code),
                (Some(false), None) => {
                    let words = "the command has not been started".to_owned();
                    return Err(RuntimeError::Engine(words));
                }
                _ => tokio::time::sleep(pause).await,
            }
            pause = longest.min(pause * 2);
        }
    }
}

pub(super) async fn resize_exec(client: &Docker, exec: &ExecId, size: TtySize) -> Result<()> {
    let options = ResizeExecOptionsBuilder::new()
        .h(i32::from(size.rows))
        .w(i32::from(size.columns))
        .build();
    let resized = client.resize_exec(&exec.0, options);
    resized.await.map_err(engine_error)
}

fn exec_options(spec: &ExecSpec) -> CreateExecOptions<String> {
    CreateExecOptions {
        attach_stdin: Some(spec.stdin),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(spec.tty),
        env: Some(spec.env.clone()),
        cmd: Some(spec.command.clone()),
        user: spec.user.clone(),
        working_dir: spec.workdir.clone(),
        ..CreateExecOptions::default()
    }
}

async fn start_piped(client: &Docker, exec: &ExecId) -> Result<Attached> {
    let options = StartExecOptions::default();
    let started = client.start_exec(&exec.0, Some(options)).await;
    match started.map_err(engine_error)? {
        StartExecResults::Attached { output, input } => Ok(Attached {
            stdin: input,
            output: chunks(output),
        }),
        StartExecResults::Detached => {
            let words = "the engine detached a command that was to be attached".to_owned();
            Err(RuntimeError::Engine(words))
        }
    }
}

fn chunks(
    output: impl Stream<Item = std::result::Result<LogOutput, Error>> + Send + 'static,
) -> EngineStream<LogChunk> {
    Box::pin(output.map(|item| item.map(chunk).map_err(engine_error)))
}

fn chunk(output: LogOutput) -> LogChunk {
    let (stream, bytes) = match output {
        LogOutput::StdErr { message } => (StdStream::Stderr, message),
        LogOutput::StdOut { message }
        | LogOutput::StdIn { message }
        | LogOutput::Console { message } => (StdStream::Stdout, message),
    };
    LogChunk { stream, bytes }
}

/// Waits until a terminal has its size, or the command has said something. The engine answers a resize when the
/// command has started; for one that cannot start it does so after 10 s, which nobody should have to wait for.
async fn resized(
    mut output: EngineStream<LogChunk>,
    resize: BoxFuture<'static, ()>,
) -> EngineStream<LogChunk> {
    match future::select(resize, output.next()).await {
        Either::Left(((), _no_output_yet)) => output,
        Either::Right((first, resize)) => {
            let output = stream::iter(first).chain(output);
            alongside(Box::pin(output), resize)
        }
    }
}

/// Does a piece of work while a stream is read, and leaves it when the stream ends.
fn alongside(
    output: EngineStream<LogChunk>,
    work: BoxFuture<'static, ()>,
) -> EngineStream<LogChunk> {
    enum Step {
        Output(Result<LogChunk>),
        Worked,
        End,
    }
    let output = output.map(Step::Output).chain(stream::iter([Step::End]));
    let work = stream::once(work).map(|()| Step::Worked);
    let both = stream::select(output, work);
    let both = both.take_while(|step| future::ready(!matches!(step, Step::End)));
    Box::pin(both.filter_map(async |step| match step {
        Step::Output(item) => Some(item),
        Step::Worked | Step::End => None,
    }))
}
