//! One command over the control socket: frames in, frames out, and the way it ends.

use std::future::pending;
use std::io;

use sarsen_control::{Actor, Front, Io, Output, Request, Terminal, TerminalMode, outlets};
use sarsen_runtime::TtySize;
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
    let (stdout, stderr, queue) = outlets(QUEUE);
    let (stdin, source, pulls) = pulled();
    let io = Io {
        stdin: Box::new(stdin),
        stdout: Box::new(stdout),
        stderr: Box::new(stderr),
        gone: gone.clone(),
    };
    // The other end is dropped when the client is gone; the exit code then interests nobody.
    let (code, ended) = oneshot::channel();
    let (mut mode, mut sizes) = (None, None);
    match caller.call {
        Call::Run(run) => {
            let (request, screen) = request(run, caller.actor);
            (mode, sizes) = screen.unzip();
            tasks.spawn(async move { code.send(front.run(request, io).await).ok() });
        }
        Call::Hook(hook) => {
            tasks.spawn(async move { code.send(front.hook(hook.into(), io).await).ok() });
        }
    }
    let mut answer = Answer {
        write,
        queue,
        pulls,
        mode,
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
    mode: Option<watch::Receiver<TerminalMode>>,
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
                mode = changed(&mut self.mode) => {
                    // What was written before the change has to be shown before it.
                    while let Ok(output) = self.queue.try_recv() {
                        self.output(output).await?;
                    }
                    self.frame(Frame::bare(mode)).await?;
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
        let frame = match output {
            Output::Stdout(bytes) => Frame::new(Kind::Stdout, bytes),
            Output::Stderr(bytes) => Frame::new(Kind::Stderr, bytes),
        };
        self.frame(frame).await
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

fn request(run: Run, actor: Actor) -> (Request, Option<Screen>) {
    let (terminal, screen) = run.terminal.map(screen).unzip();
    let request = Request {
        actor,
        argv: run.argv,
        terminal,
        git_protocol: run.git_protocol,
    };
    (request, screen)
}

fn screen(tty: Tty) -> (Terminal, Screen) {
    let (columns, rows) = (tty.columns, tty.rows);
    let (sizes, size) = watch::channel(TtySize { columns, rows });
    let (terminal, mode) = Terminal::new(tty.term, size);
    (terminal, (mode, sizes))
}

/// The next mode; never, without a terminal or once the command let go of it.
async fn changed(mode: &mut Option<watch::Receiver<TerminalMode>>) -> Kind {
    if let Some(receiver) = mode {
        if receiver.changed().await.is_ok() {
            return match *receiver.borrow_and_update() {
                TerminalMode::Raw => Kind::Raw,
                TerminalMode::Line => Kind::Line,
            };
        }
        *mode = None;
    }
    pending().await
}
