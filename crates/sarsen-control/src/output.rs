//! A command's output, in Dokku's form: `-----> ` headers, seven spaces of body, ` !     ` for what is wrong.

use sarsen_domain::padded;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::failure::{Failure, Outcome};

type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Where a command writes.
pub struct Out {
    stdout: Writer,
    stderr: Writer,
    /// Leaves out headings (`--quiet`).
    pub quiet: bool,
}

impl Out {
    /// Output to these streams.
    pub fn new(stdout: Writer, stderr: Writer) -> Self {
        Self {
            stdout,
            stderr,
            quiet: false,
        }
    }

    /// Bytes as they are.
    pub async fn bytes(&mut self, bytes: &[u8]) -> Outcome {
        self.stdout.write_all(bytes).await.map_err(gone)?;
        self.stdout.flush().await.map_err(gone)
    }

    /// Bytes to standard error, as they are.
    pub async fn error_bytes(&mut self, bytes: &[u8]) -> Outcome {
        self.stderr.write_all(bytes).await.map_err(gone)?;
        self.stderr.flush().await.map_err(gone)
    }

    /// One line as it is.
    pub async fn line(&mut self, text: &str) -> Outcome {
        self.bytes(format!("{text}\n").as_bytes()).await
    }

    /// `-----> text`
    pub async fn header(&mut self, text: &str) -> Outcome {
        self.line(&format!("-----> {text}")).await
    }

    /// `=====> text`, left out when quiet.
    pub async fn title(&mut self, text: &str) -> Outcome {
        if self.quiet {
            Ok(())
        } else {
            self.line(&format!("=====> {text}")).await
        }
    }

    /// ` !     text` on standard error, line by line.
    pub async fn warn(&mut self, text: &str) -> Outcome {
        let lines: String = text
            .lines()
            .map(|line| format!(" !     {line}\n"))
            .collect();
        self.error_bytes(lines.as_bytes()).await
    }

    /// Rows in columns, two spaces between them.
    pub async fn table(&mut self, rows: &[Vec<String>]) -> Outcome {
        self.bytes(columns(rows).as_bytes()).await
    }

    /// Standard output itself.
    pub fn stdout(&mut self) -> &mut (dyn AsyncWrite + Send + Unpin) {
        &mut *self.stdout
    }

    /// The streams themselves, for a command that hands them on.
    pub fn into_streams(self) -> (Writer, Writer) {
        (self.stdout, self.stderr)
    }
}

/// Rows in columns, two spaces between them, nothing behind the last.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(index) {
                Some(widest) => *widest = (*widest).max(width),
                None => widths.push(width),
            }
        }
    }
    let mut text = String::new();
    for row in rows {
        let begin = text.len();
        for (cell, width) in row.iter().zip(&widths) {
            padded(&mut text, cell, width + 2);
        }
        text.truncate(begin + text.get(begin..).unwrap_or_default().trim_end().len());
        text.push('\n');
    }
    text
}

fn gone(_: std::io::Error) -> Failure {
    // Nobody is left to read a message.
    Failure::silent(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            columns(&[row(&["a", "bb", "c"]), row(&["aaa", "b", ""])]),
            "a    bb  c\naaa  b\n"
        );
        let long = "x".repeat(100_000);
        assert!(columns(&[row(&["KEY:", &long]), row(&["B:", "b"])]).ends_with("\nB:    b\n"));
    }
}
