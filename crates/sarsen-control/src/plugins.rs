//! Where plugins come in: triggers at the ends of stages and of an app's life, commands that none of ours is, help.

pub(crate) mod answers;
mod errands;
mod gate;
mod identity;
mod moments;
mod values;

use std::path::PathBuf;
use std::time::Duration;

use sarsen_plugins::{
    Call as Script, Detail, Dispatch, Exit, Output, PluginError, Run, Stdin, Streams, Trigger,
    TriggerReport, WITHIN,
};
use sarsen_store::{NewEvent, PluginRun, Scope};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use sarsen_domain::{AppName, Progress};

use crate::access::{Action, authorise};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::output::{Out, columns};
use crate::pipeline::Job;
use crate::session::Actor;
use crate::table;

pub(crate) use self::errands::Errands;
pub(crate) use self::identity::Identity;
pub(crate) use self::moments::ConfigChange;

/// A plugin that takes longer to say what its commands are is left out of help.
const HELP_LIMIT: Duration = Duration::from_secs(2);
/// All commands take longer to tell: datastores read a file for each.
const LONG_HELP_LIMIT: Duration = Duration::from_secs(20);

impl From<PluginError> for Failure {
    fn from(error: PluginError) -> Self {
        Self::new(error.to_string())
    }
}

/// A command that is none of ours, and who gave it.
pub(crate) struct Foreign<'a> {
    pub actor: &'a Actor,
    pub identity: &'a Identity,
    pub words: &'a [String],
    pub env: Vec<(String, String)>,
    pub folder: Option<PathBuf>,
    pub tracing: Tracing,
    pub stdin: Box<dyn AsyncRead + Send + Unpin>,
    pub gone: CancellationToken,
}

impl Control {
    /// Fires a trigger inside a stage. A plugin that fails ends the deploy; what it said stands in the log.
    pub(crate) async fn ask_plugins(&self, job: &Job, trigger: Trigger, args: &[&str]) -> Outcome {
        self.note_trigger(&trigger, args).await;
        if !self.plugins.implements(&trigger) {
            return Ok(());
        }
        let mut call = Script::new(args, Output::Log(&job.log));
        call.env = self.author_env(job).await?;
        let fired = tokio::select! {
            fired = Box::pin(self.plugins.trigger(&trigger, call)) => fired?,
            // Dropping the call stops the script.
            () = job.cancelled().cancelled() => return Err(Failure::new("The deploy was cancelled")),
        };
        self.record(&fired).await;
        fired
            .failed()
            .map_or(Ok(()), |run| Err(Failure::new(format!("Stopped by {run}"))))
    }

    /// Variables of scripts inside a deploy.
    async fn author_env(&self, job: &Job) -> Outcome<Vec<(String, String)>> {
        let keys = self.store.ssh_keys().list().await?;
        let mut env = Identity::of_author(&job.author, &keys).env();
        env.push(("DOKKU_BUILD_ID".to_owned(), job.build.to_string()));
        Ok(env)
    }

    /// The same where nothing can be stopped any more: a failure is said.
    pub(crate) async fn tell_plugins(&self, job: &Job, trigger: Trigger, args: &[&str]) {
        if let Err(failure) = self.ask_plugins(job, trigger, args).await {
            job.log
                .warn(&format!("{failure}\nThe release serves all the same"));
        }
    }

    /// Fires a trigger in the life of an app, outside of any deploy. The failure says what the plugin said.
    pub(crate) async fn ask_plugins_about(&self, trigger: Trigger, args: &[&str]) -> Outcome {
        self.note_trigger(&trigger, args).await;
        if !self.plugins.implements(&trigger) {
            return Ok(());
        }
        let call = Script::new(args, Output::Kept);
        let fired = tokio::select! {
            fired = Box::pin(self.plugins.trigger(&trigger, call)) => fired?,
            () = self.shutdown.cancelled() => return Err(Failure::new("The daemon is about to end")),
        };
        self.record(&fired).await;
        let spoke = |run: &&Run| run.exit.is_success() && !run.last_words.is_empty();
        for run in fired.runs.iter().filter(spoke) {
            tracing::info!(plugin.name = %run.plugin, "{}: {}", run.script, run.last_words);
        }
        fired.failed().map_or(Ok(()), |run| Err(failure_of(run)))
    }

