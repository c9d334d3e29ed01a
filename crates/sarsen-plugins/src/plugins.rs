//! The handle: which plugins there are, and what happens when a trigger fires or a command is theirs.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sarsen_domain::Progress;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::environment;
use crate::error::PluginError;
use crate::install::Fetch;
use crate::manifest::Manifest;
use crate::name::{PluginName, Trigger};
use crate::output::Output;
use crate::process::{Env, Program, run};
use crate::report::{Exit, Run, TriggerReport};
use crate::shelf::{Plugin, Script, Shelf};
use crate::source::{Source, committish};
use crate::stdin::{Shared, Stdin, feeding};

/// "Not mine", says a `commands` script.
const NOT_IMPLEMENTED: u8 = 10;
/// Beginning of the folders in which plugins are put together.
const WORKSHOP: &str = ".incoming-";

/// What the host must know.
#[derive(Debug, Clone)]
pub struct PluginSettings {
    /// The folder of plugins: `available/`, `enabled/`.
    pub root: PathBuf,
    /// `DOKKU_LIB_ROOT`
    pub lib_root: PathBuf,
    /// `DOKKU_ROOT`: the apps' repositories.
    pub dokku_root: PathBuf,
    /// The control socket, for scripts that call back.
    pub socket: PathBuf,
    /// Our own program, which scripts call as `dokku`.
    pub binary: PathBuf,
    /// Further variables for scripts.
    pub env: Vec<(OsString, OsString)>,
    /// How long one plugin may take over a trigger.
    pub trigger_time_limit: Duration,
    /// Scripts being stopped outlive the call that started them.
    pub tasks: TaskTracker,
}

/// One use of a script: what it is told and where it talks to.
pub struct Call<'a> {
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables of this use, such as who asked.
    pub env: Vec<(String, String)>,
    /// What it reads.
    pub stdin: Stdin,
    /// Where its output goes.
    pub output: Output<'a>,
}

/// What is to be installed.
#[derive(Debug, Clone)]
pub struct Installation {
    /// Where from.
    pub source: Source,
    /// What it is to be called.
    pub name: PluginName,
    /// Branch, tag or commit of a git repository.
    pub committish: Option<String>,
}

/// What became of a command that is not one of ours.
#[derive(Debug, Clone)]
pub enum Dispatch {
    /// No plugin knows it.
    NotMine,
    /// A plugin took it on; its exit is the command's.
    Ran(Run),
}

/// The plugin host. Cheap to clone. Nothing of it is locked while a script runs.
#[derive(Clone)]
pub struct Plugins(Arc<Inner>);

struct Inner {
    shelf: Shelf,
    variables: Env,
    limit: Duration,
    tasks: TaskTracker,
    /// Held while the shelf is changed.
    changes: Mutex<()>,
}

impl<'a> Call<'a> {
    /// With these arguments, and nothing to read.
    pub fn new(args: &[&str], output: Output<'a>) -> Self {
        Self {
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: Vec::new(),
            stdin: Stdin::Empty,
            output,
        }
    }
}

impl Plugins {
    /// Makes the folders that are not there.
    pub fn new(settings: &PluginSettings) -> Result<Self, PluginError> {
        let shelf = Shelf::open(&settings.root)?;
        sweep(&settings.root);
        for name in ["available", "enabled"] {
            let folder = settings.lib_root.join("core-plugins").join(name);
            fs::create_dir_all(&folder).map_err(PluginError::io("make the folder", &folder))?;
        }
        let tools = settings.root.join(".tools");
        environment::furnish(&tools, &settings.binary)?;
        Ok(Self(Arc::new(Inner {
            shelf,
            variables: environment::variables(settings, &tools),
            limit: settings.trigger_time_limit,
            tasks: settings.tasks.clone(),
            changes: Mutex::new(()),
        })))
    }

    /// Every plugin, by name.
    pub fn list(&self) -> Result<Vec<Plugin>, PluginError> {
        self.0.shelf.list()
    }

