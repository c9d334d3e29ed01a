//! `sarsen serve`: the configuration is good already; build everything, run it, and let it drain.

mod assemble;
mod components;
mod dns_ports;
mod front;
mod handed;
mod household;
mod listeners;
pub(crate) mod logging;
pub(crate) mod machine;
mod names;
mod outside;
mod passing;
mod signals;
mod succession;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::command::warn;
use crate::config::{Config, Loaded};
use crate::vars::Vars;
use assemble::{Premises, router_settings};
pub(crate) use assemble::{make_roots, repo_settings};
use front::Front;
use handed::Handed;
use household::{Entry, Household};
use listeners::Listeners;
use signals::Asked;
pub(crate) use signals::Signals;
use succession::{Predecessor, Program, Successor};

/// Requests, websockets and connections that are under way when another daemon takes over have so long to end. Nobody waits
/// for them but the containers that they are at, should these be replaced meanwhile.
const SEEING_OUT: Duration = Duration::from_secs(5 * 60);
/// Blocking work that does not notice the end is left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// Serves until told to stop. Gives the exit code.
pub fn run(loaded: &Loaded, called: &Path, words: &[String], vars: &Vars) -> u8 {
    let ended = begin(loaded, called, words, vars);
    match ended {
        Ok(()) => 0,
        Err(error) => {
            // Logging may not be there yet, and people look for the reason in the last line.
            warn(&format!("{error:#}"));
            1
        }
    }
}

fn begin(loaded: &Loaded, called: &Path, words: &[String], vars: &Vars) -> Result<()> {
    logging::start(&loaded.config.log)?;
    let handed = Handed::take(vars)?;
    let program = Program::new(called, words)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("sarsen")
        .build()
        .context("cannot start threads")?;
    let proxies = proxies(vars);
    let ended = runtime.block_on(serve(&loaded.config, &program, handed, &proxies));
    runtime.shutdown_timeout(LEFT_BEHIND);
    ended
}

/// What git is told about the way to other servers.
fn proxies(vars: &Vars) -> Vec<(String, String)> {
    let known = [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "ssl_cert_file",
        "ssl_cert_dir",
    ];
    vars.named()
        .filter(|(name, _)| known.contains(&name.to_ascii_lowercase().as_str()))
        .filter_map(|(name, value)| Some((name.to_owned(), value.to_str()?.to_owned())))
        .collect()
}

async fn serve(
    config: &Config,
    program: &Program,
    mut handed: Handed,
    proxies: &[(String, String)],
) -> Result<()> {
    let mut signals = Signals::listen()?;
    let predecessor = handed.predecessor.take().map(Predecessor::at);
    let entry = match predecessor {
        Some(_) => Entry::Succeeding,
        None => Entry::Free,
    };
    let house = household::enter(config, entry).await?;
    let ports = std::mem::take(&mut handed.ports);
    let listeners = Listeners::open(config, handed).await?;
    let mut front = Front::new(router_settings(config)?, ports)?;
    let premises = Premises {
        config,
        listeners: &listeners,
        program,
        proxies,
    };
    let alone = CancellationToken::new();
    let mut household = Household::start(&premises, house, &mut front, &alone).await?;
    begin_to_serve(predecessor, &mut front, &alone);
    let end = loop {
        let end = attend(&mut signals, &mut household, &mut front).await;
        if !matches!(end, End::HandOver) {
            break end;
        }
        match hand_over(&premises, household, &mut front, &mut signals, &alone).await? {
            Handover::Not(kept) => household = kept,
            Handover::Instead(end, kept) => {
                household = kept;
                break end;
            }
            Handover::Done(successor) => {
                listeners.give_up();
                see_out(&front, &successor, &mut signals).await;
                return Ok(());
            }
        }
    };
    tracing::info!("{end}: stopping");
    notify(&[NotifyState::Stopping]);
    // Whoever comes now is refused.
    drop(listeners);
    let deadline = config.shutdown.deadline + LEFT_BEHIND;
    close(&household, &front, deadline, &mut signals).await;
    match end {
        End::Signal(_) | End::HandOver => Ok(()),
        End::Component(_) => bail!("{end}, which never should: see the log"),
    }
}