    /// The same where nothing can be stopped any more.
    pub(crate) async fn tell_plugins_about(&self, trigger: Trigger, args: &[&str]) {
        if let Err(failure) = self.ask_plugins_about(trigger.clone(), args).await {
            tracing::warn!("{trigger} {}: {failure}", args.join(" "));
        }
    }

    /// What plugins are told as `IMAGE_TAG`: with `dokku/APP:` before it, the image that runs.
    pub(crate) async fn image_tag(&self, app: &AppName) -> Outcome<String> {
        let live = self.store.releases().live(app).await?;
        Ok(live.map_or_else(|| "latest".to_owned(), |release| release.number.to_string()))
    }

    /// Offers a command to the plugins; `None` when nobody knows it.
    pub(crate) async fn offer(&self, foreign: Foreign<'_>, out: &mut Out) -> Outcome<Option<()>> {
        let Foreign {
            actor,
            identity,
            words,
            mut env,
            folder,
            tracing,
            stdin,
            gone,
        } = foreign;
        let words = authorise(actor, Action::Host, words)?;
        env.extend(identity.env());
        let errand = self.errands.begin(actor);
        env.extend(errand.map(|token| (WITHIN.to_owned(), token)));
        let mut lent = Lent::of(out);
        lent.tracing = tracing;
        let call = Script {
            args: Vec::new(),
            env,
            folder: folder.filter(|folder| folder.is_dir()),
            stdin: Stdin::From(stdin),
            output: lent.output(),
        };
        let dispatched = tokio::select! {
            dispatched = Box::pin(self.plugins.command(&words, call)) => dispatched,
            () = gone.cancelled() => return Err(Failure::silent(1)),
        };
        lent.give_back(out);
        let dispatched = dispatched?;
        let Dispatch::Ran(run) = dispatched else {
            return Ok(None);
        };
        self.audit_foreign(actor, &words, &run).await;
        self.remember(std::slice::from_ref(&run)).await;
        match &run.exit {
            Exit::Code(0) => Ok(Some(())),
            // It has spoken for itself.
            Exit::Code(code) => Err(Failure::silent(*code)),
            Exit::Signal(_) | Exit::TimedOut(_) | Exit::NotStarted(_) => {
                Err(Failure::new(run.to_string()).with_code(run.exit.code()))
            }
        }
    }

    async fn audit_foreign(&self, actor: &Actor, words: &[String], run: &Run) {
        let text = |index| words.get(index).map_or("", String::as_str);
        let detail =
            serde_json::json!({ "exit_code": run.exit.code(), "plugin": run.plugin.as_str() });
        let event = NewEvent {
            actor: actor.name(),
            source_ip: actor.source(),
            action: text(0),
            object: text(1),
            detail: &detail,
        };
        if let Err(error) = self.store.events().append(event).await {
            tracing::error!(%error, "cannot append to the audit log");
        }
    }

    /// Writes down that a trigger is fired, when people asked for that with `events:on`.
    pub(crate) async fn note_trigger(&self, trigger: &Trigger, args: &[&str]) {
        if !self.logs_events().await {
            return;
        }
        let object = args.join(" ");
        let detail = serde_json::json!({ "invoked": true });
        let event = NewEvent {
            actor: "sarsen",
            source_ip: None,
            action: trigger.as_str(),
            object: &object,
            detail: &detail,
        };
        tracing::info!("INVOKED: {trigger}( {} )", object.escape_debug());
        if let Err(error) = self.store.events().append(event).await {
            tracing::error!(%error, "cannot append to the audit log");
        }
    }

    /// Whether `events:on` was said.
    pub(crate) async fn logs_events(&self) -> bool {
        let properties = self.store.properties();
        let logged = properties.get(&Scope::Global, "events", "logged").await;
        logged.is_ok_and(|value| value.as_deref() == Some("true"))
    }

    /// Says and remembers how scripts ended.
    pub(crate) async fn record(&self, fired: &TriggerReport) {
        for skipped in &fired.skipped {
            tracing::warn!("{skipped}");
        }
        self.remember(&fired.runs).await;
    }

    /// A report that is not complete is no reason to fail.
    async fn remember(&self, runs: &[Run]) {
        if runs.is_empty() {
            return;
        }
        let rows: Vec<_> = runs.iter().map(row_of).collect();
        if let Err(error) = self.store.plugin_runs().append(&rows).await {
            tracing::warn!(%error, "cannot remember how scripts of plugins ended");
        }
    }

