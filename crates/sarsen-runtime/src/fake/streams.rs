//! What the fake's containers and commands say, and its events: followers look again after each change.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sarsen_domain::ContainerId;
use tokio::io::{AsyncReadExt, DuplexStream, ReadHalf, duplex, sink, split};

use super::state::{State, gone_away};
use super::{FakeRuntime, ScriptedExec};
use crate::{
    Attached, ContainerEvent, ContainerStatus, EngineStream, Exec, ExecId, ExecSpec, LogChunk,
    LogOptions, Result, RuntimeError, StdStream,
};

/// The size of the pipes to a program's standard input.
const PIPE: usize = 64 * 1024;

/// What a follower finds when it looks.
enum Look<T> {
    Item(T),
    NotYet,
    End,
    Failed(RuntimeError),
}

impl FakeRuntime {
    pub(super) fn event_stream(&self, since: Option<i64>) -> EngineStream<ContainerEvent> {
        let from = match since {
            None => self.state().events.len(),
            Some(_) => 0,
        };
        let after = since.unwrap_or(i64::MIN);
        self.follow(from, move |state, position| {
            if state.away {
                return Look::Failed(gone_away());
            }
            match state.events.get(*position) {
                Some(event) => {
                    *position += 1;
                    Look::Item((event.at > after).then(|| event.clone()))
                }
                None => Look::NotYet,
            }
        })
        .filter_map(async |item| item.transpose())
        .boxed()
    }

    pub(super) fn log_stream(
        &self,
        id: &ContainerId,
        options: LogOptions,
    ) -> Result<EngineStream<LogChunk>> {
        let logs = self.state().container(id)?.logs.len();
        let tail = options.tail.and_then(|lines| usize::try_from(lines).ok());
        let from = tail.map_or(0, |lines| logs.saturating_sub(lines));
        Ok(self.output_of(id, from, options))
    }

    /// The container's output from this position on. Lines carry no real times: a fixed one stands for all.
    fn output_of(
        &self,
        id: &ContainerId,
        from: usize,
        options: LogOptions,
    ) -> EngineStream<LogChunk> {
        let id = id.clone();
        self.follow(from, move |state, position| {
            let Ok(container) = state.container(&id) else {
                return Look::End;
            };
            if let Some(chunk) = container.logs.get(*position) {
                *position += 1;
                return Look::Item(stamped(chunk, options));
            }
            let ended = matches!(
                container.info.status,
                ContainerStatus::Exited | ContainerStatus::Dead
            );
            if options.follow && !ended {
                Look::NotYet
            } else {
                Look::End
            }
        })
        .boxed()
    }

    pub(super) fn attach_container(&self, id: &ContainerId) -> Result<Attached> {
        let (logs, reads, exit) = self.look(|state| {
            let container = state.container(id)?;
            let behaviour = state.behaviour(&container.info.image);
            let reads = container.spec.stdin && behaviour.echo_stdin;
            Ok((container.logs.len(), reads, behaviour.exit.unwrap_or(0)))
        })?;
        let options = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        let output = self.output_of(id, logs, options);
        if !reads {
            let stdin = Box::pin(sink());
            return Ok(Attached { stdin, output });
        }
        let (ours, theirs) = duplex(PIPE);
        self.tasks
            .spawn(self.clone().echo(id.clone(), theirs, exit));
        Ok(Attached {
            stdin: Box::pin(ours),
            output,
        })
    }

    /// The program that gives back what it reads.
    async fn echo(self, id: ContainerId, mut stdin: DuplexStream, exit: i64) {
        let mut buffer = vec![0; 4096];
        while let Ok(count @ 1..) = stdin.read(&mut buffer).await {
            let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            let written = self.change(|state| state.write(&id, StdStream::Stdout, bytes));
            if written.is_err() {
                return;
            }
        }
        // Stopped or removed meanwhile: then there is nothing left to end.
        let running = |state: &State| state.container(&id).is_ok_and(|c| c.info.is_running());
        if running(&self.state()) {
            self.exit(&id, exit).ok();
        }
    }

