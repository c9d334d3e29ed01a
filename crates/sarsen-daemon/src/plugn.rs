//! `plugn`, as scripts of plugins call it. What concerns this process alone (firing a trigger among plugins, with the
//! caller's own environment and streams) is done here; the rest is a command of the daemon's.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};

use crate::client::{self, Environment};
use crate::command::{say, warn};

/// plugn's own code for a missing `PLUGIN_PATH`.
const NO_PATH: u8 = 2;
const FAILURE: u8 = 1;
/// The kernel does not know what kind of program this is.
const ENOEXEC: i32 = 8;
/// Runs scripts without a first line.
const BASH: &str = "/bin/bash";

/// Runs as called; gives the exit code.
pub(crate) fn run(socket: &Path, words: &[String], environment: Environment<'_>) -> u8 {
    let Some(root) = environment("PLUGIN_PATH").map(PathBuf::from) else {
        warn("plugn: PLUGIN_PATH is not set");
        return NO_PATH;
    };
    let plugn = Plugn {
        root: &root,
        socket,
        environment,
    };
    let Some((command, rest)) = words.split_first() else {
        return plugn.misused();
    };
    let text = |index: usize| rest.get(index).map_or("", String::as_str);
    match command.as_str() {
        "trigger" => plugn.trigger(rest),
        "list" => plugn.daemon(&["plugin:list"]),
        "install" => match text(1) {
            "" => plugn.daemon(&["plugin:install", "--skip-install-trigger", text(0)]),
            name => plugn.daemon(&[
                "plugin:install",
                "--skip-install-trigger",
                "--name",
                name,
                text(0),
            ]),
        },
        "update" => match text(1) {
            "" => plugn.daemon(&["plugin:update", text(0)]),
            committish => plugn.daemon(&["plugin:update", text(0), committish]),
        },
        "uninstall" => plugn.daemon(&["plugin:uninstall", text(0)]),
        "enable" => plugn.daemon(&["plugin:enable", text(0)]),
        "disable" => plugn.daemon(&["plugin:disable", text(0)]),
        "init" => plugn.init(),
        "source" => plugn.source(),
        "config" => plugn.config(text(0), rest.get(1..).unwrap_or_default()),
        "version" => say(concat!("plugn: ", env!("CARGO_PKG_VERSION"), "\n")),
        HELP_OF_ALL => plugn.help_of_all(text(1)),
        _ => plugn.misused(),
    }
}

/// Starts a `commands` script with `help`; plugins look for `--all` in the command line of whoever started them.
pub(crate) const HELP_OF_ALL: &str = "help-of";

struct Plugn<'a> {
    root: &'a Path,
    socket: &'a Path,
    environment: Environment<'a>,
}

