//! The handle: which plugins there are, and what happens when a trigger fires or a command is theirs.

mod commands;
mod manage;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sarsen_domain::Progress;
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

pub use self::commands::Detail;
use crate::error::PluginError;
use crate::name::{PluginName, Trigger};
use crate::output::Output;
use crate::process::{Env, Program, run};
use crate::report::{Run, TriggerReport};
use crate::shelf::{Plugin, Script, Shelf};
use crate::source::Source;
use crate::stdin::{Shared, Stdin, feeding};
use crate::{core, dokkurc, environment};

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
    /// The image that buildpacks build on.
    pub stack_image: String,
    /// Further variables for scripts, and for git and curl when they fetch a plugin.
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
    /// Where it runs; in the plugin's own folder if nothing is said.
    pub folder: Option<PathBuf>,
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
    dokku_root: PathBuf,
    /// `plugn`
    helper: PathBuf,
    /// The part of them that git and curl get, too.
    extra: Env,
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
            folder: None,
            stdin: Stdin::Empty,
            output,
        }
    }
}

impl Plugins {
    /// Makes the folders that are not there.
    pub fn new(settings: &PluginSettings) -> Result<Self, PluginError> {
        let shelf = Shelf::open(&settings.root)?;
        manage::sweep(&settings.root);
        core::place(&settings.lib_root.join("core-plugins"), &settings.root)?;
        let tools = settings.root.join(".tools");
        environment::furnish(&tools, &settings.binary)?;
        Ok(Self(Arc::new(Inner {
            shelf,
            variables: environment::variables(settings, &tools),
            helper: tools.join("plugn"),
            dokku_root: settings.dokku_root.clone(),
            extra: settings.env.clone(),
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

    /// Whether an enabled plugin is called so.
    pub fn is_enabled(&self, name: &str) -> bool {
        PluginName::parse(name).is_ok_and(|name| self.0.shelf.is_enabled(&name))
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
            folder,
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
                    folder: folder.as_deref(),
                    stdin: &stdin,
                    limit,
                    through: None,
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
        plugin
            .manifest
            .map_err(|why| format!("plugin {name}: {title} was skipped: {why}"))?;
        let mut env = self.environment(&name);
        env.extend(
            use_.env
                .iter()
                .map(|(key, value)| (key.into(), value.into())),
        );
        let (path, args) = match use_.through {
            None => (path, use_.args.iter().map(OsString::from).collect()),
            Some(helper) => {
                let args = vec!["help-of".into(), "--all".into(), path.into_os_string()];
                (helper.clone(), args)
            }
        };
        let program = Program {
            plugin: &name,
            title: &title,
            path,
            args,
            env,
            folder: use_.folder.unwrap_or(&plugin.folder),
            stdin: use_.stdin.pipe(),
            limit: use_.limit,
        };
        Ok(run(program, output, &self.0.tasks).await)
    }
}

impl Plugins {
    /// What a plugin's scripts find: the administrator's variables, then the plugin's settings, then ours.
    fn environment(&self, name: &PluginName) -> Env {
        // Docker's client is the one thing of ours that may be chosen.
        let mut env: Env = vec![("DOCKER_BIN".into(), "docker".into())];
        env.extend(dokkurc::variables(&self.0.dokku_root));
        let settings = core::plugin_variables(self.0.shelf.root(), name.as_str(), &|key| {
            let given = env.iter().rev().find(|(given, _)| *given == *key);
            given.map(|(_, value)| value.clone())
        });
        env.extend(settings.into_iter().map(|(key, value)| (key.into(), value)));
        // Ours come last: nothing can be put before the path or in place of the socket.
        env.extend(self.0.variables.iter().cloned());
        env
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
    folder: Option<&'a Path>,
    stdin: &'a Shared,
    limit: Option<Duration>,
    /// The program that starts the script in our place.
    through: Option<&'a PathBuf>,
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