/// What is under way ends, or its time does.
async fn close(household: &Household, front: &Front, deadline: Duration, signals: &mut Signals) {
    front.hurry();
    let all = async { tokio::join!(household.close(deadline), front.close(deadline)) };
    tokio::select! {
        _ = all => {}
        signal = signals.stop() => warn(&format!("{signal} again: not waiting any longer")),
    }
    tracing::info!("stopped");
}

/// Tells whoever waits for it.
fn begin_to_serve(predecessor: Option<Predecessor>, front: &mut Front, alone: &CancellationToken) {
    match predecessor {
        Some(predecessor) => front.relieve(predecessor, alone.clone()),
        None => {
            alone.cancel();
            notify(&[NotifyState::Ready]);
        }
    }
}

/// Waits for something that changes everything.
async fn attend(signals: &mut Signals, household: &mut Household, front: &mut Front) -> End {
    tokio::select! {
        asked = signals.next() => match asked {
            Asked::Stop(name) => End::Signal(name),
            Asked::HandOver => End::HandOver,
        },
        name = household.components.first_end() => End::Component(name),
        name = front.first_end() => End::Component(name),
    }
}

/// Gives this daemon's place to another one, or goes on as before.
async fn hand_over(
    premises: &Premises<'_>,
    household: Household,
    front: &mut Front,
    signals: &mut Signals,
    alone: &CancellationToken,
) -> Result<Handover> {
    let &Premises {
        config,
        listeners,
        program,
        ..
    } = premises;
    tracing::info!("another daemon is to take this one's place");
    notify(&[NotifyState::Reloading]);
    let prepared = tokio::select! {
        prepared = household.prepare_to_leave(program, config.shutdown.deadline) => prepared,
        signal = signals.stop() => return Ok(Handover::Instead(End::Signal(signal), household)),
    };
    if let Err(error) = prepared {
        keep_place(&error);
        return Ok(Handover::Not(household));
    }
    household.leave().await;
    let error = match program.succeed(listeners, &front.ports).await {
        Ok(successor) => {
            notify(&[NotifyState::MainPid(successor.pid), NotifyState::Ready]);
            return Ok(Handover::Done(successor));
        }
        Err(error) => error.context("the other one did not come up"),
    };
    let house = household::enter(config, Entry::Succeeding).await?;
    let household = Household::start(premises, house, front, alone).await?;
    keep_place(&error);
    Ok(Handover::Not(household))
}

fn keep_place(error: &anyhow::Error) {
    tracing::error!("this daemon keeps its place: {error:#}");
    notify(&[NotifyState::Ready]);
}

/// The requests under way end where they began.
async fn see_out(front: &Front, successor: &Successor, signals: &mut Signals) {
    let pid = successor.pid;
    tracing::info!("process {pid} serves now; what is under way here goes on for {SEEING_OUT:?}");
    front.router.bid_farewell(SEEING_OUT);
    let end = tokio::select! {
        () = front.close(SEEING_OUT + LEFT_BEHIND) => "stopped".to_owned(),
        signal = signals.stop() => format!("{signal}: stopped, whatever is under way"),
    };
    tracing::info!("{end}");
}

/// Why the daemon ends.
enum End {
    Signal(&'static str),
    Component(&'static str),
    HandOver,
}

/// What came of an attempt to hand over.
enum Handover {
    /// Everything is as it was, or was made so again.
    Not(Household),
    /// Something else was asked meanwhile.
    Instead(End, Household),
    Done(Successor),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::Component(name) => write!(f, "{name} has ended by itself"),
            Self::HandOver => f.write_str("SIGUSR2"),
        }
    }
}

fn notify(state: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}
