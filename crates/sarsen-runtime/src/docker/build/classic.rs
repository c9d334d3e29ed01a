//! What the classic builder says: pieces of text.

use bollard::models::BuildInfo;

use super::super::progress;
use super::lines::Lines;
use super::{Renderer as Render, Told};

/// The engine paints what a step writes to standard error.
const RED: &str = "\x1b[91m";
const PLAIN: &str = "\x1b[0m";

/// What the engine itself says after a step, in a piece of its own.
const ENGINE: [&str; 3] = [" ---> ", "Removing intermediate container ", "Step "];

/// Joins the pieces.
#[derive(Default)]
pub(super) struct Renderer {
    /// Pieces of the two must not meet in one line.
    output: Lines,
    errors: Lines,
}

impl Render for Renderer {
    fn render(&mut self, item: &BuildInfo) -> Vec<u8> {
        let mut text = Vec::new();
        if let Some(piece) = &item.stream {
            // A step need not end its last line.
            if ENGINE.iter().any(|words| piece.starts_with(words)) {
                text = self.rest();
            }
            let complete = match piece.strip_prefix(RED) {
                Some(inner) => self.errors.push(unpainted(inner).as_bytes()),
                None => self.output.push(piece.as_bytes()),
            };
            complete.iter().for_each(|line| tell(&mut text, line));
        }
        // A base that is being fetched.
        if let Some(line) = progress::calm(item.id.as_deref(), item.status.as_deref()) {
            tell(&mut text, line.as_bytes());
        }
        text
    }

    fn rest(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let open = [self.output.rest(), self.errors.rest()];
        let open = open.iter().flatten();
        open.for_each(|line| tell(&mut text, line));
        text
    }

    fn blames_builder(&self, _words: &str, _told: Told) -> bool {
        false
    }
}

fn unpainted(inner: &str) -> &str {
    inner.strip_suffix(PLAIN).unwrap_or(inner)
}

fn tell(text: &mut Vec<u8>, line: &[u8]) {
    if !line.trim_ascii().is_empty() {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_reads_as_lines() {
        let mut renderer = Renderer::default();
        let mut text = Vec::new();
        for piece in [
            "Step 1/2 : FROM x",
            "\n",
            "\n",
            " ---> ab\n",
            "no end",
            "\x1b[91mwarning\n\x1b[0m",
            "Removing intermediate container ab\n",
            "last",
        ] {
            let item = BuildInfo {
                stream: Some(piece.to_owned()),
                ..BuildInfo::default()
            };
            text.extend(renderer.render(&item));
        }
        text.extend(renderer.rest());
        let text = String::from_utf8(text).unwrap();
        assert_eq!(
            text,
            "Step 1/2 : FROM x\n ---> ab\nwarning\nno end\nRemoving intermediate container ab\nlast\n"
        );
    }
}