    pub(super) fn exec_in(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Exec> {
        let (exec, script) = self.change(|state| {
            let container = state.container(id)?;
            if !container.info.is_running() {
                return Err(RuntimeError::Conflict(format!(
                    "Container {id} is not running"
                )));
            }
            let behaviour = state.behaviour(&container.info.image);
            let words = spec.command.join(" ");
            let mut scripts = behaviour.execs.into_iter();
            let script = scripts.find(|script| words.contains(&script.matches));
            let exec = ExecId(state.fresh_id());
            state.execs.insert(exec.0.clone(), None);
            Ok((exec, script.unwrap_or_default()))
        })?;
        let (ours, theirs) = duplex(PIPE);
        let (theirs, _) = split(theirs);
        let stdin = spec.stdin.then_some(theirs);
        let output = self.scripted(exec.clone(), script, stdin);
        let streams = Attached {
            stdin: Box::pin(ours),
            output,
        };
        Ok(Exec { id: exec, streams })
    }

    /// The output of a scripted command; its exit code is known when the stream has ended.
    fn scripted(
        &self,
        exec: ExecId,
        script: ScriptedExec,
        stdin: Option<ReadHalf<DuplexStream>>,
    ) -> EngineStream<LogChunk> {
        let fake = self.clone();
        let work = async move {
            let mut chunks = Vec::new();
            let mut say = |stream, bytes: Bytes| {
                if !bytes.is_empty() {
                    chunks.push(Ok(LogChunk { stream, bytes }));
                }
            };
            say(StdStream::Stdout, script.output.into());
            say(StdStream::Stderr, script.error_output.into());
            if let (Some(mut stdin), true) = (stdin, script.echo_stdin) {
                let mut read = Vec::new();
                // The other end of an in-memory pipe cannot fail, only close.
                stdin.read_to_end(&mut read).await.ok();
                say(StdStream::Stdout, read.into());
            }
            fake.change(|state| state.execs.insert(exec.0, Some(script.exit)));
            stream::iter(chunks)
        };
        Box::pin(stream::once(work).flatten())
    }

    pub(super) fn exec_code(&self, exec: &ExecId) -> Result<Option<i64>> {
        let code = self.look(|state| state.execs.get(&exec.0).copied());
        code.ok_or_else(|| RuntimeError::NotFound(format!("No such exec instance: {}", exec.0)))
    }

    pub(super) async fn wait_for_exec(&self, exec: &ExecId) -> Result<i64> {
        let mut changes = self.changed.subscribe();
        loop {
            if let Some(code) = self.exec_code(exec)? {
                return Ok(code);
            }
            changes.changed().await.map_err(|_closed| gone_away())?;
        }
    }

    /// Looks at the state from a position on, after each change, until the end.
    fn follow<T, F>(
        &self,
        from: usize,
        look: F,
    ) -> impl futures_util::Stream<Item = Result<T>> + use<T, F>
    where
        F: Fn(&State, &mut usize) -> Look<T> + Clone,
    {
        let changes = self.changed.subscribe();
        let start = Some((self.clone(), changes, from));
        stream::unfold(start, move |follower| {
            let look = look.clone();
            async move {
                let (fake, mut changes, mut position) = follower?;
                loop {
                    let found = look(&fake.state(), &mut position);
                    match found {
                        Look::Item(item) => {
                            return Some((Ok(item), Some((fake, changes, position))));
                        }
                        Look::Failed(error) => return Some((Err(error), None)),
                        Look::End => return None,
                        Look::NotYet => changes.changed().await.ok()?,
                    }
                }
            }
        })
    }
}

fn stamped(chunk: &LogChunk, options: LogOptions) -> LogChunk {
    if !options.timestamps {
        return chunk.clone();
    }
    let bytes = [b"2000-01-01T00:00:00.000000000Z ", chunk.bytes.as_ref()].concat();
    LogChunk {
        stream: chunk.stream,
        bytes: bytes.into(),
    }
}
