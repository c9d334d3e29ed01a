//! Commands that are a plugin's, and what plugins say about them.

use std::ffi::OsString;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Call, Dispatch, Found, Plugins, Use, no_pipe, note};
use crate::error::PluginError;
use crate::name::PluginName;
use crate::output::Output;
use crate::process::{Program, run};
use crate::report::{Exit, Run};
use crate::stdin::{Shared, feeding};

/// "Not mine", says a `commands` script.
const NOT_IMPLEMENTED: u8 = 10;

/// How much help is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// A line for each plugin.
    Short,
    /// A line for each command. Plugins see that by `--all` in the command line of the process that starts them.
    Everything,
}

impl Plugins {
    /// Offers a command to the plugins: the first subcommand file that fits takes it, else every `commands` script is
    /// asked in turn. There is no time limit: the caller watches, and dropping the future stops the script.
    pub async fn command(&self, words: &[String], call: Call<'_>) -> Result<Dispatch, PluginError> {
        let Call {
            env,
            folder,
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
                folder: folder.as_deref(),
                stdin: &stdin,
                limit: None,
                through: None,
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

    /// Runs a program by its name or path in the name of a plugin: what a line of its `cron-entries` says. The words are
    /// arguments and nothing else; no shell sees them.
    pub async fn run_entry(
        &self,
        name: &PluginName,
        words: &[String],
        mut output: Output<'_>,
    ) -> Result<Run, PluginError> {
        let plugin = self.find(name)?;
        let title = words.first().map_or("cron-entries", String::as_str);
        let program = Program {
            plugin: name,
            title,
            path: title.into(),
            args: words.iter().skip(1).map(OsString::from).collect(),
            env: self.environment(name),
            folder: &plugin.folder,
            stdin: None,
            limit: None,
        };
        Ok(run(program, &mut output, &self.0.tasks).await)
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
    pub async fn help(
        &self,
        limit: Duration,
        detail: Detail,
    ) -> Result<Vec<(String, String)>, PluginError> {
        let names = self.0.shelf.enabled_names()?;
        let args = ["help".to_owned()];
        let (args, nothing) = (args.as_slice(), Shared::empty());
        let nothing = &nothing;
        let ask = |name| async move {
            let script = self.script(name, "commands")?;
            let use_ = Use {
                args,
                env: &[],
                folder: None,
                stdin: nothing,
                limit: Some(limit),
                through: (detail == Detail::Everything).then_some(&self.0.helper),
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
