//! Carries a command's output to the client, in order and no faster than the client takes it, then its exit code.

use bytes::Bytes;
use russh::ChannelWriteHalf;
use russh::server::Msg;
use sarsen_control::{Output, TerminalMode};
use sarsen_runtime::StdStream;
use tokio::sync::{mpsc, oneshot};
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
    /// With a terminal, line ends are ours to make.
    pub(super) line_ends: Option<LineEnds>,
    /// The client closed the channel, or is gone.
    pub(super) gone: CancellationToken,
    /// The client wants the command to stop and is still there.
    pub(super) interrupt: CancellationToken,
    /// What the command watches.
    pub(super) stop: CancellationToken,
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
        let mut code = None;
        loop {
            tokio::select! {
                biased;
                ended = &mut self.ended, if code.is_none() => {
                    code = Some(ended.unwrap_or(BROKEN));
                    // Whatever the command left behind may not keep the client waiting.
                    self.queue.close();
                }
                Some(echo) = self.echoed.recv() => send(&self.channel, StdStream::Stdout, echo).await,
                output = self.queue.recv() => match output {
                    Some(output) => self.pass(output).await,
                    None => break,
                }
            }
        }
        match code {
            Some(code) => code,
            None => (&mut self.ended).await.unwrap_or(BROKEN),
        }
    }

    async fn pass(&mut self, output: Output) {
        let bytes = match &mut self.line_ends {
            Some(ends) if output.mode == TerminalMode::Line => ends.convert(output.bytes),
            Some(_) | None => output.bytes,
        };
        send(&self.channel, output.stream, bytes).await;
    }

    async fn last_echo(&mut self) {
        while let Ok(echo) = self.echoed.try_recv() {
            send(&self.channel, StdStream::Stdout, echo).await;
        }
    }
}

/// One text, then the end.
pub(super) async fn last_words(
    channel: &ChannelWriteHalf<Msg>,
    stream: StdStream,
    text: String,
    code: u8,
) {
    send(channel, stream, text.into()).await;
    finish(channel, code).await;
}

async fn send(channel: &ChannelWriteHalf<Msg>, stream: StdStream, bytes: Bytes) {
    let sent = match stream {
        StdStream::Stdout => channel.data_bytes(bytes).await,
        StdStream::Stderr => channel.extended_data_bytes(STDERR, bytes).await,
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
