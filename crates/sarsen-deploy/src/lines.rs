//! Cuts the engine's pieces of output into lines.

use sarsen_runtime::{LogChunk, StdStream};

/// A longer line is handed on in pieces.
const LINE_MAX: usize = 64 * 1024;

/// Puts lines together for both streams of one container.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Lines {
    /// The lines that this piece completes, without their newlines.
    pub(crate) fn feed(&mut self, chunk: &LogChunk) -> Vec<Vec<u8>> {
        let held = match chunk.stream {
            StdStream::Stdout => &mut self.stdout,
            StdStream::Stderr => &mut self.stderr,
        };
        let mut complete = Vec::new();
        for piece in chunk.bytes.split_inclusive(|byte| *byte == b'\n') {
            held.extend_from_slice(piece);
            if held.last() == Some(&b'\n') {
                held.pop();
                complete.push(std::mem::take(held));
            } else if held.len() >= LINE_MAX {
                complete.push(std::mem::take(held));
            }
        }
        complete
    }

    /// What is left at the end.
    pub(crate) fn rest(&mut self) -> Vec<Vec<u8>> {
        [&mut self.stdout, &mut self.stderr]
            .into_iter()
            .map(std::mem::take)
            .filter(|line| !line.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(lines: &mut Lines, stream: StdStream, text: &'static str) -> Vec<String> {
        let chunk = LogChunk {
            stream,
            bytes: text.into(),
        };
        let complete = lines.feed(&chunk).into_iter();
        complete
            .map(|line| String::from_utf8(line).unwrap())
            .collect()
    }

    #[test]
    fn streams_do_not_mix() {
        let mut lines = Lines::default();
        assert!(feed(&mut lines, StdStream::Stdout, "on").is_empty());
        assert_eq!(feed(&mut lines, StdStream::Stderr, "err\nx"), ["err"]);
        assert_eq!(
            feed(&mut lines, StdStream::Stdout, "e\n\ntwo\nthr"),
            ["one", "", "two"]
        );
        assert_eq!(lines.rest(), [b"thr".to_vec(), b"x".to_vec()]);
        assert!(lines.rest().is_empty());
    }

    #[test]
    fn endless_lines_are_cut() {
        let mut lines = Lines::default();
        let chunk = LogChunk {
            stream: StdStream::Stdout,
            bytes: vec![b'x'; LINE_MAX].into(),
        };
        assert_eq!(lines.feed(&chunk).len(), 1);
    }
}