    /// The plugin of this name.
    pub fn find(&self, name: &PluginName) -> Result<Plugin, PluginError> {
        self.0.shelf.find(name)
    }

    /// Whether any enabled plugin answers the trigger: one look into a folder, and one per plugin.
    pub fn implements(&self, trigger: &Trigger) -> bool {
        let place = Path::new(trigger.as_str());
        let answers = |name: &PluginName| self.0.shelf.script(name, place).is_some();
        self.0
            .shelf
            .enabled_names()
            .is_ok_and(|names| names.iter().any(answers))
    }

    /// Fires a trigger: each enabled plugin that answers it runs, in order of names, until one fails.
    pub async fn trigger(
        &self,
        trigger: &Trigger,
        call: Call<'_>,
    ) -> Result<TriggerReport, PluginError> {
        self.fire(trigger, call, Some(self.0.limit)).await
    }

    /// The same without a time limit, for somebody who watches.
    pub async fn trigger_by_hand(
        &self,
        trigger: &Trigger,
        call: Call<'_>,
    ) -> Result<TriggerReport, PluginError> {
        self.fire(trigger, call, None).await
    }

    async fn fire(
        &self,
        trigger: &Trigger,
        call: Call<'_>,
        limit: Option<Duration>,
    ) -> Result<TriggerReport, PluginError> {
        let mut report = TriggerReport::new(trigger.clone());
        if !self.implements(trigger) {
            return Ok(report);
        }
        let Call {
            args,
            env,
            stdin,
            mut output,
        } = call;
        let names = self.0.shelf.enabled_names()?;
        let chain = |stdin: Shared| async move {
            for name in &names {
                let Some(script) = self.script(name, trigger.as_str()) else {
                    continue;
                };
                let use_ = Use {
                    args: &args,
                    env: &env,
                    stdin: &stdin,
                    limit,
                };
                match self.run(script, use_, &mut output).await {
                    Ok(run) => {
                        let failed = !run.exit.is_success();
                        report.runs.push(run);
                        if failed {
                            break;
                        }
                    }
                    Err(skipped) => {
                        note(&mut output, &skipped).await;
                        report.skipped.push(skipped);
                    }
                }
            }
            report
        };
        feeding(stdin, chain).await.map_err(no_pipe)
    }

    /// Offers a command to the plugins: the first subcommand file that fits takes it, else every `commands` script is
    /// asked in turn. There is no time limit: the caller watches, and dropping the future stops the script.
    pub async fn command(&self, words: &[String], call: Call<'_>) -> Result<Dispatch, PluginError> {
        let Call {
            env,
            stdin,
            mut output,
            ..
        } = call;
        let names = self.0.shelf.enabled_names()?;
        let Some(word) = words.first().filter(|_| !names.is_empty()) else {
            return Ok(Dispatch::NotMine);
        };
        let subcommand = self.subcommand(&names, word);
        let offer = |stdin: Shared| async move {
            let use_ = Use {
                args: words,
                env: &env,
                stdin: &stdin,
                limit: None,
            };
            if let Some(script) = subcommand {
                match self.run(script, use_, &mut output).await {
                    Ok(run) => return Dispatch::Ran(run),
                    Err(skipped) => note(&mut output, &skipped).await,
                }
            }
            self.ask_all(&names, use_, &mut output).await
        };
        feeding(stdin, offer).await.map_err(no_pipe)
    }

    async fn ask_all(
        &self,
        names: &[PluginName],
        use_: Use<'_>,
        output: &mut Output<'_>,
    ) -> Dispatch {
        let mut answer = Dispatch::NotMine;
        for name in names {
            let Some(script) = self.script(name, "commands") else {
                continue;
            };
            match self.run(script, use_, output).await {
                Ok(run) if run.exit == Exit::Code(NOT_IMPLEMENTED) => {}
                Ok(run) if run.exit.is_success() => answer = Dispatch::Ran(run),
                Ok(run) => return Dispatch::Ran(run),
                // A plugin that cannot run hides no command of the others.
                Err(skipped) => tracing::debug!(plugin.name = %name, "{skipped}"),
            }
        }
        answer
    }

