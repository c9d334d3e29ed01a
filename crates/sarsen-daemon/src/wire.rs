//! The language of the control socket: frames of one byte kind, four bytes length (big endian) and a payload.
//!
//! The client says hello and waits. It sends standard input only when pulled, one chunk for each pull: so a command that reads nothing
//! leaves its caller's input alone (`while read app; do sarsen … ; done < list`), and nothing unread piles up on our side.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;

use sarsen_control::HookCall;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Changes when an old client could misunderstand a new daemon, or the other way round.
pub const VERSION: u32 = 1;
/// The most a frame carries, the hello apart.
pub const CHUNK: usize = 64 * 1024;
/// More than the kernel allows for arguments.
const HELLO_MAX: usize = 4 * 1024 * 1024;
const HEADER: usize = 5;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Client: a [`Hello`] as JSON, first and once.
    Hello,
    /// Client: bytes of standard input, in answer to `Pull`.
    Stdin,
    /// Client: standard input has ended, in answer to `Pull`.
    StdinEof,
    /// Client: the terminal's new columns and rows, two bytes each.
    Resize,
    /// Daemon: bytes for standard output.
    Stdout,
    /// Daemon: bytes for standard error.
    Stderr,
    /// Daemon: the command is over; one byte, its exit code.
    Exit,
    /// Daemon: the command wants to read standard input.
    Pull,
    /// Daemon: pass every byte untouched.
    Raw,
    /// Daemon: the terminal is the client's again.
    Line,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    pub payload: Vec<u8>,
}

/// What the client wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    pub version: u32,
    pub call: Call,
}

/// One of the things to ask of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Call {
    Run(Run),
    Hook(Hook),
    Visit(Visit),
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub argv: Vec<String>,
    pub terminal: Option<Tty>,
    pub git_protocol: Option<String>,
    /// Where the client stands, for file names among the words.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// Those of its variables that change what a command does.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
}

/// A command of somebody whom OpenSSH's sshd has let in with a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    /// The key's.
    pub fingerprint: String,
    /// Where the connection comes from.
    pub source: IpAddr,
    pub run: Run,
}

/// The client's terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tty {
    pub term: String,
    pub columns: u16,
    pub rows: u16,
}

/// A [`HookCall`] on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    pub token: String,
    pub object_directory: Option<PathBuf>,
    pub alternate_object_directories: Option<String>,
    pub updates: Vec<(String, String, String)>,
    pub push_options: Vec<String>,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Hello,
        Self::Stdin,
        Self::StdinEof,
        Self::Resize,
        Self::Stdout,
        Self::Stderr,
        Self::Exit,
        Self::Pull,
        Self::Raw,
        Self::Line,
    ];

    const fn code(self) -> u8 {
        match self {
            Self::Hello => b'h',
            Self::Stdin => b'i',
            Self::StdinEof => b'e',
            Self::Resize => b'r',
            Self::Stdout => b'O',
            Self::Stderr => b'E',
            Self::Exit => b'X',
            Self::Pull => b'P',
            Self::Raw => b'R',
            Self::Line => b'L',
        }
    }
}

impl Frame {
    /// A frame with bytes.
    pub fn new(kind: Kind, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind,
            payload: payload.into(),
        }
    }

    /// A frame that says all by its kind.
    pub fn bare(kind: Kind) -> Self {
        Self::new(kind, [])
    }

    /// The hello of this version.
    pub fn hello(call: Call) -> io::Result<Self> {
        let version = VERSION;
        let text = serde_json::to_vec(&Hello { version, call })?;
        Ok(Self::new(Kind::Hello, text))
    }

    /// A new size of the terminal.
    pub fn resize(columns: u16, rows: u16) -> Self {
        let [a, b] = columns.to_be_bytes();
        let [c, d] = rows.to_be_bytes();
        Self::new(Kind::Resize, [a, b, c, d])
    }

    /// Columns and rows of a `Resize`.
    pub fn size(&self) -> Option<(u16, u16)> {
        let &[a, b, c, d] = self.payload.as_slice() else {
            return None;
        };
        Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
    }

    /// Blocking.
    pub fn write_to(&self, stream: &mut impl Write) -> io::Result<()> {
        stream.write_all(&self.bytes()?)
    }

    /// Blocking. `UnexpectedEof` when the other side has closed.
    pub fn read_from(stream: &mut impl Read) -> io::Result<Self> {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header)?;
        let (kind, length) = parse(header)?;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload)?;
        Ok(Self { kind, payload })
    }

    /// As [`Frame::write_to`].
    pub async fn send(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        stream.write_all(&self.bytes()?).await
    }

    /// As [`Frame::read_from`]. Not to be cancelled half way.
    pub async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut header = [0; HEADER];
        stream.read_exact(&mut header).await?;
        let (kind, length) = parse(header)?;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        Ok(Self { kind, payload })
    }

    /// In one piece, for a single system call.
    fn bytes(&self) -> io::Result<Vec<u8>> {
        let length = u32::try_from(self.payload.len()).map_err(|_| malformed())?;
        let mut bytes = Vec::with_capacity(HEADER + self.payload.len());
        bytes.push(self.kind.code());
        bytes.extend(length.to_be_bytes());
        bytes.extend(&self.payload);
        Ok(bytes)
    }
}

impl From<Hook> for HookCall {
    fn from(hook: Hook) -> Self {
        Self {
            token: hook.token,
            object_directory: hook.object_directory,
            alternate_object_directories: hook.alternate_object_directories,
            updates: hook.updates,
            push_options: hook.push_options,
        }
    }
}

fn parse([code, a, b, c, d]: [u8; HEADER]) -> io::Result<(Kind, usize)> {
    let known = Kind::ALL.into_iter().find(|kind| kind.code() == code);
    let kind = known.ok_or_else(malformed)?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).map_err(|_| malformed())?;
    let most = if kind == Kind::Hello {
        HELLO_MAX
    } else {
        CHUNK
    };
    if length > most {
        return Err(malformed());
    }
    Ok((kind, length))
}

fn malformed() -> io::Error {
    io::Error::new(
        ErrorKind::InvalidData,
        "this is not the language of the control socket",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_way() {
        for kind in Kind::ALL {
            let frame = Frame::new(kind, vec![0, 1, 255]);
            let mut bytes = Vec::new();
            frame.write_to(&mut bytes).unwrap();
            assert_eq!(Frame::read_from(&mut bytes.as_slice()).unwrap(), frame);
        }
        assert_eq!(Frame::resize(80, 500).size(), Some((80, 500)));
        assert_eq!(Frame::bare(Kind::Resize).size(), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"i\xff\xff\xff\xff",
            b"i\0\x01\0\x01",
            b"h\0\x40\0\x01",
        ] {
            let error = Frame::read_from(&mut &*bytes).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{bytes:?}");
        }
        let cut = Frame::read_from(&mut &b"i\0\0\0\x02x"[..]).unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
    }
}
