//! Accepts connections, gives each its limits, and lets running commands finish at shutdown.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::HashAlg;
use russh::keys::ssh_key::Algorithm;
use russh::server::{Config, RunningSession, run_stream};
use russh::{Disconnect, MethodKind, MethodSet, Preferred, SshId};
use sarsen_control::Front;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::command::{Tasks, idle_window};
use crate::handler::{Connection, Handler};
use crate::host_key::{self, HostKeyError};
use crate::limits::{Limits, Place};
use crate::logins::Logins;
use crate::settings::SshSettings;
use crate::stream::Socket;

/// A refused key costs this much, whatever the reason. Keys cannot be guessed, and an agent may offer several before the right one.
const REJECTION_TIME: Duration = Duration::from_millis(100);
/// After the farewell a client has so long to close its side.
const FAREWELL: Duration = Duration::from_secs(2);
const FIRST_BACK_OFF: Duration = Duration::from_millis(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(1);

/// The ssh front door.
pub struct SshServer<F> {
    settings: Arc<SshSettings>,
    config: Arc<Config>,
    fingerprint: String,
    front: F,
    logins: Logins,
}

/// A connection that nobody has read from yet.
struct Arrival {
    tcp: TcpStream,
    peer: SocketAddr,
    place: Place,
    login: TaskTrackerToken,
}

/// What the accept loop shares with its connections.
#[derive(Clone)]
struct Shared<F> {
    settings: Arc<SshSettings>,
    config: Arc<Config>,
    front: F,
    logins: Logins,
    /// No new commands.
    closing: CancellationToken,
    /// No more patience.
    deadline: CancellationToken,
    tasks: TaskTracker,
}

impl<F: Front> SshServer<F> {
    /// Reads the host key, or makes it.
    pub fn new(settings: SshSettings, front: F) -> Result<Self, HostKeyError> {
        let key = host_key::load_or_create(&settings.host_key)?;
        let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
        let config = Config {
            server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Sarsen")),
            methods: MethodSet::from(&[MethodKind::PublicKey][..]),
            auth_rejection_time: REJECTION_TIME,
            // OpenSSH opens every login with an empty attempt, to learn the methods.
            auth_rejection_time_initial: Some(Duration::ZERO),
            keys: vec![key],
            window_size: idle_window(),
            // A build may be silent for long; keepalives tell whether the client is there.
            inactivity_timeout: None,
            keepalive_interval: Some(settings.keepalive_interval),
            keepalive_max: settings.keepalive_max,
            preferred: Preferred {
                key: without_sha1(&Preferred::default().key).into(),
                ..Preferred::default()
            },
            nodelay: true,
            ..Config::default()
        };
        Ok(Self {
            settings: Arc::new(settings),
            config: Arc::new(config),
            fingerprint,
            front,
            logins: Logins::default(),
        })
    }

    /// The host key's `SHA256:…`, as ssh shows it at the first connection.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Those who are about to ask for something.
    pub fn logins(&self) -> Logins {
        self.logins.clone()
    }

    /// Serves until `shutdown`; then running commands have the settings' drain time to finish.
    pub async fn run(self, listener: TcpListener, shutdown: CancellationToken) {
        let drain = self.settings.drain;
        let deadline = CancellationToken::new();
        // Also when our caller loses patience and drops us.
        let _deadline_on_drop = deadline.clone().drop_guard();
        let shared = Shared {
            settings: self.settings,
            config: self.config,
            front: self.front,
            logins: self.logins,
            closing: shutdown.clone(),
            deadline: deadline.clone(),
            tasks: TaskTracker::new(),
        };
        tokio::select! {
            () = accept(&listener, &shared) => {}
            () = shared.logins.closed() => {}
            () = shutdown.cancelled() => {}
        }
        drop(listener);
        shutdown.cancelled().await;
        shared.tasks.close();
        if timeout(drain, shared.tasks.wait()).await.is_err() {
            tracing::warn!("ssh commands are still running after {drain:?}: ending them");
            deadline.cancel();
            if timeout(FAREWELL, shared.tasks.wait()).await.is_err() {
                tracing::warn!("{} ssh tasks did not end", shared.tasks.len());
            }
        }
    }
}

/// For ever: whatever is wrong with one connection, the next may be fine.
async fn accept<F: Front>(listener: &TcpListener, shared: &Shared<F>) {
    let settings = &shared.settings;
    let limits = Limits::new(settings.max_connections, settings.max_connections_per_ip);
    let mut back_off = FIRST_BACK_OFF;
    loop {
        match listener.accept().await {
            Ok((tcp, peer)) => {
                back_off = FIRST_BACK_OFF;
                match limits.take(peer.ip()) {
                    Some(place) => {
                        let arrival = Arrival {
                            tcp,
                            peer,
                            place,
                            login: shared.logins.begin(),
                        };
                        shared.tasks.spawn(serve(shared.clone(), arrival));
                    }
                    None => refuse(&tcp, peer),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept ssh connections for {back_off:?}");
                sleep(back_off).await;
                back_off = (back_off * 2).min(LONGEST_BACK_OFF);
            }
        }
    }
}

/// Before its version a server may send lines of text; `ssh -v` shows them.
fn refuse(tcp: &TcpStream, peer: SocketAddr) {
    tracing::info!(client.address = %peer.ip(), "too many ssh connections from {}", peer.ip());
    if let Err(error) = tcp.try_write(b"Too many connections, try again later\r\n") {
        tracing::debug!(%error, "cannot say so");
    }
}

async fn serve<F: Front>(shared: Shared<F>, arrival: Arrival) {
    let Arrival {
        tcp,
        peer,
        place,
        login,
    } = arrival;
    let commands = TaskTracker::new();
    let stop = shared.deadline.child_token();
    let patience = shared.settings.patience();
    let socket = Socket::new(tcp, &stop, patience);
    let connection = Connection {
        front: shared.front.clone(),
        settings: Arc::clone(&shared.settings),
        source: peer.ip().to_canonical(),
        tasks: Tasks {
            connection: commands.clone(),
            server: shared.tasks.clone(),
        },
        logged_in: CancellationToken::new(),
        closing: shared.closing.clone(),
        login: Some(login),
    };
    let ended = session(&shared, socket, connection, &stop).await;
    if let Err(error) = ended {
        tracing::debug!(client.address = %peer, %error, "ssh connection ended");
    }
    // Whatever the session still does, it does without a connection.
    stop.cancel();
    // A command may outlive its client, but it keeps the client's place.
    commands.close();
    commands.wait().await;
    drop(place);
}

async fn session<F: Front>(
    shared: &Shared<F>,
    socket: Socket,
    connection: Connection<F>,
    stop: &CancellationToken,
) -> Result<(), russh::Error> {
    let logged_in = connection.logged_in.clone();
    let commands = connection.tasks.connection.clone();
    let handler = Handler::new(connection, stop.child_token());
    let login = sleep(shared.settings.auth_timeout);
    tokio::pin!(login);
    let start = run_stream(Arc::clone(&shared.config), socket, handler);
    let mut session = tokio::select! {
        started = start => started?,
        () = &mut login => return Err(russh::Error::ConnectionTimeout),
        () = shared.closing.cancelled() => return Ok(()),
    };
    tokio::select! {
        ended = &mut session => return ended,
        () = &mut login => return Err(russh::Error::ConnectionTimeout),
        () = shared.closing.cancelled() => return Ok(()),
        () = logged_in.cancelled() => {}
    }
    tokio::select! {
        ended = &mut session => return ended,
        () = shared.closing.cancelled() => {}
    }
    farewell(session, &commands).await
}

/// Waits for the commands, then says good-bye.
async fn farewell<F: Front>(
    mut session: RunningSession<Handler<F>>,
    commands: &TaskTracker,
) -> Result<(), russh::Error> {
    commands.close();
    tokio::select! {
        ended = &mut session => return ended,
        () = commands.wait() => {}
    }
    let handle = session.handle();
    let words = "the server is shutting down".to_owned();
    let parting = async {
        handle
            .disconnect(Disconnect::ByApplication, words, String::new())
            .await?;
        session.await
    };
    timeout(FAREWELL, parting).await.unwrap_or(Ok(()))
}

/// What clients may prove their keys with.
fn without_sha1(algorithms: &[Algorithm]) -> Vec<Algorithm> {
    let strong = |algorithm: &&Algorithm| {
        !matches!(algorithm, Algorithm::Dsa | Algorithm::Rsa { hash: None })
    };
    algorithms.iter().filter(strong).cloned().collect()
}