    /// `a` → `a/subcommands/default`, then `a/subcommands/a`; `a:b:c` → `a/subcommands/b:c`.
    fn subcommand(&self, names: &[PluginName], word: &str) -> Option<Found> {
        let (plugin, file) = match word.split_once(':') {
            None => (word, word),
            Some(split) => split,
        };
        let name = names.iter().find(|name| name.as_str() == plugin)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || "_-.:".contains(c);
        if file.is_empty() || file.starts_with('.') || !file.chars().all(legal) {
            return None;
        }
        let default = if word.contains(':') {
            None
        } else {
            self.script(name, "subcommands/default")
        };
        default.or_else(|| self.script(name, &format!("subcommands/{file}")))
    }

    /// What the plugins say about their commands: pairs of `name args` and a description. A plugin that takes longer
    /// than the limit, or fails, says nothing.
    pub async fn help(&self, limit: Duration) -> Result<Vec<(String, String)>, PluginError> {
        let names = self.0.shelf.enabled_names()?;
        let args = ["help".to_owned()];
        let (args, nothing) = (args.as_slice(), Shared::empty());
        let nothing = &nothing;
        let ask = |name| async move {
            let script = self.script(name, "commands")?;
            let use_ = Use {
                args,
                env: &[],
                stdin: nothing,
                limit: Some(limit),
            };
            let run = self.run(script, use_, &mut Output::Kept).await.ok()?;
            run.exit.is_success().then_some(run.stdout)
        };
        let answers = join_all(names.iter().map(ask)).await;
        Ok(answers
            .iter()
            .flatten()
            .flat_map(|text| help_lines(text))
            .collect())
    }

    /// Brings a plugin onto this host and enables it. Its `install` script is not run.
    pub async fn install(&self, wanted: &Installation) -> Result<Plugin, PluginError> {
        let Inner {
            shelf,
            tasks,
            changes,
            ..
        } = &*self.0;
        let branch = wanted.committish.as_deref().map(committish).transpose()?;
        let _guard = changes.lock().await;
        let name = &wanted.name;
        if shelf.is_taken(name) {
            return Err(PluginError::Taken(name.clone()));
        }
        let workshop = tempfile::Builder::new()
            .prefix(WORKSHOP)
            .tempdir_in(shelf.root())
            .map_err(PluginError::io("make a folder in", shelf.root()))?;
        let home = self.0.variables.iter().find(|(key, _)| key == "HOME");
        let fetch = Fetch {
            name,
            source: &wanted.source,
            committish: branch.as_ref(),
            workshop: workshop.path(),
            home: home.map(|(_, home)| home.clone()).unwrap_or_default(),
            tasks,
        };
        let (folder, record) = fetch.fetch().await?;
        if let Err(why) = Manifest::read(&folder) {
            return Err(PluginError::Broken {
                name: name.clone(),
                why,
            });
        }
        shelf.place(name, &folder, &record)?;
        shelf.enable(name)?;
        shelf.find(name)
    }

    /// Has a plugin's scripts run from now on.
    pub async fn enable(&self, name: &PluginName) -> Result<(), PluginError> {
        let _guard = self.0.changes.lock().await;
        self.0.shelf.enable(name)
    }

    /// Has a plugin's scripts run no longer.
    pub async fn disable(&self, name: &PluginName) -> Result<(), PluginError> {
        let _guard = self.0.changes.lock().await;
        self.0.shelf.disable(name)
    }

