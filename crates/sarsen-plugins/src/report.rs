//! How scripts ended, plugin by plugin.

use std::fmt;
use std::time::Duration;

use crate::name::{PluginName, Trigger};

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(u8),
    /// Killed by this signal, not by us.
    Signal(i32),
    /// Stopped by us: it took longer than this.
    TimedOut(Duration),
    /// It never ran; why, in words.
    NotStarted(String),
}

/// One script's run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Whose script.
    pub plugin: PluginName,
    /// Which: `post-deploy`, `commands`, `subcommands/default`.
    pub script: String,
    /// How it ended.
    pub exit: Exit,
    /// How long it took.
    pub duration: Duration,
    /// The beginning of what it printed.
    pub stdout: Vec<u8>,
    /// The end of what it printed on both streams, for messages.
    pub last_words: String,
    /// Bytes that neither this nor the log holds, because there were too many.
    pub left_out: u64,
}

/// What came of a trigger.
#[derive(Debug, Clone)]
pub struct TriggerReport {
    /// Which one.
    pub trigger: Trigger,
    /// In the order they ran; only the last can have failed.
    pub runs: Vec<Run>,
    /// Scripts that could not be considered, as sentences.
    pub skipped: Vec<String>,
}

impl Exit {
    /// Whether the chain goes on.
    pub fn is_success(&self) -> bool {
        *self == Self::Code(0)
    }

    /// As a shell would report it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Code(code) => *code,
            Self::Signal(signal) => u8::try_from(*signal).map_or(1, |n| n.saturating_add(128)),
            Self::TimedOut(_) => 124,
            Self::NotStarted(_) => 126,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "ended with exit code {code}"),
            Self::Signal(signal) => write!(f, "was killed by signal {signal}"),
            Self::TimedOut(limit) => {
                write!(f, "was stopped after {} seconds", limit.as_secs_f32())
            }
            Self::NotStarted(why) => write!(f, "could not be started: {why}"),
        }
    }
}

/// `plugin hello: post-deploy ended with exit code 3`
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {}: {} {}", self.plugin, self.script, self.exit)
    }
}

impl TriggerReport {
    pub(crate) fn new(trigger: Trigger) -> Self {
        Self {
            trigger,
            runs: Vec::new(),
            skipped: Vec::new(),
        }
    }

    /// The run that ended the chain.
    pub fn failed(&self) -> Option<&Run> {
        self.runs.last().filter(|run| !run.exit.is_success())
    }

    /// The code of the whole.
    pub fn code(&self) -> u8 {
        self.failed().map_or(0, |run| run.exit.code())
    }

    /// What all of them printed.
    pub fn stdout(&self) -> Vec<u8> {
        self.runs
            .iter()
            .flat_map(|run| run.stdout.iter().copied())
            .collect()
    }
}
