//! Carries a command's output to the client, in order and no faster than the client takes it, then its exit code.

use std::future::pending;

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::server::Msg;
use sarsen_control::{Output, TerminalMode};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::line::LineEnds;

const STDERR: u32 = 1;
/// What a shell says of a command that Ctrl-C ended.
const INTERRUPTED: u8 = 130;
/// The work panicked.
const BROKEN: u8 = 1;

pub(super) struct Pump {
    pub(super) channel: ChannelWriteHalf<Msg>,
    pub(super) queue: mpsc::Receiver<Output>,
    pub(super) echoed: mpsc::Receiver<Bytes>,
    pub(super) ended: oneshot::Receiver<u8>,
    /// Set when there is a terminal.
    pub(super) mode: Option<watch::Receiver<TerminalMode>>,
    /// The client closed the channel, or is gone.
    pub(super) gone: CancellationToken,
    /// The client wants the command to stop and is still there.
    pub(super) interrupt: CancellationToken,
    /// What the command watches.
    pub(super) stop: CancellationToken,
}

/// How output has to look.
struct Style {
    convert: Option<LineEnds>,
}

impl Pump {
    pub(super) async fn run(mut self) {
        let (gone, interrupt) = (self.gone.clone(), self.interrupt.clone());
        let carry = async {
            let code = tokio::select! {
                code = self.forward() => code,
                () = interrupt.cancelled() => {
                    self.stop.cancel();
                    self.last_echo().await;
                    INTERRUPTED
                }
            };
            finish(&self.channel, code).await;
        };
        // A window that a gone client never opens again would hold us for good.
        tokio::select! {
            () = carry => {}
            () = gone.cancelled() => {}
        }
    }

    /// Until the command has ended and all it wrote is sent.
    async fn forward(&mut self) -> u8 {
        let mut style = Style {
            convert: self.mode.as_ref().map(|_| LineEnds::default()),
        };
        let mut code = None;
        loop {
            tokio::select! {
                biased;
                mode = changed(&mut self.mode) => {
                    // What was written before the change still has the old looks.
                    while let Ok(output) = self.queue.try_recv() {
                        self.send(style.apply(output)).await;
                    }
                    style.convert = (mode == TerminalMode::Line).then(LineEnds::default);
                }
                ended = &mut self.ended, if code.is_none() => {
                    code = Some(ended.unwrap_or(BROKEN));
                    // Whatever the command left behind may not keep the client waiting.
                    self.queue.close();
                }
                Some(echo) = self.echoed.recv() => self.send(Output::Stdout(echo)).await,
                output = self.queue.recv() => match output {
                    Some(output) => self.send(style.apply(output)).await,
                    None => break,
                }
            }
        }
        match code {
            Some(code) => code,
            None => (&mut self.ended).await.unwrap_or(BROKEN),
        }
    }

    async fn send(&self, output: Output) {
        send(&self.channel, output).await;
    }

    async fn last_echo(&mut self) {
        while let Ok(echo) = self.echoed.try_recv() {
            self.send(Output::Stdout(echo)).await;
        }
    }
}

impl Style {
    fn apply(&mut self, output: Output) -> Output {
        match (&mut self.convert, output) {
            (Some(ends), Output::Stdout(bytes)) => Output::Stdout(ends.convert(bytes)),
            (Some(ends), Output::Stderr(bytes)) => Output::Stderr(ends.convert(bytes)),
            (None, output) => output,
        }
    }
}

/// One text, then the end.
pub(super) async fn last_words(channel: &ChannelWriteHalf<Msg>, text: Output, code: u8) {
    send(channel, text).await;
    finish(channel, code).await;
}

async fn send(channel: &ChannelWriteHalf<Msg>, output: Output) {
    let sent = match output {
        Output::Stdout(bytes) => channel.data_bytes(bytes).await,
        Output::Stderr(bytes) => channel.extended_data_bytes(STDERR, bytes).await,
    };
    if let Err(error) = sent {
        tracing::debug!(%error, "output for a client that is gone");
    }
}

/// The order clients expect: exit status, end of output, close.
async fn finish(channel: &ChannelWriteHalf<Msg>, code: u8) {
    let ended = async {
        channel.exit_status(u32::from(code)).await?;
        channel.eof().await?;
        channel.close().await
    };
    if let Err(error) = ended.await {
        tracing::debug!(%error, "exit code for a client that is gone");
    }
}

/// The next mode; never, without a terminal or once the command let go of it.
async fn changed(mode: &mut Option<watch::Receiver<TerminalMode>>) -> TerminalMode {
    if let Some(receiver) = mode {
        if receiver.changed().await.is_ok() {
            return *receiver.borrow_and_update();
        }
        *mode = None;
    }
    pending().await
}