impl Plugn<'_> {
    fn misused(&self) -> u8 {
        warn(
            "plugn: use trigger, list, install, uninstall, update, enable, disable, init, source, config or version",
        );
        FAILURE
    }

    fn daemon(&self, words: &[&str]) -> u8 {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        client::run(self.socket, words, self.environment)
    }

    /// What the daemon has to say comes first, then the plugins in order of their names, until one fails.
    fn trigger(&self, words: &[String]) -> u8 {
        let Some((hook, arguments)) = words.split_first() else {
            return self.misused();
        };
        if hook.is_empty() || hook.starts_with('.') || hook.contains('/') {
            warn("plugn: this is no name of a trigger");
            return FAILURE;
        }
        if sarsen_plugins::is_answered(hook) {
            let mut question = vec!["plugin:ask".to_owned(), hook.clone()];
            question.extend_from_slice(arguments);
            let code = client::run(self.socket, question, self.environment);
            if code != 0 {
                return code;
            }
        }
        for plugin in self.enabled() {
            let script = self.root.join("enabled").join(&plugin).join(hook);
            let Ok(metadata) = fs::metadata(&script) else {
                continue;
            };
            if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
                warn(&format!(
                    "{} is not executable and was skipped",
                    script.display()
                ));
                continue;
            }
            let code = self.start(&plugin, &script, arguments);
            if code != 0 {
                return code;
            }
        }
        0
    }

    /// Names in the order of their bytes, as a shell in the C locale lists them.
    fn enabled(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.root.join("enabled"))
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        names
    }

    fn start(&self, plugin: &str, script: &Path, arguments: &[String]) -> u8 {
        let variables = sarsen_plugins::plugin_variables(self.root, plugin, self.environment);
        let mut started = command(script, &variables).args(arguments).status();
        if started
            .as_ref()
            .is_err_and(|error| error.raw_os_error() == Some(ENOEXEC))
        {
            started = command(Path::new(BASH), &variables)
                .arg(script)
                .args(arguments)
                .status();
        }
        match started {
            Ok(status) => status
                .code()
                .or_else(|| status.signal().map(|signal| signal + 128))
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(FAILURE),
            Err(error) => {
                warn(&format!("cannot start {}: {error}", script.display()));
                126
            }
        }
    }

    fn help_of_all(&self, script: &str) -> u8 {
        match command(Path::new(script), &[]).arg("help").status() {
            Ok(status) => status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .unwrap_or(FAILURE),
            Err(error) => {
                warn(&format!("cannot start {script}: {error}"));
                FAILURE
            }
        }
    }

    fn init(&self) -> u8 {
        let make = |name: &str| fs::create_dir_all(self.root.join(name));
        told(make("available").and_then(|()| make("enabled")))
    }

    /// Lines for a shell to source, one for each plugin that has a library under its own name.
    fn source(&self) -> u8 {
        let line = |name: String| {
            let file = self
                .root
                .join("enabled")
                .join(&name)
                .join(format!("{name}.sh"));
            file.is_file()
                .then(|| format!("source {}\n", file.display()))
        };
        say(&self
            .enabled()
            .into_iter()
            .filter_map(line)
            .collect::<String>())
    }

    fn config(&self, verb: &str, words: &[String]) -> u8 {
        let text = |index: usize| words.get(index).map_or("", String::as_str);
        let (plugin, key) = (text(0), text(1));
        match verb {
            "get" => match sarsen_plugins::plugin_config(self.root, plugin).get(key) {
                Some(value) => say(&format!("{value}\n")),
                None => FAILURE,
            },
            "set" if words.len() == 3 => told(sarsen_plugins::set_plugin_config(
                self.root,
                plugin,
                key,
                text(2),
            )),
            "export" => {
                let variables =
                    sarsen_plugins::plugin_variables(self.root, plugin, self.environment);
                let line = |(key, value): &(String, OsString)| {
                    let value = value.to_string_lossy().replace('\'', "'\\''");
                    format!("export {key}='{value}'\n")
                };
                say(&variables.iter().map(line).collect::<String>())
            }
            _ => self.misused(),
        }
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "this process is the client: it has no runtime, and its own environment and streams are the script's"
)]
fn command(program: &Path, variables: &[(String, OsString)]) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    command.arg0(program).envs(
        variables
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_os_str())),
    );
    command
}

fn told(done: io::Result<()>) -> u8 {
    match done {
        Ok(()) => 0,
        Err(error) => {
            warn(&format!("plugn: {error}"));
            FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_chain_stops_at_the_first_failure_and_nobody_answering_is_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let out = root.join("out");
        for (plugin, code) in [("b", 3), ("a", 0), ("c", 0)] {
            let text = format!(
                "#!/bin/sh\necho $1 {plugin} >> {}\nexit {code}\n",
                out.display()
            );
            script(&root.join("enabled").join(plugin).join("hook"), &text);
        }
        let owned = root.as_os_str().to_owned();
        let environment = move |name: &str| (name == "PLUGIN_PATH").then(|| owned.clone());
        let call = |words: &[&str]| {
            let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
            run(Path::new("/nowhere"), &words, &environment)
        };
        assert_eq!(call(&["trigger", "nothing"]), 0);
        assert_eq!(call(&["trigger", "hook", "x"]), 3);
        assert_eq!(fs::read_to_string(&out).unwrap(), "x a\nx b\n");
        assert_eq!(call(&["trigger", "../hook"]), FAILURE);
        assert_eq!(call(&["config", "set", "a", "side", "left"]), 0);
        assert_eq!(call(&["config", "get", "a", "side"]), 0);
        assert_eq!(call(&["config", "get", "a", "other"]), FAILURE);
        assert_eq!(run(Path::new("/"), &[], &|_| None), NO_PATH);
    }
}
