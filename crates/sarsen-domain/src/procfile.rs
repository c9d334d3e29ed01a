//! The Procfile: which process types an app has and the command of each.

use indexmap::IndexMap;

use crate::{Invalid, ProcessType};

/// Process types and their commands, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Procfile(IndexMap<ProcessType, String>);

impl Procfile {
    /// Parses the text of a Procfile. Blank lines and lines that start with `#` or `//` are skipped; a comment
    /// at the end of a line needs a space before its marker.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let mut commands = IndexMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || line.starts_with("//") {
                continue;
            }
            let at_line =
                |what: &str| Invalid::new(format!("Invalid Procfile: line {}: {what}", number + 1));
            let (name, command) = line
                .split_once(':')
                .ok_or_else(|| at_line("write it as 'name: command'"))?;
            let name = ProcessType::parse(name.trim()).map_err(|error| at_line(&error.0))?;
            let command = command.split(" #").next().unwrap_or_default().trim();
            if command.is_empty() {
                return Err(at_line(&format!("'{name}' has no command")));
            }
            if commands.insert(name.clone(), command.to_owned()).is_some() {
                return Err(at_line(&format!("'{name}' is there twice")));
            }
        }
        if commands.is_empty() {
            return Err(Invalid::new("Invalid Procfile: it names no process type"));
        }
        Ok(Self(commands))
    }

    /// The command of one type.
    pub fn command(&self, process: &ProcessType) -> Option<&str> {
        self.0.get(process).map(String::as_str)
    }

    /// All types and commands, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&ProcessType, &str)> {
        self.0
            .iter()
            .map(|(process, command)| (process, command.as_str()))
    }

    /// Adds types that the file does not name (a buildpack's defaults).
    pub fn add_defaults(&mut self, defaults: impl IntoIterator<Item = (ProcessType, String)>) {
        for (process, command) in defaults {
            self.0.entry(process).or_insert(command);
        }
    }

    /// Whether it names no process type.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(ProcessType, String)> for Procfile {
    fn from_iter<I: IntoIterator<Item = (ProcessType, String)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_types_in_order() {
        let procfile = Procfile::parse(
            "# c\nweb: gunicorn app:app -b :$PORT # x\n\nworker:  run it\r\n// y\n",
        )
        .unwrap();
        let entries: Vec<_> = procfile.iter().map(|(p, c)| (p.as_str(), c)).collect();
        assert_eq!(
            entries,
            [("web", "gunicorn app:app -b :$PORT"), ("worker", "run it")]
        );
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, message) in [
            ("", "names no process type"),
            ("web", "line 1: write it as"),
            ("a: b\nweb:", "line 2: 'web' has no command"),
            ("web: a\nweb: b", "line 2: 'web' is there twice"),
            ("we b: a", "line 1: Invalid process type"),
        ] {
            let error = Procfile::parse(text).unwrap_err().to_string();
            assert!(
                error.starts_with("Invalid Procfile") && error.contains(message),
                "{text:?} → {error}"
            );
        }
    }
}
