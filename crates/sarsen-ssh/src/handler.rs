//! What russh tells us about one connection, turned into our own words. No rules live here beyond who may log in and what is refused.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use russh::keys::HashAlg;
use russh::keys::ssh_key::{Algorithm, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Pty as PtyMode, Sig};
use sarsen_control::{Actor, Front};
use sarsen_runtime::{StdStream, TtySize};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::command::{Answer, Order, Pty, Running, Tasks, idle_window};
use crate::settings::SshSettings;
use crate::words;

/// What a connection is made of before its first byte.
pub(crate) struct Connection<F> {
    pub(crate) front: F,
    pub(crate) settings: Arc<SshSettings>,
    pub(crate) source: IpAddr,
    pub(crate) tasks: Tasks,
    /// Cancelled at the first successful login.
    pub(crate) logged_in: CancellationToken,
    /// Cancelled when no new command may start.
    pub(crate) closing: CancellationToken,
    /// Until the first command.
    pub(crate) login: Option<TaskTrackerToken>,
}

/// A connection and its channels.
pub(crate) struct Handler<F> {
    connection: Connection<F>,
    actor: Option<Actor>,
    channels: HashMap<ChannelId, Slot>,
    /// A channel counts as work until the client has closed it: who says good-bye earlier cuts the exit code off.
    open: HashMap<ChannelId, TaskTrackerToken>,
    /// Parent of the channels' tokens: russh drops the handler when the connection ends, however it ends.
    gone: DropGuard,
}

enum Slot {
    Open(Opened),
    Running(Running),
    /// Got its answer and waits to be closed by the client.
    Answered(CancellationToken),
}

struct Opened {
    channel: ChannelWriteHalf<Msg>,
    gone: CancellationToken,
    pty: Option<Pty>,
    git_protocol: Option<String>,
}

impl<F: Front> Handler<F> {
    /// `gone` is cancelled with everything that runs over the connection.
    pub(crate) fn new(connection: Connection<F>, gone: CancellationToken) -> Self {
        Self {
            connection,
            actor: None,
            channels: HashMap::new(),
            open: HashMap::new(),
            gone: gone.drop_guard(),
        }
    }

    async fn who(&self, user: &str, key: &PublicKey, algorithm: &Algorithm) -> Option<Actor> {
        // SHA-1 signatures can be forged.
        let weak = matches!(algorithm, Algorithm::Dsa | Algorithm::Rsa { hash: None });
        let known_user = self
            .connection
            .settings
            .users
            .iter()
            .any(|known| known == user);
        if weak || !known_user {
            return None;
        }
        let line = PublicKey::from(key.key_data().clone()).to_openssh().ok()?;
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let front = &self.connection.front;
        let answer = front.authenticate(&line, &fingerprint, self.connection.source);
        let limit = self.connection.settings.auth_timeout;
        tokio::time::timeout(limit, answer).await.ok().flatten()
    }

    fn opened(&mut self, id: ChannelId) -> Option<&mut Opened> {
        match self.channels.get_mut(&id) {
            Some(Slot::Open(opened)) => Some(opened),
            Some(Slot::Running(_) | Slot::Answered(_)) | None => None,
        }
    }

    fn running(&mut self, id: ChannelId) -> Option<&mut Running> {
        match self.channels.get_mut(&id) {
            Some(Slot::Running(running)) => Some(running),
            Some(Slot::Open(_) | Slot::Answered(_)) | None => None,
        }
    }

    /// Takes a channel that has no command yet; a second command on it is refused.
    fn take_opened(&mut self, id: ChannelId) -> Option<Opened> {
        match self.channels.remove(&id)? {
            Slot::Open(opened) => Some(opened),
            other @ (Slot::Running(_) | Slot::Answered(_)) => {
                self.channels.insert(id, other);
                None
            }
        }
    }

    fn answer(&mut self, id: ChannelId, opened: Opened, answer: Answer) {
        let Opened { channel, gone, .. } = opened;
        self.channels.insert(id, Slot::Answered(gone.clone()));
        answer.give(channel, gone, &self.connection.tasks);
    }

    fn start(&mut self, id: ChannelId, opened: Opened, actor: Actor, command: &[u8]) {
        let argv = match words::parse(command) {
            Ok(argv) => argv,
            Err(error) => {
                let end = line_end(&opened);
                let answer = Answer {
                    stream: StdStream::Stderr,
                    text: format!(" !     {error}{end}"),
                    code: 1,
                };
                self.answer(id, opened, answer);
                return;
            }
        };
        let order = Order {
            actor,
            argv,
            pty: opened.pty,
            git_protocol: opened.git_protocol,
            gone: opened.gone,
        };
        let running = order.start(
            &self.connection.front,
            opened.channel,
            &self.connection.tasks,
        );
        self.channels.insert(id, Slot::Running(running));
    }
}

