//! The client on another machine: finds host and app from the checkout's git remote, as Dokku's client does, and runs
//! the ssh client.

mod checkout;
mod line;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;

use super::Environment;
use crate::command::{say, warn};
use checkout::{Checkout, Git};
use line::{Line, Place, Said};

/// Dokku's client says so when it knows no host.
const NO_HOST: u8 = 20;
const FAILURE: u8 = 1;

/// What decides whether a command is for a host elsewhere.
pub(super) struct Here<'a> {
    pub(super) socket: &'a Path,
    /// Whether somebody has said which socket it is: scripts of the daemon have.
    pub(super) socket_is_given: bool,
    pub(super) environment: Environment<'a>,
}

/// Carries the words out on the host that they are for, if that is another one; gives the exit code.
///
/// A socket that was named is where commands go. Otherwise `--remote` and `DOKKU_HOST` name a host; otherwise the daemon
/// of this machine answers, if it has one; otherwise the checkout's remote names the host.
pub(super) fn elsewhere(words: &[String], here: &Here<'_>) -> Option<u8> {
    if here.socket_is_given {
        return None;
    }
    let said = Said::read(words);
    let host = variable(here, "DOKKU_HOST");
    let is_remote_command = said
        .words
        .first()
        .is_some_and(|word| is_about_remotes(word));
    let wants = said.remote.is_some() || host.is_some() || is_remote_command;
    if !wants && here.socket.exists() {
        return None;
    }
    let git = Git::here();
    let checkout = git.checkout();
    if is_remote_command {
        if checkout.is_none() {
            warn("This is not a git checkout");
            return Some(FAILURE);
        }
        return Some(about_remotes(&git, &said.words));
    }
    // A machine without daemon and without a hint gets the usual complaint about the daemon.
    if !wants
        && checkout
            .as_ref()
            .is_none_or(|found| found.chosen(None).is_none())
    {
        return None;
    }
    Some(run(&said, host, here, &git, checkout.as_ref()))
}

fn run(
    said: &Said,
    host: Option<String>,
    here: &Here<'_>,
    git: &Git,
    checkout: Option<&Checkout>,
) -> u8 {
    let remote = checkout.and_then(|found| found.chosen(said.remote.as_deref()));
    if let (Some(name), None) = (&said.remote, &remote) {
        warn(&format!(
            "There is no git remote {} here that names a host",
            name.escape_debug()
        ));
        return NO_HOST;
    }
    let place = match place(host, here, remote) {
        Ok(Some(place)) => place,
        Ok(None) => {
            warn(
                "Which host? Set DOKKU_HOST, or add a git remote: git remote add dokku dokku@HOST:APP",
            );
            return NO_HOST;
        }
        Err(complaint) => {
            warn(&complaint);
            return NO_HOST;
        }
    };
    let line = match Line::new(said, &place) {
        Ok(line) => line,
        Err(complaint) => {
            warn(&complaint);
            return FAILURE;
        }
    };
    let code = ssh(&place, &line.text());
    if code == 0 && checkout.is_some() {
        after(git, said, &line, &place);
    }
    code
}

/// The host that was named wins over the remote's, which then only tells the app.
fn place(
    host: Option<String>,
    here: &Here<'_>,
    remote: Option<Place>,
) -> Result<Option<Place>, String> {
    let Some(host) = host else {
        return Ok(remote);
    };
    let port = match variable(here, "DOKKU_PORT") {
        None => None,
        Some(text) => match text.parse::<u16>() {
            Ok(port) if port > 0 => Some(port),
            Ok(_) | Err(_) => {
                return Err(format!("DOKKU_PORT is no port: {}", text.escape_debug()));
            }
        },
    };
    let app = remote.and_then(|remote| remote.app);
    Place::new("dokku", &host, port, app).map(Some)
}

fn variable(here: &Here<'_>, name: &str) -> Option<String> {
    let value = (here.environment)(name)?.into_string().ok()?;
    Some(value).filter(|value| !value.is_empty())
}

/// The user's own ssh client, with all its settings.
#[expect(
    clippy::disallowed_types,
    reason = "a short-lived program without a runtime; the streams are handed over as they are"
)]
fn ssh(place: &Place, line: &str) -> u8 {
    let mut arguments: Vec<OsString> = vec!["-o".into(), "LogLevel=QUIET".into()];
    if let Some(port) = place.port {
        arguments.extend(["-p".into(), port.to_string().into()]);
    }
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        arguments.push("-t".into());
    }
    arguments.extend(["--".into(), place.address().into(), line.into()]);
    match std::process::Command::new("ssh").args(arguments).status() {
        Ok(status) => status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(FAILURE),
        Err(error) => {
            warn(&format!("cannot run ssh: {error}"));
            FAILURE
        }
    }
}

/// A checkout without remote gets one with the app it has been made for, and loses it with the app.
fn after(git: &Git, said: &Said, line: &Line, place: &Place) {
    let name = said
        .remote
        .as_deref()
        .map_or_else(|| git.remote_name(), str::to_owned);
    let Some(app) = line.app() else { return };
    match said.words.first().map(String::as_str) {
        Some("apps:create")
            if git.url(&name).is_none()
                && git.run(&["remote", "add", "--", &name, &place.url(app)]) =>
        {
            say(&format!(
                "-----> Added the git remote {name}: git push {name} main\n"
            ));
        }
        Some("apps:destroy") => {
            let url = git.url(&name);
            let names_app = url.and_then(|url| Place::of_url(&url)?.app);
            if names_app.as_deref() == Some(app) && git.run(&["remote", "remove", "--", &name]) {
                say(&format!("-----> Removed the git remote {name}\n"));
            }
        }
        _ => {}
    }
}

fn is_about_remotes(word: &str) -> bool {
    word == "remote" || word.starts_with("remote:")
}

/// `remote`, `remote:add` and their like: they concern the checkout only.
fn about_remotes(git: &Git, words: &[String]) -> u8 {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = |worked: bool| u8::from(!worked);
    match words.as_slice() {
        ["remote" | "remote:show"] => say(&format!("{}\n", git.remote_name())),
        ["remote:list"] => done(git.run(&["remote"])),
        ["remote:add", name, url] => done(git.run(&["remote", "add", "--", name, url])),
        ["remote:remove", name] => done(git.run(&["remote", "remove", "--", name])),
        ["remote:set", name] if git.url(name).is_some() => {
            done(git.run(&["config", "dokku.remote", name]))
        }
        ["remote:set", name] => {
            warn(&format!("There is no git remote {}", name.escape_debug()));
            FAILURE
        }
        ["remote:unset"] => done(git.run(&["config", "--unset", "dokku.remote"])),
        _ => {
            warn(
                "Usage: remote, remote:show, remote:list, remote:add NAME URL, remote:remove NAME, remote:set NAME, \
                 remote:unset",
            );
            FAILURE
        }
    }
}
