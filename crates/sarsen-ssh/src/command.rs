//! One command on one channel: the streams between the client and the work, and the way it ends.

mod pump;

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::server::Msg;
use sarsen_control::{Actor, Front, Io, Request, Terminal, TerminalMode, outlets};
use sarsen_runtime::{StdStream, TtySize};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::line::{LineEditor, LineEnds, Signal};
use crate::stdin::{Feed, WINDOW, pipe};
use pump::Pump;

/// Chunks of at most 32 KiB that may wait for the client.
const QUEUE: usize = 8;

/// A terminal the client asked for.
#[derive(Debug)]
pub(crate) struct Pty {
    pub(crate) term: String,
    pub(crate) size: TtySize,
}

/// A command that is about to start.
pub(crate) struct Order {
    pub(crate) actor: Actor,
    pub(crate) argv: Vec<String>,
    pub(crate) pty: Option<Pty>,
    pub(crate) git_protocol: Option<String>,
    /// Cancelled when the client closes the channel or is gone.
    pub(crate) gone: CancellationToken,
}

/// Where tasks are counted: the connection's, which a shutdown empties one by one, and the server's, which outlives it.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    pub(crate) connection: TaskTracker,
    pub(crate) server: TaskTracker,
}

/// The client's hold on a running command.
pub(crate) struct Running {
    feed: Feed,
    terminal: Option<Typing>,
    gone: CancellationToken,
    interrupt: CancellationToken,
}

struct Typing {
    editor: LineEditor,
    mode: watch::Receiver<TerminalMode>,
    echo: mpsc::Sender<Bytes>,
    size: watch::Sender<TtySize>,
}

impl Tasks {
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let counted = self.server.token();
        self.connection.spawn(async move {
            work.await;
            drop(counted);
        });
    }
}

impl Order {
    /// Starts the work and what carries its streams.
    pub(crate) fn start<F: Front>(
        self,
        front: &F,
        channel: ChannelWriteHalf<Msg>,
        tasks: &Tasks,
    ) -> Running {
        let (feed, stdin) = pipe();
        let (echo, echoed) = mpsc::channel(QUEUE);
        let (code, ended) = oneshot::channel();
        let interrupt = CancellationToken::new();
        let stop = self.gone.child_token();
        let (terminal, typing) = self.pty.map(|pty| open_terminal(pty, echo)).unzip();
        let (stdout, stderr, queue) = outlets(QUEUE, terminal.as_ref());
        let pump = Pump {
            channel,
            queue,
            echoed,
            ended,
            line_ends: terminal.as_ref().map(|_| LineEnds::default()),
            gone: self.gone.clone(),
            interrupt: interrupt.clone(),
            stop: stop.clone(),
        };
        let request = Request {
            actor: self.actor,
            argv: self.argv,
            terminal,
            git_protocol: self.git_protocol,
            folder: None,
            variables: std::collections::BTreeMap::new(),
        };
        let io = Io {
            stdin: Box::new(stdin),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            gone: stop,
        };
        let front = front.clone();
        tasks.spawn(async move {
            // The other end is dropped when the client is gone; the exit code then interests nobody.
            code.send(front.run(request, io).await).ok();
        });
        tasks.spawn(pump.run());
        Running {
            feed,
            terminal: typing,
            gone: self.gone,
            interrupt,
        }
    }
}

impl Running {
    /// Bytes from the client.
    pub(crate) async fn data(&mut self, bytes: &[u8]) {
        match &mut self.terminal {
            Some(typing) if *typing.mode.borrow() == TerminalMode::Line => {
                let typed = typing.editor.type_in(bytes);
                self.feed.push(&typed.input);
                // A client that types faster than it reads loses echo, nothing else.
                typing.echo.try_send(typed.echo.into()).ok();
                match typed.signal {
                    Some(Signal::Interrupt) => self.interrupt.cancel(),
                    Some(Signal::EndOfFile) => self.feed.end(),
                    None => {}
                }
            }
            Some(_) | None => self.feed.push(bytes),
        }
        tokio::select! {
            () = self.feed.pace(bytes.len()) => {}
            () = self.gone.cancelled() => {}
        }
    }

    /// What the client may send next.
    pub(crate) fn window(&self) -> u32 {
        self.feed.window()
    }

    pub(crate) fn eof(&self) {
        self.feed.end();
    }

    pub(crate) fn resize(&self, size: TtySize) {
        if let Some(typing) = &self.terminal {
            typing.size.send_replace(size);
        }
    }

    pub(crate) fn interrupt(&self) {
        self.interrupt.cancel();
    }

    pub(crate) fn hang_up(&self) {
        self.gone.cancel();
    }
}

/// The window of a channel without a command.
pub(crate) const fn idle_window() -> u32 {
    WINDOW
}

/// What is said instead of running anything.
pub(crate) struct Answer {
    pub(crate) stream: StdStream,
    pub(crate) text: String,
    pub(crate) code: u8,
}

impl Answer {
    /// `gone` is as in [`Order`].
    pub(crate) fn give(
        self,
        channel: ChannelWriteHalf<Msg>,
        gone: CancellationToken,
        tasks: &Tasks,
    ) {
        tasks.spawn(async move {
            tokio::select! {
                () = pump::last_words(&channel, self.stream, self.text, self.code) => {}
                () = gone.cancelled() => {}
            }
        });
    }
}

fn open_terminal(pty: Pty, echo: mpsc::Sender<Bytes>) -> (Terminal, Typing) {
    let (size, sizes) = watch::channel(pty.size);
    let (terminal, mode) = Terminal::new(pty.term, sizes);
    let typing = Typing {
        editor: LineEditor::default(),
        mode,
        echo,
        size,
    };
    (terminal, typing)
}
