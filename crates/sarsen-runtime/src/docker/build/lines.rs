//! Text that comes in pieces, cut into lines.

/// Collects pieces until a line is complete.
#[derive(Debug, Default)]
pub(super) struct Lines {
    open: Vec<u8>,
}

impl Lines {
    /// The lines that this piece completes, without their ends; of a line that was overwritten by carriage returns,
    /// what was last to be seen.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<Vec<u8>> {
        let mut complete = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.open.extend_from_slice(part);
            if part.ends_with(b"\n") {
                complete.extend(self.rest());
            }
        }
        complete
    }

    /// The line that nobody ended, when there is one.
    pub(super) fn rest(&mut self) -> Option<Vec<u8>> {
        let line = std::mem::take(&mut self.open);
        (!line.is_empty()).then(|| last_seen(&line).to_vec())
    }
}

fn last_seen(line: &[u8]) -> &[u8] {
    let ends = |byte: &u8| *byte == b'\n' || *byte == b'\r';
    let end = line.iter().rposition(|byte| !ends(byte));
    let line = line.get(..end.map_or(0, |last| last + 1)).unwrap_or(line);
    line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines() {
        let mut lines = Lines::default();
        assert!(lines.push(b"a").is_empty());
        assert_eq!(lines.push(b"b\nc\r\n\nd"), [&b"ab"[..], b"c", b""]);
        assert_eq!(lines.rest().unwrap(), b"d");
        assert_eq!(lines.rest(), None);
    }

    #[test]
    fn progress_on_one_line_shows_its_end() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"10%\r50%\r100%\n"), [b"100%"]);
        assert_eq!(lines.push(b"10%\r100%\r\n"), [b"100%"]);
    }
}