    /// The plugins' part of help; nothing when there is none.
    pub(crate) async fn foreign_help(&self, out: &mut Out, detail: Detail) -> Outcome {
        let limit = match detail {
            Detail::Short => HELP_LIMIT,
            Detail::Everything => LONG_HELP_LIMIT,
        };
        let mut lines = self.plugins.help(limit, detail).await?;
        if lines.is_empty() {
            return Ok(());
        }
        lines.sort();
        let row = |(name, help): (String, String)| vec![format!("    {name}"), help];
        let table = columns(&lines.into_iter().map(row).collect::<Vec<_>>());
        out.bytes(format!("\nCommunity plugin commands:\n\n{table}").as_bytes())
            .await
    }
}

/// A caller's streams while a script writes to them.
pub(crate) struct Lent {
    stdout: Box<dyn AsyncWrite + Send + Unpin>,
    stderr: Box<dyn AsyncWrite + Send + Unpin>,
    quiet: bool,
    tracing: Tracing,
}

/// Whether `--trace` was given: each line of a script says whose it is, and scripts show what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tracing {
    Off,
    On,
}

impl Lent {
    /// Takes the streams away.
    pub(crate) fn of(out: &mut Out) -> Self {
        let quiet = out.quiet;
        let nothing = Out::new(Box::new(tokio::io::sink()), Box::new(tokio::io::sink()));
        let (stdout, stderr) = std::mem::replace(out, nothing).into_streams();
        Self {
            stdout,
            stderr,
            quiet,
            tracing: Tracing::Off,
        }
    }

    /// For a script.
    pub(crate) fn output(&mut self) -> Output<'_> {
        Output::Streams(Streams {
            stdout: &mut *self.stdout,
            stderr: &mut *self.stderr,
            tagged: self.tracing == Tracing::On,
        })
    }

    pub(crate) fn give_back(self, out: &mut Out) {
        *out = Out::new(self.stdout, self.stderr);
        out.quiet = self.quiet;
    }
}

/// When help is asked for about something that is not ours: the words that ask a plugin for it.
pub(crate) fn help_elsewhere(
    words: &[String],
    is_plugin: impl Fn(&str) -> bool,
) -> Option<Vec<String>> {
    let (name, arguments) = words.split_first()?;
    let subject = if name == "help" {
        arguments.iter().find(|word| !word.starts_with('-'))?
    } else {
        name
    };
    let noun = subject.split(':').next().unwrap_or_default();
    let ours = |command: &table::Command| command.name.split(':').next() == Some(noun);
    // A plugin that has the name of an addon has taken its place.
    let replaced = !table::nouns().contains(&noun) && is_plugin(noun);
    if table::commands().any(ours) && !replaced {
        return None;
    }
    Some(if name == "help" {
        vec![format!("{noun}:help")]
    } else {
        words.to_vec()
    })
}

/// A trigger's failure with what the plugin said, where no log shows it.
pub(crate) fn failure_of(run: &Run) -> Failure {
    let said = if run.last_words.is_empty() {
        String::new()
    } else {
        format!("\n{}", run.last_words)
    };
    Failure::new(format!("Stopped by {run}{said}"))
}

fn row_of(run: &Run) -> PluginRun {
    let millis = run.duration.as_millis();
    tracing::debug!(plugin.name = %run.plugin, exit_code = run.exit.code(), millis, "{} ended", run.script);
    let failure = if run.exit.is_success() {
        String::new()
    } else {
        run.exit.to_string()
    };
    PluginRun {
        plugin: run.plugin.to_string(),
        script: run.script.clone(),
        at_ms: 0,
        millis: i64::try_from(millis).unwrap_or(i64::MAX),
        exit_code: run.exit.code(),
        failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn help_about_what_is_not_ours_goes_to_plugins() {
        for ours in [
            "help",
            "help --all",
            "help apps",
            "apps:help",
            "apps:create --help",
            "help ps:scale",
        ] {
            assert_eq!(help_elsewhere(&words(ours), |_| true), None, "{ours}");
        }
        for (asked, passed) in [
            ("help hello", "hello:help"),
            ("hello:help", "hello:help"),
            ("hello:help say", "hello:help say"),
            ("hello:say --help", "hello:say --help"),
        ] {
            assert_eq!(
                help_elsewhere(&words(asked), |_| false),
                Some(words(passed)),
                "{asked}"
            );
        }
    }
}
