//! Git's pre-receive hook: this binary, started by `git receive-pack`, hands the push to the daemon.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Environment, FAILURE, Streams, converse};
use crate::wire::{Call, Hook};

/// Git itself sends far fewer.
const MOST_PUSH_OPTIONS: usize = 1000;

/// Runs as `hooks/pre-receive`: `old new ref` lines on standard input, the rest in the environment. 0 lets the refs move.
pub fn hook(socket: &Path, environment: Environment<'_>) -> u8 {
    let Some(mut streams) = Streams::standard() else {
        return FAILURE;
    };
    match gather(streams.stdin.take(), environment) {
        Ok(hook) => converse(socket, Call::Hook(hook), &mut streams, None),
        Err(error) => {
            streams.complain(&format!("cannot read what git says of the push: {error}"));
            FAILURE
        }
    }
}

pub(super) fn gather(
    stdin: Option<Box<dyn Read + Send>>,
    environment: Environment<'_>,
) -> io::Result<Hook> {
    let mut lines = String::new();
    if let Some(mut stdin) = stdin {
        stdin.read_to_string(&mut lines)?;
    }
    let text = |name: &str| environment(name).and_then(|value| value.into_string().ok());
    let token = text("SARSEN_PUSH_TOKEN").ok_or_else(|| {
        io::Error::other(
            "SARSEN_PUSH_TOKEN is not set, so this push did not come through the daemon",
        )
    })?;
    let quarantine =
        environment("GIT_QUARANTINE_PATH").or_else(|| environment("GIT_OBJECT_DIRECTORY"));
    Ok(Hook {
        token,
        object_directory: quarantine.map(absolute).transpose()?,
        alternate_object_directories: text("GIT_ALTERNATE_OBJECT_DIRECTORIES"),
        updates: lines.lines().map(update).collect::<io::Result<_>>()?,
        push_options: push_options(&text),
    })
}

fn update(line: &str) -> io::Result<(String, String, String)> {
    let mut parts = line.splitn(3, ' ').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(old), Some(new), Some(name)) => Ok((old, new, name)),
        _ => Err(io::Error::other(format!(
            "not an update: {}",
            line.escape_debug()
        ))),
    }
}

fn push_options(text: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
    let count: usize = text("GIT_PUSH_OPTION_COUNT")
        .and_then(|count| count.parse().ok())
        .unwrap_or(0);
    (0..count.min(MOST_PUSH_OPTIONS))
        .filter_map(|index| text(&format!("GIT_PUSH_OPTION_{index}")))
        .collect()
}

/// The daemon has another working directory.
fn absolute(path: OsString) -> io::Result<PathBuf> {
    std::path::absolute(PathBuf::from(path))
}
