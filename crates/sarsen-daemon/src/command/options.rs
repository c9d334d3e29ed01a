//! The few options of the daemon's own commands.

use std::path::PathBuf;

use sarsen_control::import::DokkuFolders;

/// What was asked for.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) config: Option<PathBuf>,
    pub(super) sets: Vec<String>,
    pub(super) key: Option<NamedKey>,
    pub(super) from_dokku: Option<DokkuFolders>,
    pub(super) dry_run: bool,
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
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            if word == "--help" || word == "-h" {
                options.help = true;
                continue;
            }
            if word == "--dry-run" {
                options.dry_run = true;
                continue;
            }
            if word == "--from-dokku" {
                let mut folder = || {
                    words
                        .next_if(|next| !next.starts_with('-'))
                        .map(PathBuf::from)
                };
                let root = folder().ok_or("--from-dokku needs Dokku's home, /home/dokku")?;
                let lib = folder().unwrap_or_else(|| PathBuf::from("/var/lib/dokku"));
                options.from_dokku = Some(DokkuFolders { root, lib });
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
        if options.dry_run && options.from_dokku.is_none() {
            return Err("--dry-run belongs to --from-dokku".to_owned());
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
        let from = parse("--from-dokku /a /b --dry-run").unwrap();
        assert!(from.dry_run);
        let folders = from.from_dokku.unwrap();
        assert_eq!((folders.root, folders.lib), ("/a".into(), "/b".into()));
        let folders = parse("--from-dokku /a --set x=y")
            .unwrap()
            .from_dokku
            .unwrap();
        assert_eq!(folders.lib, PathBuf::from("/var/lib/dokku"));
    }

    #[test]
    fn mistakes_are_told() {
        for (words, expected) in [
            ("--config", "--config needs a value"),
            ("--port 80", "There is no option --port"),
            ("run", "There is no option run"),
            ("--key k.pub", "belong together"),
            ("--from-dokku", "Dokku's home"),
            ("--dry-run", "belongs to --from-dokku"),
        ] {
            let complaint = parse(words).unwrap_err();
            assert!(complaint.contains(expected), "{words}: {complaint}");
        }
    }
}
