//! One command by one person: who says what, and the streams it talks through. The front doors make these.

mod streams;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;

use sarsen_domain::{KeyName, Rights};
use sarsen_runtime::TtySize;
use sarsen_store::Holder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::web::{WebActor, WebPass};

pub use streams::{Outlet, Output, outlets};

/// Who gives a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever may open the control socket.
    Local {
        /// The login name of the process at the other end.
        user: String,
    },
    /// The holder of a key.
    Key {
        /// The key's name.
        name: KeyName,
        /// `SHA256:…`
        fingerprint: String,
        /// Where the connection comes from.
        source: IpAddr,
        /// What it may do, as the store has it when the command begins.
        rights: Rights,
    },
    /// Somebody who signed in to the dashboard, or a program with a token.
    Web(WebActor),
}

impl Actor {
    /// The name shown in releases and logs.
    pub fn name(&self) -> &str {
        match self {
            Self::Local { user } => user,
            Self::Key { name, .. } => name.as_str(),
            Self::Web(web) => web.holder.name(),
        }
    }

    /// What this one may do; none who may do everything.
    pub fn rights(&self) -> Option<&Rights> {
        match self {
            Self::Local { .. } => None,
            Self::Key { rights, .. } => Some(rights),
            Self::Web(web) => Some(&web.rights),
        }
    }

    /// The door that this one came through.
    pub fn door(&self) -> &'static str {
        match self {
            Self::Local { .. } => "host",
            Self::Key { .. } => "ssh",
            Self::Web(web) => match web.pass {
                WebPass::Session(_) => "dashboard",
                WebPass::Token(_) => "api",
            },
        }
    }

    /// Whoever sessions and tokens of this one stand for.
    pub fn holder(&self) -> Holder {
        match self {
            Self::Local { user } => Holder::Local { user: user.clone() },
            Self::Key { name, .. } => Holder::Key { name: name.clone() },
            Self::Web(web) => web.holder.clone(),
        }
    }

    /// Where the connection comes from, if it came over the network.
    pub fn source(&self) -> Option<IpAddr> {
        match self {
            Self::Local { .. } => None,
            Self::Key { source, .. } => Some(*source),
            Self::Web(web) => web.source,
        }
    }
}

/// A command as it came through a door.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who says it.
    pub actor: Actor,
    /// The words: `["ps:scale", "app", "web=2"]`, `["git-receive-pack", "app"]`.
    pub argv: Vec<String>,
    /// Set when the caller has a terminal.
    pub terminal: Option<Terminal>,
    /// The client's `GIT_PROTOCOL`, such as `version=2`.
    pub git_protocol: Option<String>,
    /// Where the caller stands on this host; none when the caller is elsewhere.
    pub folder: Option<PathBuf>,
    /// Variables of a caller on this host that change what a command does: see [`PASSED_ON`].
    pub variables: BTreeMap<String, String>,
}

/// What the client on this host passes on of its environment. Scripts of plugins set some of it for the commands that
/// they call.
pub const PASSED_ON: &[&str] = &[
    "DOKKU_APPS_FORCE_DELETE",
    "DOKKU_GLOBAL_FLAGS",
    "DOKKU_QUIET_OUTPUT",
    "DOKKU_TRACE",
    "FINGERPRINT",
    "NAME",
    sarsen_plugins::WITHIN,
    "SSH_NAME",
    "SSH_USER",
];

/// The caller's terminal.
#[derive(Debug, Clone)]
pub struct Terminal {
    /// `TERM`
    pub term: String,
    /// Its size, now and after each change.
    pub size: watch::Receiver<TtySize>,
    mode: watch::Sender<TerminalMode>,
}

/// Who looks after echo, line editing and line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TerminalMode {
    /// The caller's side: the command reads whole lines and writes `\n`.
    Line,
    /// The command's side, such as the terminal of a container: every byte passes untouched.
    Raw,
}

/// Keeps a terminal raw until dropped.
#[derive(Debug)]
pub struct RawTerminal(watch::Sender<TerminalMode>);

impl Terminal {
    /// A terminal in line mode, and what tells its front door to change that.
    pub fn new(
        term: String,
        size: watch::Receiver<TtySize>,
    ) -> (Self, watch::Receiver<TerminalMode>) {
        let (mode, changes) = watch::channel(TerminalMode::Line);
        (Self { term, size, mode }, changes)
    }

    /// How it is now.
    pub fn mode(&self) -> TerminalMode {
        *self.mode.borrow()
    }

    /// For as long as the guard lives, bytes pass untouched in both directions.
    #[must_use]
    pub fn raw(&self) -> RawTerminal {
        self.mode.send_replace(TerminalMode::Raw);
        RawTerminal(self.mode.clone())
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        self.0.send_replace(TerminalMode::Line);
    }
}

/// The streams of a command.
pub struct Io {
    /// What the caller sends; ends when the caller closes it.
    pub stdin: Box<dyn AsyncRead + Send + Unpin>,
    /// The caller's standard output.
    pub stdout: Box<dyn AsyncWrite + Send + Unpin>,
    /// The caller's standard error.
    pub stderr: Box<dyn AsyncWrite + Send + Unpin>,
    /// Cancelled when the caller is gone.
    pub gone: CancellationToken,
}

/// What git's pre-receive hook passes on: where the pushed objects wait, and which refs are to move.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookCall {
    /// Says which push this is.
    pub token: String,
    /// `GIT_OBJECT_DIRECTORY`: the quarantine.
    pub object_directory: Option<PathBuf>,
    /// `GIT_ALTERNATE_OBJECT_DIRECTORIES`
    pub alternate_object_directories: Option<String>,
    /// Old commit, new commit, ref.
    pub updates: Vec<(String, String, String)>,
    /// `git push -o …`
    pub push_options: Vec<String>,
}

/// What a front door asks of the use-cases behind it.
pub trait Front: Clone + Send + Sync + 'static {
    /// Who holds this key (`ssh-ed25519 AAAA…`), if anybody does.
    fn authenticate(
        &self,
        public_key: &str,
        fingerprint: &str,
        source: IpAddr,
    ) -> impl Future<Output = Option<Actor>> + Send;

    /// Who holds the key with this fingerprint, when somebody else has seen to it that the caller has the key. By
    /// default nobody does.
    fn vouched(
        &self,
        fingerprint: &str,
        source: IpAddr,
    ) -> impl Future<Output = Option<Actor>> + Send {
        let _ = (fingerprint, source);
        std::future::ready(None)
    }

    /// Carries a command out; gives the exit code.
    fn run(&self, request: Request, io: Io) -> impl Future<Output = u8> + Send;

    /// Answers a pre-receive hook: 0 lets the refs move.
    fn hook(&self, call: HookCall, io: Io) -> impl Future<Output = u8> + Send;
}
