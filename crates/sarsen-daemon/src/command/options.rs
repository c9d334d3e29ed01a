//! The few options of the daemon's own commands.

use std::path::PathBuf;

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) config: Option<PathBuf>,
    pub(super) sets: Vec<String>,
    pub(super) key: Option<NamedKey>,
    pub(super) help: bool,
}

/// A key file to be added under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKey {
    pub name: String,
    pub file: PathBuf,
}

impl Options {
    pub(super) fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let (mut name, mut file) = (None, None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if word == "--help" || word == "-h" {
                options.help = true;
                continue;
            }
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word.as_str(), None),
            };
            let mut value = || {
                let given = value.or_else(|| words.next().map(String::as_str));
                given
                    .map(str::to_owned)
                    .ok_or_else(|| format!("{option} needs a value"))
            };
            match option {
                "--config" => options.config = Some(value()?.into()),
                "--set" => options.sets.push(value()?),
                "--key-name" => name = Some(value()?),
                "--key" => file = Some(value()?),
                other => return Err(format!("There is no option {other}")),
            }
        }
        options.key = match (name, file) {
            (None, None) => None,
            (Some(name), Some(file)) => Some(NamedKey {
                name,
                file: file.into(),
            }),
            _ => return Err("--key-name and --key belong together".to_owned()),
        };
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<Options, String> {
        Options::parse(
            &words
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn values_follow_or_are_tied() {
        let options = parse("--config /a --set=x.y=1 --set z=2 --key-name me --key k.pub").unwrap();
        assert_eq!(options.config.as_deref(), Some("/a".as_ref()));
        assert_eq!(options.sets, ["x.y=1", "z=2"]);
        assert_eq!(options.key.unwrap().name, "me");
        assert!(parse("-h").unwrap().help);
    }

    #[test]
    fn mistakes_are_told() {
        for (words, expected) in [
            ("--config", "--config needs a value"),
            ("--port 80", "There is no option --port"),
            ("run", "There is no option run"),
            ("--key k.pub", "belong together"),
        ] {
            let complaint = parse(words).unwrap_err();
            assert!(complaint.contains(expected), "{words}: {complaint}");
        }
    }
}
