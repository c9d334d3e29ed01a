//! Arguments. A command's usage text is its grammar: help shows it and the parser follows it, so they cannot part.
//!
//! | item | meaning |
//! |---|---|
//! | `<app>` | one word, needed |
//! | `[<app>]` | one word, may be left out |
//! | `<key>...` / `[<key>...]` | one or more / any number |
//! | `<command...>` | everything that follows, flags included |
//! | `<app>\|--global` | the word, or the flag in its place |
//! | `<url>\|--` | the word, or `--` as the word |
//! | `[--quiet]`, `[-n\|--num N]`, `[--env K=V]...` | flags; a second word means that it takes a value |
//! | `[--git-*]` | any flag with this beginning |

use std::collections::BTreeMap;

use crate::failure::{Failure, Outcome};

/// A usage text, understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    flags: Vec<Flag>,
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Flag {
    /// `-n`, `--num`; the last one is the name it is asked for by.
    names: Vec<String>,
    takes_value: bool,
    /// Stands in for a word when given.
    replaces_word: bool,
    any_suffix: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Word {
    name: String,
    optional: bool,
    many: bool,
    raw: bool,
    /// `--` may stand in its place.
    dashes: bool,
}

/// Arguments that fit a usage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    words: Vec<String>,
    flags: BTreeMap<String, Vec<String>>,
}

impl Usage {
    /// Reads a usage text; the table's test holds every text against this.
    pub(crate) fn parse(text: &str) -> Outcome<Self> {
        let mut usage = Self::default();
        for item in split_items(text) {
            let bare = item.trim_end_matches("...");
            let (inner, optional) = match bare
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                Some(inner) => (inner, true),
                None => (bare, false),
            };
            let many = item.len() != bare.len() || inner.ends_with("...");
            let inner = inner.trim_end_matches("...");
            if inner.starts_with('-') {
                usage.flags.push(Flag::parse(inner));
            } else {
                usage.add_word(
                    inner,
                    Word {
                        optional,
                        many,
                        ..Word::default()
                    },
                )?;
            }
        }
        Ok(usage)
    }

    fn add_word(&mut self, text: &str, mut kind: Word) -> Outcome {
        let mut alternatives = text.split('|');
        let word = alternatives.next().unwrap_or_default();
        let name = word
            .strip_prefix('<')
            .and_then(|rest| rest.strip_suffix('>'));
        let name =
            name.ok_or_else(|| Failure::new(format!("usage item not understood: {text}")))?;
        for flag in alternatives {
            if flag == "--" {
                kind.dashes = true;
                continue;
            }
            let mut flag = Flag::parse(flag);
            flag.replaces_word = true;
            self.flags.push(flag);
        }
        kind.raw = name.ends_with("...");
        kind.many |= kind.raw;
        kind.name = name.trim_end_matches("...").to_owned();
        self.words.push(kind);
        Ok(())
    }

    /// The place of the word called `name`.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.words.iter().position(|word| word.name == name)
    }

    /// Sorts the arguments into flags and words.
    pub(crate) fn apply(&self, arguments: &[String]) -> Outcome<Args> {
        let mut args = Args::default();
        let mut rest = arguments.iter();
        let mut flags_end = false;
        while let Some(argument) = rest.next() {
            let place = self.words.get(args.words.len());
            let raw = place.is_some_and(|word| word.raw);
            if argument == "--" && !flags_end && place.is_some_and(|word| word.dashes) {
                args.words.push(argument.clone());
            } else if flags_end || raw {
                // In `run APP -- CMD` the first dashes only separate.
                let separates = argument == "--" && !flags_end;
                flags_end = true;
                if !separates {
                    args.words.push(argument.clone());
                }
            } else if argument == "--" {
                flags_end = true;
            } else if argument.len() > 1 && argument.starts_with('-') {
                self.take_flag(argument, &mut rest, &mut args)?;
            } else {
                args.words.push(argument.clone());
            }
        }
        self.check_count(&args)?;
        Ok(args)
    }

    fn take_flag(
        &self,
        argument: &str,
        rest: &mut std::slice::Iter<'_, String>,
        args: &mut Args,
    ) -> Outcome {
        let (name, inline) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument, None),
        };
        let flag = self.flags.iter().find(|flag| flag.matches(name));
        let flag = flag.ok_or_else(|| Failure::new(format!("unknown flag: {name}")))?;
        let value = match (flag.takes_value, inline) {
            (true, Some(value)) => value,
            (true, None) => rest
                .next()
                .cloned()
                .ok_or_else(|| Failure::new(format!("flag needs a value: {name}")))?,
            (false, None) => String::new(),
            (false, Some(value)) if value == "true" => String::new(),
            (false, Some(_)) => return Err(Failure::new(format!("flag takes no value: {name}"))),
        };
        let key = if flag.any_suffix {
            name
        } else {
            flag.names.last().map_or(name, String::as_str)
        };
        args.flags.entry(key.to_owned()).or_default().push(value);
        Ok(())
    }

    fn check_count(&self, args: &Args) -> Outcome {
        let replaced = self.flags.iter().any(|flag| {
            flag.replaces_word && flag.names.iter().any(|name| args.flags.contains_key(name))
        });
        let given = args.words.len() + usize::from(replaced);
        if let Some(missing) = self.words.get(given).filter(|word| !word.optional) {
            let what = if missing.name == "app" {
                "Please specify an app to run the command on".to_owned()
            } else {
                format!("Please specify {}", article(&missing.name))
            };
            return Err(Failure::new(what));
        }
        if given > self.words.len() && !self.words.last().is_some_and(|word| word.many) {
            let extra = args.words.last().map_or("", String::as_str);
            return Err(Failure::new(format!(
                "Unexpected argument '{}'",
                extra.escape_debug()
            )));
        }
        Ok(())
    }
}