    /// Removes a plugin's files. Its `uninstall` script is not run.
    pub async fn remove(&self, name: &PluginName) -> Result<(), PluginError> {
        let _guard = self.0.changes.lock().await;
        self.0.shelf.find(name)?;
        let (shelf, name) = (self.0.shelf.clone(), name.clone());
        let folder = shelf.folder(&name);
        let removed = tokio::task::spawn_blocking(move || shelf.remove(&name)).await;
        removed.unwrap_or_else(|panic| {
            Err(PluginError::io("remove", &folder)(io::Error::other(panic)))
        })
    }

    fn script(&self, name: &PluginName, place: &str) -> Option<Found> {
        let script = self.0.shelf.script(name, Path::new(place))?;
        Some(Found {
            name: name.clone(),
            title: place.to_owned(),
            script,
        })
    }

    /// Runs a script; an error is the sentence that says why it is passed over.
    async fn run(
        &self,
        found: Found,
        use_: Use<'_>,
        output: &mut Output<'_>,
    ) -> Result<Run, String> {
        let Found {
            name,
            title,
            script,
        } = found;
        let path = match script {
            Script::Runs(path) => path,
            Script::Barred(why) => return Err(why),
        };
        let plugin = self
            .0
            .shelf
            .find(&name)
            .map_err(|error| error.to_string())?;
        let manifest = plugin
            .manifest
            .map_err(|why| format!("plugin {name}: {title} was skipped: {why}"))?;
        let mut env = self.0.variables.clone();
        for (key, value) in manifest.config {
            env.push((
                format!("CONFIG_{}", key.to_uppercase()).into(),
                value.into(),
            ));
        }
        env.extend(
            use_.env
                .iter()
                .map(|(key, value)| (key.into(), value.into())),
        );
        let program = Program {
            plugin: &name,
            title: &title,
            path,
            args: use_.args.iter().map(OsString::from).collect(),
            env,
            folder: &plugin.folder,
            stdin: use_.stdin.stdio().map_err(|error| error.to_string())?,
            limit: use_.limit,
        };
        Ok(run(program, output, &self.0.tasks).await)
    }
}

/// A file that was found, and whose it is.
struct Found {
    name: PluginName,
    title: String,
    script: Script,
}

#[derive(Clone, Copy)]
struct Use<'a> {
    args: &'a [String],
    env: &'a [(String, String)],
    stdin: &'a Shared,
    limit: Option<Duration>,
}

/// Tells whoever reads along.
async fn note(output: &mut Output<'_>, sentence: &str) {
    let log: &dyn Progress = match output {
        Output::Kept => return,
        Output::Log(log) | Output::TaggedLog(log) => *log,
        Output::Streams(streams) => {
            use tokio::io::AsyncWriteExt;
            let line = format!(" !     {sentence}\n");
            // A reader who is gone is noticed by the next script's output.
            streams.stderr.write_all(line.as_bytes()).await.ok();
            return;
        }
    };
    log.warn(sentence);
}

fn no_pipe(error: io::Error) -> PluginError {
    PluginError::Io {
        what: "Cannot make a pipe".to_owned(),
        error,
    }
}

/// `    name args, description`
fn help_lines(text: &[u8]) -> Vec<(String, String)> {
    const MOST: usize = 200;
    let text = String::from_utf8_lossy(text);
    let clean = |part: &str| part.trim().replace(|c: char| c.is_control(), " ");
    let pair = |line: &str| {
        let (name, description) = line.split_once(',').unwrap_or((line, ""));
        (clean(name), clean(description))
    };
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .take(MOST)
        .map(pair)
        .collect()
}

/// An installation that a dying daemon left half-way.
fn sweep(root: &Path) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(WORKSHOP)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove half an installation");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_split_at_the_first_comma_and_cannot_paint() {
        let said =
            help_lines(b"    hello, Says hello, twice\n\n    hello:x <a>\x1b[31m, \xff\n odd\n");
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            said,
            [
                pair("hello", "Says hello, twice"),
                pair("hello:x <a> [31m", "\u{fffd}"),
                pair("odd", "")
            ]
        );
    }
}
