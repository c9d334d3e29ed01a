//! Which of its roles the program was started in.

mod options;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::client;
use crate::config::{DEFAULT_SOCKET, Loaded, Sources};
use crate::vars::Vars;
use crate::{doctor, plugn, registrator, serve, setup};
use options::Options;

pub use options::NamedKey;

/// The configuration or the command line is wrong (EX_USAGE).
pub const MISUSED: u8 = 64;

/// What sshd starts; `ssh-keys:authorized` tells it so.
const ENTRY: &str = "ssh-entry";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const VERSION_WORDS: &[&str] = &["version", "--version", "-v"];
const HELP_WORDS: &[&str] = &["help", "--help", "-h"];
const SERVE: &str = "serve [--config FILE] [--set section.key=value]...";
const SETUP: &str = "setup [--config FILE] [--set section.key=value]... [--key-name NAME --key FILE] [--from-dokku HOME [LIB] [--dry-run]]";
const DOCTOR: &str = "doctor [--config FILE] [--set section.key=value]...";
const REGISTRATOR: &str = "registrator [options] REGISTRY-URI";
const CHECK_CONFIG: &str = "check-config [--config FILE] [--set section.key=value]...";

/// Runs as called; gives the exit code. Everything that is not the daemon's own business goes to the daemon.
pub fn run(arguments: impl Iterator<Item = OsString>, vars: &Vars) -> u8 {
    let mut arguments = arguments;
    let program = arguments.next().map(PathBuf::from).unwrap_or_default();
    let environment = |name: &str| vars.get(name).map(OsString::from);
    let socket = vars.get("SARSEN_SOCKET").filter(|path| !path.is_empty());
    let socket = socket.map_or(Path::new(DEFAULT_SOCKET), Path::new);
    if program
        .file_name()
        .is_some_and(|name| name == "pre-receive")
    {
        return client::hook(socket, &environment);
    }
    let is_plugn = program.file_name().is_some_and(|name| name == "plugn");
    let words: Result<Vec<String>, OsString> = arguments.map(OsString::into_string).collect();
    let words = match words {
        Ok(words) => words,
        Err(word) => return misused(&format!("{} is not UTF-8", word.display())),
    };
    if is_plugn {
        return plugn::run(socket, &words, &environment);
    }
    match words.split_first() {
        Some((word, rest)) if word == "serve" => with_config(SERVE, rest, vars, |loaded, _| {
            serve::run(&loaded, &program, &words, vars)
        }),
        Some((word, rest)) if word == "registrator" => registrator::run(rest, vars),
        Some((word, rest)) if word == ENTRY => match rest {
            [fingerprint] => client::visit(socket, fingerprint, &environment),
            _ => misused("Usage: sarsen ssh-entry FINGERPRINT (sshd runs it: see docs/ssh.md)"),
        },
        Some((word, rest)) if word == "setup" => {
            with_config(SETUP, rest, vars, |loaded, options| {
                let wanted = setup::Wanted {
                    key: options.key.as_ref(),
                    from_dokku: options.from_dokku.as_ref(),
                    dry_run: options.dry_run,
                };
                setup::run(&loaded, &wanted)
            })
        }
        Some((word, rest)) if word == "doctor" => {
            with_options(DOCTOR, rest, |options| doctor::run(&load(options, vars)))
        }
        Some((word, rest)) if word == "check-config" => {
            with_config(CHECK_CONFIG, rest, vars, |loaded, _| say(&loaded.show()))
        }
        // The daemon knows all commands. Who has none yet is told how to get one.
        Some((word, [])) if VERSION_WORDS.contains(&word.as_str()) && is_alone(socket) => {
            say(&format!("sarsen version {VERSION}\n"))
        }
        Some((word, [])) if HELP_WORDS.contains(&word.as_str()) && is_alone(socket) => {
            say(&alone(socket))
        }
        _ => client::run(socket, words, &environment),
    }
}

fn is_alone(socket: &Path) -> bool {
    UnixStream::connect(socket).is_err()
}

fn alone(socket: &Path) -> String {
    let own = [SERVE, SETUP, DOCTOR, CHECK_CONFIG, REGISTRATOR];
    let own: String = own
        .iter()
        .map(|usage| format!("    sarsen {usage}\n"))
        .collect();
    format!(
        "sarsen {VERSION}: git push to deploy, on a host of your own\n\n{own}\n\
         All other commands are the daemon's, and none answers at {}. Start it with 'sarsen serve' or\n\
         'systemctl start sarsen', then 'sarsen help' lists them.\n",
        socket.display()
    )
}

fn with_options(usage: &str, words: &[String], run: impl FnOnce(&Options) -> u8) -> u8 {
    match Options::parse(words) {
        Ok(options) if options.help => say(&format!("Usage: sarsen {usage}\n")),
        Ok(options)
            if (options.key.is_some() || options.from_dokku.is_some()) && usage != SETUP =>
        {
            misused(&format!(
                "--key and --from-dokku belong to setup\nUsage: sarsen {usage}"
            ))
        }
        Ok(options) => run(&options),
        Err(complaint) => misused(&format!("{complaint}\nUsage: sarsen {usage}")),
    }
}

fn with_config(
    usage: &str,
    words: &[String],
    vars: &Vars,
    run: impl FnOnce(Loaded, &Options) -> u8,
) -> u8 {
    with_options(usage, words, |options| match load(options, vars) {
        Ok(loaded) => run(loaded, options),
        Err(error) => misused(&error.to_string()),
    })
}

fn load(options: &Options, vars: &Vars) -> Result<Loaded, crate::config::ConfigError> {
    Loaded::read(&Sources {
        file: options.config.as_deref(),
        vars,
        sets: &options.sets,
    })
}

fn misused(complaint: &str) -> u8 {
    warn(complaint);
    MISUSED
}

/// Writes an error the way every command of ours does.
pub fn warn(text: &str) {
    let mut stderr = io::stderr().lock();
    for line in text.lines() {
        // An error that cannot be written leaves the exit code to tell.
        writeln!(stderr, " !     {line}").ok();
    }
}

/// Writes to standard output; the exit code tells whether that worked.
pub fn say(text: &str) -> u8 {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    u8::from(written.is_err())
}
