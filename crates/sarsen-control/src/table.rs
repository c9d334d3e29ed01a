//! The command table: each verb declared once, in the file that carries it out. Every door, `help` and the docs
//! read this table.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use sarsen_domain::AppName;
use tokio::io::AsyncRead;
use tokio_util::sync::CancellationToken;

use crate::access::{Action, Authorised};
use crate::args::Args;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::output::Out;
use crate::pipeline::Viewer;
use crate::plugins::Identity;
use crate::session::{Actor, Terminal};
use crate::verbs;

/// A verb.
pub struct Command {
    /// `apps:create`
    pub name: &'static str,
    /// Its arguments; see [`crate::args`] for the grammar.
    pub usage: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// What it does to its object, for the gate.
    pub action: Action,
    /// Carries it out.
    pub run: Handler,
}

/// A verb's function.
pub(crate) type Handler = for<'a> fn(&'a Control, &'a mut Call) -> Running<'a>;

/// A verb being carried out.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Declares a verb: name, usage, action, help, function.
macro_rules! verb {
    ($name:literal, $usage:literal, $action:ident, $help:literal, $function:expr) => {
        $crate::table::Command {
            name: $name,
            usage: $usage,
            help: $help,
            action: $crate::access::Action::$action,
            run: |control, call| Box::pin($function(control, call)),
        }
    };
}
pub(crate) use verb;

/// One use of a verb: who says it, with which arguments, through which streams.
pub struct Call {
    /// Who says it.
    pub actor: Actor,
    /// Who it is carried out for, as plugins are told.
    pub(crate) identity: Identity,
    /// The verb.
    pub command: &'static Command,
    /// Its arguments; an `<app>` is among the words still.
    pub args: Args,
    /// The app named by `<app>`: it exists, and the actor may do this to it.
    pub app: Option<Authorised<AppName>>,
    /// Where output goes.
    pub out: Out,
    /// What the caller sends.
    pub stdin: Box<dyn AsyncRead + Send + Unpin>,
    /// The caller's terminal.
    pub terminal: Option<Terminal>,
    /// The client's `GIT_PROTOCOL`.
    pub git_protocol: Option<String>,
    /// Where the caller stands on this host.
    pub folder: Option<PathBuf>,
    /// Cancelled when the caller is gone.
    pub gone: CancellationToken,
    /// `--force`: no questions.
    pub force: bool,
    /// What the audit trail says of a command that ends well all the same, as git does when a push is refused.
    pub(crate) verdict: u8,
}

impl Call {
    /// The app that the usage demands.
    pub fn app(&self) -> Outcome<Authorised<AppName>> {
        self.app
            .clone()
            .ok_or_else(|| Failure::new("Please specify an app to run the command on"))
    }

    /// A file that the caller names. Only callers on this host have files to name.
    pub fn file(&self, name: &str) -> Outcome<PathBuf> {
        match &self.folder {
            Some(folder) => Ok(folder.join(name)),
            None => Err(Failure::new(
                "Files are read on the host only: send this one on standard input instead",
            )),
        }
    }

    /// Takes the output away, for a verb that hands the streams on.
    pub fn take_out(&mut self) -> Out {
        let quiet = self.out.quiet;
        let mut nothing = Out::new(Box::new(tokio::io::sink()), Box::new(tokio::io::sink()));
        nothing.quiet = quiet;
        std::mem::replace(&mut self.out, nothing)
    }

    /// Shows a job's log to the caller.
    pub(crate) fn viewer(&mut self) -> Viewer<'_> {
        Viewer {
            output: self.out.stdout(),
            gone: self.gone.clone(),
        }
    }

    /// Takes the input away.
    pub fn take_stdin(&mut self) -> Box<dyn AsyncRead + Send + Unpin> {
        std::mem::replace(&mut self.stdin, Box::new(tokio::io::empty()))
    }
}

/// Every verb.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    verbs::ALL
        .iter()
        .copied()
        .flatten()
        .chain(verbs::addons::commands())
}

/// The first words of the verbs that are there whatever addons are: no addon can be called so.
pub fn nouns() -> Vec<&'static str> {
    let own = verbs::ALL.iter().copied().flatten();
    own.map(|command| command.name.split(':').next().unwrap_or(command.name))
        .collect()
}

/// The verb of this name.
pub(crate) fn find(name: &str) -> Option<&'static Command> {
    commands().find(|command| command.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::args::Usage;

    #[test]
    fn every_usage_can_be_read_and_every_name_is_there_once() {
        let mut names = HashSet::new();
        for command in commands() {
            assert!(
                names.insert(command.name),
                "{} is declared twice",
                command.name
            );
            Usage::parse(command.usage).unwrap_or_else(|error| panic!("{}: {error}", command.name));
            assert!(
                !command.help.is_empty() && !command.help.ends_with('.'),
                "{}",
                command.name
            );
        }
        assert!(names.len() > 50);
    }

    #[test]
    fn what_changes_something_does_not_pass_for_reading() {
        for command in
            commands().filter(|command| matches!(command.action, Action::List | Action::Read))
        {
            let verb = command.name.rsplit(':').next().unwrap_or_default();
            for change in [
                "add", "set", "remove", "clear", "create", "destroy", "unset", "cancel", "stop",
            ] {
                assert_ne!(verb, change, "{} is declared as reading", command.name);
            }
        }
    }
}
