//! Where a script's output goes, and how much of it is kept.

use sarsen_domain::Progress;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::name::PluginName;

/// How much of a run's standard output its report holds: answers of triggers are short.
const KEPT: usize = 256 * 1024;
/// How much of its end is kept for messages.
const TAIL: usize = 4 * 1024;
/// How much of a run goes into a log. A script gone wild must not fill the disk.
pub(crate) const LOGGED: u64 = 4 << 20;
/// A longer line is cut.
const LINE: usize = 8 * 1024;

/// Where output goes.
pub enum Output<'a> {
    /// Into the report alone.
    Kept,
    /// Into a log, in whole lines, as the plugin wrote them.
    Log(&'a dyn Progress),
    /// Into a log, with `[plugin] ` before each line.
    TaggedLog(&'a dyn Progress),
    /// To somebody who reads it, all of it, at their pace.
    Streams(Streams<'a>),
}

/// A reader's two streams.
pub struct Streams<'a> {
    /// Standard output.
    pub stdout: &'a mut (dyn AsyncWrite + Send + Unpin),
    /// Standard error.
    pub stderr: &'a mut (dyn AsyncWrite + Send + Unpin),
    /// Whether each line begins with `[plugin] `.
    pub tagged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// One run's output on its way.
pub(crate) struct Capture<'o, 'a> {
    output: &'o mut Output<'a>,
    tag: String,
    pub(crate) stdout: Vec<u8>,
    tail: Vec<u8>,
    stdout_line: Vec<u8>,
    stderr_line: Vec<u8>,
    logged: u64,
    pub(crate) left_out: u64,
}

impl<'o, 'a> Capture<'o, 'a> {
    pub(crate) fn new(plugin: &PluginName, output: &'o mut Output<'a>) -> Self {
        let tagged = match output {
            Output::TaggedLog(_) => true,
            Output::Streams(streams) => streams.tagged,
            Output::Kept | Output::Log(_) => false,
        };
        let tag = if tagged {
            format!("[{plugin}] ")
        } else {
            String::new()
        };
        Self {
            output,
            tag,
            stdout: Vec::new(),
            tail: Vec::new(),
            stdout_line: Vec::new(),
            stderr_line: Vec::new(),
            logged: 0,
            left_out: 0,
        }
    }

    /// Takes what the script wrote. Fails when the reader is gone.
    pub(crate) async fn take(&mut self, stream: Stream, bytes: &[u8]) -> std::io::Result<()> {
        self.remember(stream, bytes);
        match self.output {
            Output::Kept => {}
            Output::Log(log) | Output::TaggedLog(log) => {
                let log = *log;
                self.log(log, stream, bytes);
            }
            Output::Streams(streams) => {
                let writer = match stream {
                    Stream::Stdout => &mut streams.stdout,
                    Stream::Stderr => &mut streams.stderr,
                };
                if streams.tagged {
                    let line = match stream {
                        Stream::Stdout => &mut self.stdout_line,
                        Stream::Stderr => &mut self.stderr_line,
                    };
                    writer.write_all(&tagged(&self.tag, line, bytes)).await?;
                } else {
                    writer.write_all(bytes).await?;
                }
                writer.flush().await?;
            }
        }
        Ok(())
    }

    /// The script has ended: half lines are lines now.
    pub(crate) fn end(&mut self) {
        if let Output::Log(log) | Output::TaggedLog(log) = self.output {
            let log = *log;
            for rest in [
                std::mem::take(&mut self.stdout_line),
                std::mem::take(&mut self.stderr_line),
            ] {
                if !rest.is_empty() {
                    self.log_line(log, &rest);
                }
            }
            if self.left_out > 0 {
                let left_out = self.left_out;
                log.warn(&format!("{left_out} more bytes are left out of the log"));
            }
        }
    }

    pub(crate) fn last_words(&self) -> String {
        let text = String::from_utf8_lossy(&self.tail);
        text.trim_end().trim_start_matches('\n').to_owned()
    }

    fn remember(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stdout {
            let room = KEPT.saturating_sub(self.stdout.len());
            let kept = bytes.get(..room).unwrap_or(bytes);
            self.stdout.extend_from_slice(kept);
            if matches!(self.output, Output::Kept) {
                self.left_out += (bytes.len() - kept.len()) as u64;
            }
        }
        self.tail.extend_from_slice(bytes);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }

    fn log(&mut self, log: &dyn Progress, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = match stream {
                Stream::Stdout => &mut self.stdout_line,
                Stream::Stderr => &mut self.stderr_line,
            };
            line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || line.len() >= LINE {
                let whole = std::mem::take(line);
                self.log_line(log, &whole);
            }
        }
    }

    fn log_line(&mut self, log: &dyn Progress, line: &[u8]) {
        let length = line.len() as u64;
        if self.logged + length > LOGGED {
            self.left_out += length;
            return;
        }
        self.logged += length;
        let mut tagged = self.tag.clone().into_bytes();
        tagged.extend_from_slice(line);
        if !tagged.ends_with(b"\n") {
            tagged.push(b'\n');
        }
        log.write(&tagged);
    }
}

/// Puts the tag before each line that begins in these bytes; `line` remembers whether one is under way.
fn tagged(tag: &str, line: &mut Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + tag.len());
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.is_empty() {
            text.extend_from_slice(tag.as_bytes());
        }
        text.extend_from_slice(piece);
        line.clear();
        if !piece.ends_with(b"\n") {
            line.push(b'.');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Log(Mutex<Vec<u8>>);

    impl Progress for Log {
        fn write(&self, bytes: &[u8]) {
            self.0.lock().unwrap().extend_from_slice(bytes);
        }
    }

    fn name() -> PluginName {
        PluginName::parse("p").unwrap()
    }

    #[tokio::test]
    async fn lines_of_two_streams_do_not_mix_and_carry_their_tag() {
        let log = Log::default();
        let mut output = Output::TaggedLog(&log);
        let mut capture = Capture::new(&name(), &mut output);
        for (stream, text) in [
            (Stream::Stdout, "one "),
            (Stream::Stderr, "bad\n"),
            (Stream::Stdout, "line\nhalf"),
        ] {
            capture.take(stream, text.as_bytes()).await.unwrap();
        }
        capture.end();
        assert_eq!(capture.stdout, b"one line\nhalf");
        assert_eq!(capture.last_words(), "one bad\nline\nhalf");
        let written = log.0.into_inner().unwrap();
        assert_eq!(
            String::from_utf8(written).unwrap(),
            "[p] bad\n[p] one line\n[p] half\n"
        );
    }

    #[test]
    fn a_line_that_comes_in_pieces_is_tagged_once() {
        let mut line = Vec::new();
        assert_eq!(tagged("[p] ", &mut line, b"one\ntw"), b"[p] one\n[p] tw");
        assert_eq!(tagged("[p] ", &mut line, b"o\n"), b"o\n");
        assert_eq!(tagged("[p] ", &mut line, b"x\n"), b"[p] x\n");
    }

    #[tokio::test]
    async fn a_flood_is_cut_off() {
        let log = Log::default();
        let mut output = Output::Log(&log);
        let mut capture = Capture::new(&name(), &mut output);
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..8 {
            capture.take(Stream::Stdout, &chunk).await.unwrap();
        }
        capture.end();
        assert_eq!(capture.stdout.len(), KEPT);
        assert!(capture.left_out >= 4 << 20, "{}", capture.left_out);
        let written = log.0.into_inner().unwrap();
        assert!(written.len() < (LOGGED + LOGGED / 100) as usize);
        assert!(String::from_utf8_lossy(&written).contains("left out"));
    }
}
