//! The thin client: says what it wants over the control socket, copies the streams, returns the exit code.
//!
//! Scripts call it hundreds of times, so it is blocking code without a runtime, and starts a thread only when one is needed.

mod hook;
mod remote;
mod terminal;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod visit;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use crate::wire::{CHUNK, Call, Frame, Kind, Run};
use terminal::Screen;

pub use hook::hook;
pub use visit::visit;

/// Looks a variable of the process's environment up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// As a shell reports a program that wrote to a closed pipe.
const CLOSED_OUTPUT: u8 = 141;
const FAILURE: u8 = 1;

/// Has a command carried out where it belongs: by the daemon of this machine, or on the host that a checkout's remote
/// names. Gives its exit code.
pub fn run(socket: &Path, argv: Vec<String>, environment: Environment<'_>) -> u8 {
    let here = remote::Here {
        socket,
        socket_is_given: environment("SARSEN_SOCKET").is_some_and(|path| !path.is_empty()),
        environment,
    };
    match remote::elsewhere(&argv, &here) {
        Some(code) => code,
        None => run_here(socket, argv, environment),
    }
}

/// Has the daemon carry out a command, with this process's standard streams and terminal.
fn run_here(socket: &Path, argv: Vec<String>, environment: Environment<'_>) -> u8 {
    let Some(mut streams) = Streams::standard() else {
        return FAILURE;
    };
    let text = |name| environment(name).and_then(|value| value.into_string().ok());
    let screen = Screen::of_stdin(text("TERM"));
    let call = Call::Run(Run {
        argv,
        terminal: screen.as_ref().map(Screen::describe),
        git_protocol: text("GIT_PROTOCOL"),
        folder: std::env::current_dir().ok(),
        variables: sarsen_control::PASSED_ON
            .iter()
            .filter_map(|&name| Some((name.to_owned(), text(name)?)))
            .collect(),
    });
    converse(socket, call, &mut streams, screen.as_ref())
}

/// The three standard streams, unbuffered.
struct Streams {
    /// Taken by the thread that reads it.
    stdin: Option<Box<dyn Read + Send>>,
    stdout: Box<dyn Write>,
    stderr: Box<dyn Write>,
}

/// Frames of two threads may not mix.
type Sending = Arc<Mutex<UnixStream>>;

impl Streams {
    fn standard() -> Option<Self> {
        let copy = |stream: &dyn AsFd| stream.as_fd().try_clone_to_owned().map(File::from).ok();
        Some(Self {
            stdin: copy(&io::stdin()).map(|file| Box::new(file) as Box<dyn Read + Send>),
            stdout: Box::new(copy(&io::stdout())?),
            stderr: Box::new(copy(&io::stderr())?),
        })
    }

    /// A stream that cannot even take an error message leaves the exit code to tell.
    fn complain(&mut self, text: &str) {
        writeln!(self.stderr, " !     {text}").ok();
    }
}

fn converse(socket: &Path, call: Call, streams: &mut Streams, screen: Option<&Screen>) -> u8 {
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) => {
            streams.complain(&unreachable(socket, &error));
            return FAILURE;
        }
    };
    match exchange(stream, call, streams, screen) {
        Ok(code) => code,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => CLOSED_OUTPUT,
        Err(error) => {
            streams.complain(&format!("lost the daemon at {}: {error}", socket.display()));
            FAILURE
        }
    }
}

fn exchange(
    mut stream: UnixStream,
    call: Call,
    streams: &mut Streams,
    screen: Option<&Screen>,
) -> io::Result<u8> {
    let sending = Arc::new(Mutex::new(stream.try_clone()?));
    if let Err(error) = send(&sending, &Frame::hello(call)?) {
        // A daemon that refuses us may have said why before it closed.
        tracing::debug!(%error, "hello");
    }
    if let Some(screen) = screen {
        screen.watch(&sending)?;
    }
    let mut reader = None;
    loop {
        let frame = match Frame::read_from(&mut stream) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(io::Error::other("it closed the connection"));
            }
            other => other?,
        };
        match frame.kind {
            Kind::Stdout => streams.stdout.write_all(&frame.payload)?,
            // Nowhere to say that it failed.
            Kind::Stderr => _ = streams.stderr.write_all(&frame.payload).ok(),
            Kind::Exit => return frame.payload.first().copied().ok_or_else(nonsense),
            Kind::Pull => pull(&mut reader, streams, &sending)?,
            Kind::Raw => screen.map_or(Ok(()), Screen::raw)?,
            Kind::Line => screen.map_or(Ok(()), Screen::restore)?,
            Kind::Hello | Kind::Stdin | Kind::StdinEof | Kind::Resize => return Err(nonsense()),
        }
    }
}

/// The thread that reads standard input starts with the first wish for it. Nobody waits for its end: it may sit in a read when the
/// command is over.
fn pull(
    reader: &mut Option<mpsc::Sender<()>>,
    streams: &mut Streams,
    sending: &Sending,
) -> io::Result<()> {
    if let Some(wishes) = reader {
        // It ends with the input; a wish that crossed the end is answered already.
        wishes.send(()).ok();
        return Ok(());
    }
    let (sender, wishes) = mpsc::channel();
    sender.send(()).ok();
    *reader = Some(sender);
    let (stdin, sending) = (streams.stdin.take(), Arc::clone(sending));
    let read = move || {
        if let Err(error) = answer_pulls(stdin, &wishes, &sending) {
            tracing::debug!(%error, "standard input");
        }
    };
    thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(read)?;
    Ok(())
}

fn answer_pulls(
    stdin: Option<Box<dyn Read + Send>>,
    wishes: &mpsc::Receiver<()>,
    sending: &Sending,
) -> io::Result<()> {
    let mut stdin = stdin.unwrap_or_else(|| Box::new(io::empty()));
    let mut buffer = vec![0; CHUNK];
    while wishes.recv().is_ok() {
        let length = loop {
            match stdin.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // What cannot be read, a closed descriptor for instance, is empty.
                other => break other.unwrap_or(0),
            }
        };
        match buffer.get(..length) {
            Some(bytes) if !bytes.is_empty() => send(sending, &Frame::new(Kind::Stdin, bytes))?,
            Some(_) | None => return send(sending, &Frame::bare(Kind::StdinEof)),
        }
    }
    Ok(())
}

fn send(sending: &Sending, frame: &Frame) -> io::Result<()> {
    let mut stream = sending.lock().unwrap_or_else(PoisonError::into_inner);
    frame.write_to(&mut *stream)
}

fn unreachable(socket: &Path, error: &io::Error) -> String {
    let place = socket.display();
    if error.kind() == ErrorKind::PermissionDenied {
        return format!(
            "no permission to open {place}: run this as root, or as a member of the socket's group"
        );
    }
    format!(
        "cannot reach the daemon at {place}: is it running? (sarsen serve, or systemctl status sarsen) [{error}]"
    )
}

fn nonsense() -> io::Error {
    io::Error::other(
        "it does not speak our language: client and daemon may be of different versions",
    )
}
