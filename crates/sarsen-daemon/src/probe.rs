//! Asking the daemon for something over the control socket and keeping the answer.

use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::wire::{Call, Frame, Kind, Run};

/// A healthy daemon answers in milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a command came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub code: u8,
    pub stdout: String,
    pub stderr: String,
}

/// Has a command carried out; `None` when no daemon listens.
pub fn ask(socket: &Path, words: &[&str]) -> io::Result<Option<Answer>> {
    ask_with(socket, words, &[])
}

/// The same with something on standard input, which must fit into one frame.
pub fn ask_with(socket: &Path, words: &[&str], stdin: &[u8]) -> io::Result<Option<Answer>> {
    let mut stdin = Some(stdin).filter(|stdin| !stdin.is_empty());
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let call = Call::Run(Run {
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
        terminal: None,
        git_protocol: None,
        folder: None,
        variables: std::collections::BTreeMap::new(),
    });
    Frame::hello(call)?.write_to(&mut stream)?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    loop {
        let frame = Frame::read_from(&mut stream)?;
        match frame.kind {
            Kind::Stdout => stdout.extend(frame.payload),
            Kind::Stderr => stderr.extend(frame.payload),
            Kind::Pull => match stdin.take() {
                Some(bytes) => Frame::new(Kind::Stdin, bytes).write_to(&mut stream)?,
                None => Frame::bare(Kind::StdinEof).write_to(&mut stream)?,
            },
            Kind::Exit => {
                return Ok(Some(Answer {
                    code: frame.payload.first().copied().unwrap_or(1),
                    stdout: String::from_utf8_lossy(&stdout).into_owned(),
                    stderr: String::from_utf8_lossy(&stderr).into_owned(),
                }));
            }
            Kind::Hello | Kind::Stdin | Kind::StdinEof | Kind::Resize | Kind::Raw | Kind::Line => {}
        }
    }
}