impl Flag {
    fn parse(text: &str) -> Self {
        let (names, value) = text
            .split_once(' ')
            .map_or((text, None), |(names, value)| (names, Some(value)));
        let any_suffix = names.ends_with('*');
        Self {
            names: names
                .trim_end_matches('*')
                .split('|')
                .map(str::to_owned)
                .collect(),
            takes_value: value.is_some(),
            replaces_word: false,
            any_suffix,
        }
    }

    fn matches(&self, name: &str) -> bool {
        self.names
            .iter()
            .any(|own| own == name || (self.any_suffix && name.starts_with(own)))
    }
}

impl Args {
    /// The word at a place, when it was given.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.words.get(index).map(String::as_str)
    }

    /// The words from a place on.
    pub fn from(&self, index: usize) -> &[String] {
        self.words.get(index..).unwrap_or_default()
    }

    /// Whether a flag was given.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.contains_key(flag)
    }

    /// The last value of a flag.
    pub fn value(&self, flag: &str) -> Option<&str> {
        self.flags
            .get(flag)
            .and_then(|values| values.last())
            .map(String::as_str)
    }

    /// Every value of a flag.
    pub fn values(&self, flag: &str) -> &[String] {
        self.flags.get(flag).map_or(&[], Vec::as_slice)
    }

    /// The flags given that begin so.
    pub fn flags_with(&self, prefix: &str) -> Vec<&str> {
        self.flags
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with(prefix))
            .collect()
    }
}

fn article(name: &str) -> String {
    let vowel = name.starts_with(|c: char| "aeiou".contains(c));
    format!(
        "{} {}",
        if vowel { "an" } else { "a" },
        name.replace('-', " ")
    )
}

/// Cuts at spaces that are not inside brackets.
fn split_items(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (index, c) in text.char_indices() {
        match c {
            '[' | '<' => depth += 1,
            ']' | '>' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 => {
                items.push(text.get(start..index).unwrap_or_default());
                start = index + 1;
            }
            _ => {}
        }
    }
    items.push(text.get(start..).unwrap_or_default());
    items.retain(|item| !item.is_empty());
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(usage: &str, line: &str) -> Outcome<Args> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Usage::parse(usage).unwrap().apply(&words)
    }

    fn error(usage: &str, line: &str) -> String {
        apply(usage, line).unwrap_err().message
    }

    #[test]
    fn dashes_can_be_a_word() {
        let usage = "[--flag] <app> <url>|-- [<name>]";
        let args = apply(usage, "shop -- ada").unwrap();
        assert_eq!((args.get(1), args.get(2)), (Some("--"), Some("ada")));
        let args = apply(usage, "shop https://x --flag").unwrap();
        assert!(args.has("--flag") && args.get(1) == Some("https://x"));
        assert!(apply(usage, "shop").is_err());
    }

    #[test]
    fn words_and_flags() {
        let args = apply(
            "[--no-restart] <app>|--global <pair>...",
            "--no-restart app A=1 B=2",
        )
        .unwrap();
        assert!(args.has("--no-restart"));
        assert_eq!(args.get(0), Some("app"));
        assert_eq!(args.from(1), ["A=1", "B=2"]);
        let global = apply("<app>|--global <pair>...", "--global A=1").unwrap();
        assert_eq!(global.from(0), ["A=1"]);
    }

    #[test]
    fn flags_with_values() {
        let usage = "[-t|--tail] [-n|--num N] <app>";
        for line in ["-n 5 app", "--num=5 app", "app --num 5"] {
            assert_eq!(
                apply(usage, line).unwrap().value("--num"),
                Some("5"),
                "{line}"
            );
        }
        assert!(apply(usage, "-t app").unwrap().has("--tail"));
        assert_eq!(error(usage, "app --num"), "flag needs a value: --num");
        assert_eq!(error(usage, "app --tail=no"), "flag takes no value: --tail");
        assert_eq!(error(usage, "app --nope"), "unknown flag: --nope");
    }

    #[test]
    fn the_rest_of_a_run_is_left_alone() {
        let usage = "[-e|--env K=V]... <app> <command...>";
        let args = apply(usage, "-e A=1 --env B=2 app -- ls -la --color -- x").unwrap();
        assert_eq!(args.values("--env"), ["A=1", "B=2"]);
        assert_eq!(args.from(1), ["ls", "-la", "--color", "--", "x"]);
    }

    #[test]
    fn counts_are_checked() {
        assert_eq!(
            error("<app>", ""),
            "Please specify an app to run the command on"
        );
        assert_eq!(error("<app> <domain>...", "x"), "Please specify a domain");
        assert_eq!(error("[<app>]", "a b"), "Unexpected argument 'b'");
        assert!(
            apply("[<app>] [--git-*]", "--git-sha")
                .unwrap()
                .has("--git-sha")
        );
    }
}
