//! Docker's flags as typed settings: what `docker-options:add` takes and what plugins print for a container or a build.
//!
//! Every flag is read by a table. One that is in no table, or that only a docker client could honour, is refused by
//! name: nothing is dropped.

mod build;
mod mounts;
mod run;
mod settings;
mod values;
mod words;

pub use build::BuildFlags;
pub use mounts::{Mount, MountSource, absolute_path, parse_volume};
pub use settings::{
    ContainerSettings, Device, Gpus, HealthCommand, HealthFlags, Link, NetworkMode, PublishedPort,
    RestartFlag, Ulimit,
};
pub use values::{cpus, size};
pub use words::{quote_words, split_words};

use crate::Invalid;

/// When an option holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OptionPhase {
    /// While the image is made.
    Build,
    /// For the containers that serve.
    Deploy,
    /// For one-off containers.
    Run,
}

impl OptionPhase {
    /// Every phase.
    pub const ALL: [Self; 3] = [Self::Build, Self::Deploy, Self::Run];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Deploy => "deploy",
            Self::Run => "run",
        }
    }
}

impl std::str::FromStr for OptionPhase {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut all = Self::ALL.into_iter();
        all.find(|phase| phase.as_str() == text).ok_or_else(|| {
            Invalid::new(format!(
                "Invalid phase '{}': phases are build, deploy and run",
                text.escape_debug()
            ))
        })
    }
}

/// Reads docker's flags.
pub struct DockerFlags;

/// Whether a flag stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// `--init`, also `--init=false`.
    Nothing,
    /// `--memory 1g`, also `--memory=1g`.
    Value,
}

/// Writes a flag's value (`true` or `false` for one that stands alone) down, or says what is wrong with it.
type Setter<S> = fn(&mut S, &str) -> Result<(), String>;

/// One flag that is honoured: its names, whether it takes a value, what it does.
type Flag<S> = (&'static [&'static str], Takes, Setter<S>);

/// One flag that is not honoured, and why.
type Refusal = (&'static [&'static str], &'static str);

/// Sets a single value.
macro_rules! one {
    ($($field:ident).+, $parse:expr) => {
        |settings, value| {
            settings.$($field).+ = Some($parse(value)?);
            Ok(())
        }
    };
}
use one;

/// Adds to a list.
macro_rules! many {
    ($field:ident, $parse:expr) => {
        |settings, value| {
            settings.$field.push($parse(value)?);
            Ok(())
        }
    };
}
use many;

/// Adds `key=value`.
macro_rules! pairs {
    ($field:ident) => {
        |settings, value| {
            settings.$field.extend([super::values::pair(value)?]);
            Ok(())
        }
    };
}
use pairs;

/// Turns something on or off.
macro_rules! switch {
    ($field:ident) => {
        |settings, value| {
            settings.$field = super::values::boolean(value)?;
            Ok(())
        }
    };
}
use switch;

impl DockerFlags {
    /// Every name of every flag of `docker run` that is honoured.
    pub fn names() -> impl Iterator<Item = &'static str> {
        run::FLAGS
            .iter()
            .flat_map(|(names, ..)| names.iter().copied())
    }

    /// Reads the flags of `docker run`, one word each.
    pub fn parse<W: AsRef<str>>(words: &[W]) -> Result<ContainerSettings, Invalid> {
        read(words, run::FLAGS, run::REFUSED)
    }

    /// Reads the flags of `docker run` in one text, quoted as in a shell. No shell ever sees it.
    pub fn parse_text(text: &str) -> Result<ContainerSettings, Invalid> {
        Self::parse(&split_words(text)?)
    }

    /// Reads the flags of `docker build`, one word each.
    pub fn parse_build<W: AsRef<str>>(words: &[W]) -> Result<BuildFlags, Invalid> {
        read(words, build::FLAGS, build::REFUSED)
    }

    /// Reads the flags of `docker build` in one text.
    pub fn parse_build_text(text: &str) -> Result<BuildFlags, Invalid> {
        Self::parse_build(&split_words(text)?)
    }
}

fn read<S: Default, W: AsRef<str>>(
    words: &[W],
    flags: &[Flag<S>],
    refused: &[Refusal],
) -> Result<S, Invalid> {
    let mut settings = S::default();
    let mut rest = words.iter().map(AsRef::as_ref);
    while let Some(word) = rest.next() {
        let (name, inline) = split_flag(word)?;
        if let Some((_, why)) = refused.iter().find(|(names, _)| names.contains(&name)) {
            return Err(Invalid::new(format!("{name} cannot be honoured: {why}")));
        }
        let Some((_, takes, set)) = flags.iter().find(|(names, ..)| names.contains(&name)) else {
            return Err(Invalid::new(format!(
                "{} cannot be honoured: it is no docker flag known here",
                name.escape_debug()
            )));
        };
        let value = match (takes, inline) {
            (_, Some(value)) => value,
            (Takes::Nothing, None) => "true",
            (Takes::Value, None) => rest
                .next()
                .ok_or_else(|| Invalid::new(format!("{name} needs a value")))?,
        };
        if let Some(odd) = value.chars().find(|c| c.is_control() && *c != '\t') {
            return Err(invalid(name, value, &format!("it holds {odd:?}")));
        }
        set(&mut settings, value).map_err(|why| invalid(name, value, &why))?;
    }
    Ok(settings)
}

/// `--name`, `--name=value`, `-n`, `-n=value`, `-nvalue`.
fn split_flag(word: &str) -> Result<(&str, Option<&str>), Invalid> {
    let not_a_flag = || {
        Invalid::new(format!(
            "'{}' is not a flag: docker flags begin with a dash",
            word.escape_debug()
        ))
    };
    if word.starts_with("--") {
        return match word.split_once('=') {
            _ if word.len() == 2 => Err(not_a_flag()),
            Some((name, value)) => Ok((name, Some(value))),
            None => Ok((word, None)),
        };
    }
    let letters = word.strip_prefix('-').ok_or_else(not_a_flag)?;
    let first = letters.chars().next().ok_or_else(not_a_flag)?;
    let (name, value) = word.split_at(1 + first.len_utf8());
    let value = value.strip_prefix('=').unwrap_or(value);
    Ok((name, (word.len() > name.len()).then_some(value)))
}

fn invalid(name: &str, value: &str, why: &str) -> Invalid {
    Invalid::new(format!(
        "Invalid value '{}' for {name}: {why}",
        value.escape_debug()
    ))
}

#[cfg(test)]
mod tests;
