//! One command over the control socket: frames in, frames out, and the way it ends.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;

use sarsen_control::{
    Actor, Front, HookCall, Io, Output, Request, Terminal, TerminalMode, outlets,
};
use sarsen_runtime::{StdStream, TtySize};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stdin::{Source, pulled};
use crate::wire::{Call, Frame, Kind, Run, Tty};

/// Chunks of at most 32 KiB that may wait for the client.
const QUEUE: usize = 8;
/// The work panicked.
const BROKEN: u8 = 1;

/// Has the call carried out, and stays until the client knows the exit code or is gone, which cancels `gone`.
pub(super) async fn carry<F: Front>(
    stream: UnixStream,
    caller: Caller,
    front: F,
    tasks: &TaskTracker,
    gone: CancellationToken,
) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let (work, screen) = work(caller);
    let terminal = match &work {
        Work::Run(request) => request.terminal.as_ref(),
        Work::Hook(_) => None,
    };
    let (stdout, stderr, queue) = outlets(QUEUE, terminal);
    let (stdin, source, pulls) = pulled();
    let io = Io {
        stdin: Box::new(stdin),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        gone: gone.clone(),
    };
    let (code, ended) = oneshot::channel();
    tasks.spawn(async move {
        let exit = match work {
            Work::Run(request) => front.run(request, io).await,
            Work::Hook(call) => front.hook(call, io).await,
        };
        // The other end is dropped when the client is gone; the exit code then interests nobody.
        code.send(exit).ok();
    });
    let (modes, sizes) = screen.unzip();
    let mut answer = Answer {
        write,
        queue,
        pulls,
        modes,
        mode: TerminalMode::Line,
    };
    tokio::select! {
        told = answer.tell(ended) => told,
        heard = listen(read, source, sizes) => {
            gone.cancel();
            heard
        }
        () = gone.cancelled() => Ok(()),
    }
}

/// Who calls, and what for.
pub(super) struct Caller {
    pub(super) actor: Actor,
    pub(super) call: Call,
}

/// Everything on its way to the client.
struct Answer {
    write: OwnedWriteHalf,
    queue: mpsc::Receiver<Output>,
    pulls: mpsc::Receiver<()>,
    modes: Option<watch::Receiver<TerminalMode>>,
    /// As the client knows it.
    mode: TerminalMode,
}

enum Work {
    Run(Request),
    Hook(HookCall),
}

type Screen = (watch::Receiver<TerminalMode>, watch::Sender<TtySize>);

impl Answer {
    /// Until the exit code is told.
    async fn tell(&mut self, mut ended: oneshot::Receiver<u8>) -> io::Result<()> {
        let mut code = None;
        // All is written; the command itself may go on.
        let mut silent = false;
        loop {
            if let (Some(code), true) = (code, silent) {
                return self.frame(Frame::new(Kind::Exit, [code])).await;
            }
            tokio::select! {
                biased;
                mode = changed(&mut self.modes) => {
                    // What was written before the change has to be shown before it.
                    while let Ok(output) = self.queue.try_recv() {
                        self.output(output).await?;
                    }
                    self.enter(mode).await?;
                }
                exit = &mut ended, if code.is_none() => {
                    code = Some(exit.unwrap_or(BROKEN));
                    // Whatever the command left behind may not keep the client waiting.
                    self.queue.close();
                }
                Some(()) = self.pulls.recv() => self.frame(Frame::bare(Kind::Pull)).await?,
                output = self.queue.recv(), if !silent => match output {
                    Some(output) => self.output(output).await?,
                    None => silent = true,
                },
            }
        }
    }

    async fn output(&mut self, output: Output) -> io::Result<()> {
        self.enter(output.mode).await?;
        let kind = match output.stream {
            StdStream::Stdout => Kind::Stdout,
            StdStream::Stderr => Kind::Stderr,
        };
        self.frame(Frame::new(kind, output.bytes)).await
    }

    async fn enter(&mut self, mode: TerminalMode) -> io::Result<()> {
        if mode == self.mode {
            return Ok(());
        }
        self.mode = mode;
        let kind = match mode {
            TerminalMode::Raw => Kind::Raw,
            TerminalMode::Line => Kind::Line,
        };
        self.frame(Frame::bare(kind)).await
    }

    async fn frame(&mut self, frame: Frame) -> io::Result<()> {
        frame.send(&mut self.write).await
    }
}

/// Until the client closes its side, or says what makes no sense.
async fn listen(
    mut read: OwnedReadHalf,
    source: Source,
    sizes: Option<watch::Sender<TtySize>>,
) -> io::Result<()> {
    let mut source = Some(source);
    loop {
        let frame = Frame::receive(&mut read).await?;
        let sensible = match frame.kind {
            Kind::Stdin => source
                .as_ref()
                .is_some_and(|source| source.give(frame.payload)),
            Kind::StdinEof => source.take().is_some(),
            Kind::Resize => {
                if let (Some(sizes), Some((columns, rows))) = (&sizes, frame.size()) {
                    sizes.send_replace(TtySize { columns, rows });
                }
                true
            }
            Kind::Hello
            | Kind::Stdout
            | Kind::Stderr
            | Kind::Exit
            | Kind::Pull
            | Kind::Raw
            | Kind::Line => false,
        };
        if !sensible {
            return Err(io::Error::other("the client does not keep to the protocol"));
        }
    }
}

fn work(caller: Caller) -> (Work, Option<Screen>) {
    let run = match caller.call {
        Call::Run(run) => run,
        // Files of this host are not a visitor's to name, and nobody else is a visitor's to be.
        Call::Visit(visit) => Run {
            folder: None,
            variables: BTreeMap::new(),
            ..visit.run
        },
        Call::Hook(hook) => return (Work::Hook(hook.into()), None),
    };
    let (terminal, screen) = run.terminal.map(screen).unzip();
    let request = Request {
        actor: caller.actor,
        argv: run.argv,
        terminal,
        git_protocol: run.git_protocol,
        folder: run.folder,
        variables: run.variables,
    };
    (Work::Run(request), screen)
}

fn screen(tty: Tty) -> (Terminal, Screen) {
    let (columns, rows) = (tty.columns, tty.rows);
    let (sizes, size) = watch::channel(TtySize { columns, rows });
    let (terminal, modes) = Terminal::new(tty.term, size);
    (terminal, (modes, sizes))
}

/// The next mode; never, without a terminal or once the command let go of it.
async fn changed(modes: &mut Option<watch::Receiver<TerminalMode>>) -> TerminalMode {
    if let Some(receiver) = modes {
        if receiver.changed().await.is_ok() {
            return *receiver.borrow_and_update();
        }
        *modes = None;
    }
    pending().await
}
