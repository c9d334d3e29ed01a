//! The layers of the configuration as flat lists of what was given, each with its origin.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::values::Raw;
use super::{default_file, keys};
use crate::vars::Vars;

/// Variables of ours that are not settings of the daemon.
const OTHER_VARIABLES: [&str; 6] = [
    "SARSEN_CONFIG",
    "SARSEN_SOCKET",
    "SARSEN_PUSH_TOKEN",
    "SARSEN_CACHE_DIR",
    "SARSEN_STACK",
    "SARSEN_SUCCEEDING",
];
/// And those of the scripts of `deploy`.
const OTHER_PREFIXES: [&str; 3] = ["SARSEN_STACK_", "SARSEN_TEST_", "SARSEN_QUICKSTART_"];

/// Where settings are looked for.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// `--config`
    pub file: Option<&'a Path>,
    /// The environment.
    pub vars: &'a Vars,
    /// `--set KEY=VALUE`
    pub sets: &'a [String],
}

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere.
    Default,
    /// In this line of the file.
    File { path: PathBuf, line: usize },
    /// By this variable.
    Variable(String),
    /// By `--set`.
    Flag,
}

/// Something set.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) key: String,
    pub(super) value: Raw,
    pub(super) origin: Origin,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "{name} in the environment"),
            Self::Flag => f.write_str("--set"),
        }
    }
}

/// Everything given, the layer that wins last; the file that was read; and what cannot even be taken apart.
pub(super) fn gather(sources: &Sources<'_>) -> (Option<PathBuf>, Vec<Given>, Vec<String>) {
    let mut problems = Vec::new();
    let mut given = Vec::new();
    let named = sources.file.map(Path::to_owned);
    let named = named.or_else(|| sources.vars.text("SARSEN_CONFIG").map(PathBuf::from));
    let file = named.or_else(default_file);
    if let Some(path) = &file {
        match read_file(path) {
            Ok(layer) => given.extend(layer),
            Err(problem) => problems.push(problem),
        }
    }
    from_variables(sources.vars, &mut given, &mut problems);
    for set in sources.sets {
        match set.split_once('=') {
            Some((key, value)) => given.push(Given {
                key: key.trim().to_owned(),
                value: Raw::text(value.trim()),
                origin: Origin::Flag,
            }),
            None => problems.push(format!("--set {set}: write it as --set section.key=value")),
        }
    }
    (file, given, problems)
}

fn read_file(path: &Path) -> Result<Vec<Given>, String> {
    let text = fs::read_to_string(path).map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            return format!("There is no configuration file {}", path.display());
        }
        let path = path.display();
        format!("Cannot read the configuration file {path}: {error}")
    })?;
    from_text(path, &text)
}

/// The settings of a file's text.
pub(super) fn from_text(path: &Path, text: &str) -> Result<Vec<Given>, String> {
    let line_of = |offset: usize| {
        1 + text
            .bytes()
            .take(offset)
            .filter(|byte| *byte == b'\n')
            .count()
    };
    let table = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        format!("{}:{line}: {}", path.display(), error.message().trim())
    })?;
    let mut given = Vec::new();
    flatten("", table.get_ref(), &mut |key, offset, value| {
        let line = line_of(offset);
        let origin = Origin::File {
            path: path.to_owned(),
            line,
        };
        given.push((offset, Given { key, value, origin }));
    });
    // Tables come sorted by name; people read files from the top.
    given.sort_by_key(|(offset, _)| *offset);
    Ok(given.into_iter().map(|(_, given)| given).collect())
}

fn flatten(prefix: &str, table: &DeTable<'_>, give: &mut impl FnMut(String, usize, Raw)) {
    for (key, value) in table.iter() {
        let name = format!("{prefix}{}", key.get_ref());
        if let DeValue::Table(inner) = value.get_ref() {
            flatten(&format!("{name}."), inner, give);
        } else {
            give(name, key.span().start, raw(value.get_ref()));
        }
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    if let DeValue::Array(items) = value {
        return Raw::Many(items.iter().map(Spanned::get_ref).map(word).collect());
    }
    Raw::One(word(value))
}

fn word(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => match number.radix() {
            8 => format!("0o{}", number.as_str()),
            10 => number.as_str().to_owned(),
            radix => format!("{} in base {radix}", number.as_str()),
        },
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) | DeValue::Table(_) => "a list or table".to_owned(),
    }
}

fn from_variables(vars: &Vars, given: &mut Vec<Given>, problems: &mut Vec<String>) {
    for (name, value) in vars.named().filter(|(name, _)| name.starts_with("SARSEN_")) {
        let other = OTHER_VARIABLES.contains(&name)
            || OTHER_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if other {
            continue;
        }
        let origin = Origin::Variable(name.to_owned());
        match (keys::find_variable(name), value.to_str()) {
            (Some(key), Some(value)) => given.push(Given {
                key: key.to_owned(),
                value: Raw::text(value),
                origin,
            }),
            (Some(_), None) => problems.push(format!("{name} in the environment is not UTF-8")),
            (None, _) => problems.push(stray(name)),
        }
    }
}

fn stray(name: &str) -> String {
    let key = name.trim_start_matches("SARSEN_").to_lowercase();
    // The first underscore usually stands for the dot.
    let near = keys::nearest(&key.replacen('_', ".", 1)).or_else(|| keys::nearest(&key));
    let hint = near.map_or_else(String::new, |near| {
        format!(": did you mean {}?", keys::variable_of(near))
    });
    format!("{name} in the environment stands for no setting{hint}")
}