impl<F: Front> russh::server::Handler for Handler<F> {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let actor = self.who(user, offer.public_key, offer.algorithm).await;
        Ok(actor.map_or_else(Auth::reject, |_| Auth::Accept))
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        self.actor = self.who(user, key.public_key, key.algorithm).await;
        match &self.actor {
            Some(actor) => {
                let (key, source) = (actor.name(), self.connection.source);
                tracing::info!(key.name = key, client.address = %source, "ssh login of {key}");
                self.connection.logged_in.cancel();
                Ok(Auth::Accept)
            }
            None => Ok(Auth::reject()),
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let settings = &self.connection.settings;
        if self.channels.len() >= settings.max_channels || self.connection.closing.is_cancelled() {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let id = channel.id();
        // The reading half is dropped: its queue would hold the whole connection up when full. Data comes through callbacks.
        let (_, channel) = channel.split();
        let opened = Opened {
            channel,
            gone: self.gone.token().child_token(),
            pty: None,
            git_protocol: None,
        };
        self.channels.insert(id, Slot::Open(opened));
        let counted = self.connection.tasks.connection.token();
        self.open.insert(id, counted);
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        term: &str,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &[(PtyMode, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(opened) = self.opened(id) else {
            return session.channel_failure(id);
        };
        opened.pty = Some(Pty {
            term: known_term(term),
            size: size(columns, rows),
        });
        session.channel_success(id)
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.opened(id) {
            Some(opened) if name == "GIT_PROTOCOL" && is_git_protocol(value) => {
                opened.git_protocol = Some(value.to_owned());
                session.channel_success(id)
            }
            Some(_) | None => session.channel_failure(id),
        }
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let (Some(actor), Some(opened)) = (self.actor.clone(), self.take_opened(id)) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        self.start(id, opened, actor, command);
        self.connection.login = None;
        Ok(())
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let (Some(actor), Some(opened)) = (self.actor.clone(), self.take_opened(id)) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let end = line_end(&opened);
        let text = format!(
            "Hello {name}, your key is known here.{end}There is no shell; put a command after the host's name, such as: help{end}",
            name = actor.name()
        );
        let answer = Answer {
            stream: StdStream::Stdout,
            text,
            code: 0,
        };
        self.answer(id, opened, answer);
        self.connection.login = None;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn data(
        &mut self,
        id: ChannelId,
        bytes: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(running) = self.running(id) {
            running.data(bytes).await;
        }
        Ok(())
    }

    fn adjust_window(&mut self, id: ChannelId, _: u32) -> u32 {
        self.running(id)
            .map_or_else(idle_window, |running| running.window())
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        if let Some(running) = self.running(id) {
            running.eof();
        }
        Ok(())
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(running) = self.running(id) {
            running.resize(size(columns, rows));
        }
        session.channel_success(id)
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let (Sig::INT | Sig::TERM | Sig::HUP | Sig::QUIT, Some(running)) =
            (signal, self.running(id))
        {
            running.interrupt();
        }
        session.channel_success(id)
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.open.remove(&id);
        match self.channels.remove(&id) {
            Some(Slot::Running(running)) => running.hang_up(),
            Some(Slot::Answered(gone) | Slot::Open(Opened { gone, .. })) => gone.cancel(),
            None => {}
        }
        Ok(())
    }
}

/// Clients with a terminal leave line ends to us.
fn line_end(opened: &Opened) -> &'static str {
    if opened.pty.is_some() { "\r\n" } else { "\n" }
}

fn size(columns: u32, rows: u32) -> TtySize {
    let fit = |value| u16::try_from(value).unwrap_or(u16::MAX);
    TtySize {
        columns: fit(columns),
        rows: fit(rows),
    }
}

/// The name ends in an environment variable.
fn known_term(term: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    if term.is_empty() || term.len() > 64 || !term.chars().all(legal) {
        return "xterm".to_owned();
    }
    term.to_owned()
}

fn is_git_protocol(value: &str) -> bool {
    value.strip_prefix("version=").is_some_and(|version| {
        version.len() == 1 && version.chars().all(|digit| digit.is_ascii_digit())
    })
}
