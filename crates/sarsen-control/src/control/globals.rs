//! What may stand before a command: `--app`, `--quiet`, `--force`, `--trace`, and flags of the command itself.

use std::collections::BTreeMap;

use crate::args::Usage;
use crate::failure::{Failure, Outcome};
use crate::plugins::Tracing;

/// Words that may stand before a command, and what follows.
pub(super) struct Globals {
    pub(super) app: Option<String>,
    pub(super) quiet: bool,
    pub(super) force: bool,
    pub(super) tracing: Tracing,
    /// Every word of the whole line that looks like a flag, without values.
    pub(super) flags: Vec<String>,
    /// Those before the command that are not for every command.
    early: Vec<String>,
    pub(super) rest: Vec<String>,
}

impl Globals {
    /// What scripts of plugins are told about them.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        let flags = self.flags.join(" ");
        let yes = |given: bool| given.then_some("1");
        [
            ("DOKKU_COMMAND", self.rest.first().map(String::as_str)),
            ("DOKKU_APP_NAME", self.app.as_deref()),
            ("DOKKU_QUIET_OUTPUT", yes(self.quiet)),
            ("DOKKU_APPS_FORCE_DELETE", yes(self.force)),
            ("DOKKU_GLOBAL_FLAGS", Some(flags.as_str())),
            ("DOKKU_TRACE", yes(self.tracing == Tracing::On)),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
        .collect()
    }

    /// The arguments of one of our own commands, and among them its flags that stand before it, as in Dokku's
    /// `--env=K=V run`. Commands of plugins find such flags in `DOKKU_GLOBAL_FLAGS`.
    pub(super) fn arguments(&self, usage: &Usage, behind: &[String]) -> Outcome<Vec<String>> {
        for flag in &self.early {
            if !usage.takes_before(flag)? {
                return Err(unknown(flag));
            }
        }
        let mut arguments = self.early.clone();
        // Behind the app a `<command...>` may begin, to which every flag belongs.
        let (flags, words) = behind.split_at(usage.leading_flags(behind));
        arguments.extend_from_slice(flags);
        if let (Some(0), Some(app)) = (usage.position("app"), &self.app) {
            arguments.push(app.clone());
        }
        arguments.extend_from_slice(words);
        Ok(arguments)
    }

    /// For what takes no flags.
    pub(super) fn refuse_early(&self) -> Outcome {
        self.early.first().map_or(Ok(()), |flag| Err(unknown(flag)))
    }

    /// What a caller on this host says by its environment.
    pub(super) fn inherit(&mut self, variables: &BTreeMap<String, String>) {
        let given = |name: &str| variables.get(name).is_some_and(|value| !value.is_empty());
        self.quiet |= given("DOKKU_QUIET_OUTPUT");
        self.force |= given("DOKKU_APPS_FORCE_DELETE");
        if given("DOKKU_TRACE") {
            self.tracing = Tracing::On;
        }
        if let Some(flags) = variables.get("DOKKU_GLOBAL_FLAGS") {
            self.flags = flags.split_whitespace().map(str::to_owned).collect();
        }
    }

    /// Takes them off the front of a line.
    pub(super) fn take(argv: &[String]) -> Outcome<Self> {
        let mut globals = Self {
            app: None,
            quiet: false,
            force: false,
            tracing: Tracing::Off,
            flags: argv
                .iter()
                .filter(|word| word.starts_with("--") && word.len() > 2)
                .map(|word| word.split('=').next().unwrap_or_default().to_owned())
                .collect(),
            early: Vec::new(),
            rest: Vec::new(),
        };
        let mut words = argv.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quiet" => globals.quiet = true,
                "--force" => globals.force = true,
                "--trace" => globals.tracing = Tracing::On,
                "--app" => {
                    let app = words
                        .next()
                        .ok_or_else(|| Failure::new("flag needs a value: --app"))?;
                    globals.app = Some(app.clone());
                }
                // A one-off container is always removed when it has ended.
                "--rm" | "--rm-container" | "--" => {}
                "--help" | "-h" => globals.rest.push("help".to_owned()),
                "--version" | "-v" => globals.rest.push("version".to_owned()),
                other => match other.strip_prefix("--app=") {
                    Some(app) => globals.app = Some(app.to_owned()),
                    None if other.starts_with("--") => globals.early.push(other.to_owned()),
                    None => {
                        globals.rest.push(other.to_owned());
                        globals.rest.extend(words.by_ref().cloned());
                    }
                },
            }
        }
        Ok(globals)
    }
}

fn unknown(flag: &str) -> Failure {
    let name = flag.split('=').next().unwrap_or_default();
    Failure::new(format!(
        "unknown flag before the command: {}",
        name.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(line: &str) -> Globals {
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Globals::take(&words).unwrap()
    }

    #[test]
    fn a_flag_of_the_command_may_stand_before_it() {
        let usage = Usage::parse("[-e|--env K=V]... <app> [<command...>]").unwrap();
        let globals = take("--env=A=1 --app shop --rm run ls");
        assert_eq!(globals.rest, ["run", "ls"]);
        let arguments = globals.arguments(&usage, &["ls".to_owned()]).unwrap();
        assert_eq!(arguments, ["--env=A=1", "shop", "ls"]);
        // As clients on other machines say it.
        let behind = ["-e", "A=1", "--env=B=2", "ls", "-e"].map(str::to_owned);
        let arguments = take("--app shop run").arguments(&usage, &behind).unwrap();
        assert_eq!(arguments, ["-e", "A=1", "--env=B=2", "shop", "ls", "-e"]);
        let applied = usage.apply(&arguments).unwrap();
        assert_eq!(applied.values("--env"), ["A=1", "B=2"]);
        assert_eq!(applied.from(0), ["shop", "ls", "-e"]);
        let cut = take("--app shop run").arguments(&usage, &["-e".to_owned()]);
        assert_eq!(cut.unwrap(), ["shop", "-e"]);
        let globals = take("--loud=yes run shop");
        let refused = globals.arguments(&usage, &[]).unwrap_err().message;
        assert_eq!(refused, "unknown flag before the command: --loud");
    }

    #[test]
    fn plugins_are_told_of_every_flag() {
        let globals = take("--loud=yes --quiet greeter:greet --all");
        assert_eq!(globals.rest, ["greeter:greet", "--all"]);
        let told = globals.env().into_iter();
        let flags = told
            .filter(|(key, _)| key == "DOKKU_GLOBAL_FLAGS")
            .map(|(_, value)| value);
        assert_eq!(flags.collect::<Vec<_>>(), ["--loud --quiet --all"]);
    }
}
