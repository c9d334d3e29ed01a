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

    /// Whether the flag may stand in the place of a word.
    pub(crate) fn stands_in(&self, name: &str) -> bool {
        let mut flags = self.flags.iter();
        flags.any(|flag| flag.replaces_word && flag.matches(name))
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
            } else if argument.len() > 1
                && argument.starts_with('-')
                && !self.is_number_below_zero(argument, place)
            {
                self.take_flag(argument, &mut rest, &mut args)?;
            } else {
                args.words.push(argument.clone());
            }
        }
        self.check_count(&args)?;
        Ok(args)
    }

    /// Where some other word than an app is awaited, `-5` is that word: what is wrong with it is its value.
    fn is_number_below_zero(&self, argument: &str, place: Option<&Word>) -> bool {
        let digits = argument.strip_prefix('-').unwrap_or_default();
        digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.parse::<f64>().is_ok()
            && place.is_some_and(|word| word.name != "app")
            && !self.flags.iter().any(|flag| flag.matches(argument))
    }

    /// Whether a flag that stands before the command is one of the command's. Nobody could tell a value behind it from
    /// the command's name, so that must be in the same word.
    pub(crate) fn takes_before(&self, argument: &str) -> Outcome<bool> {
        let name = argument.split('=').next().unwrap_or_default();
        match self.flags.iter().find(|flag| flag.matches(name)) {
            Some(flag) if flag.takes_value && name == argument => Err(Failure::new(format!(
                "flag needs a value: {name} (before a command: {name}=VALUE)"
            ))),
            found => Ok(found.is_some()),
        }
    }

    /// How many of these words are flags of the command, with their values, before any other word.
    pub(crate) fn leading_flags(&self, words: &[String]) -> usize {
        let mut count = 0;
        while let Some(word) = words.get(count) {
            let (name, has_value) = match word.split_once('=') {
                Some((name, _)) => (name, true),
                None => (word.as_str(), false),
            };
            let Some(flag) = self.flags.iter().find(|flag| flag.matches(name)) else {
                break;
            };
            let length = 1 + usize::from(flag.takes_value && !has_value);
            if count + length > words.len() {
                break;
            }
            count += length;
        }
        count
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
            let ends_in_secret = self
                .words
                .last()
                .is_some_and(|word| word.name == "password");
            // What is too many could be a part of the password, or all of it.
            return Err(Failure::new(match (ends_in_secret, replaced) {
                (true, true) => {
                    "Too many arguments: with --global no app is named, and the password is one word"
                        .to_owned()
                }
                (true, false) => {
                    "Too many arguments: the password is the last one, and one word".to_owned()
                }
                (false, _) => format!("Unexpected argument '{}'", extra.escape_debug()),
            }));
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
    // What begins with a u here is spoken like "you": a URL, a user.
    let vowel = name.starts_with(|c: char| "aeio".contains(c));
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
        let usage = Usage::parse("[--no-restart] <app>|--global <pair>...").unwrap();
        assert!(usage.stands_in("--global") && !usage.stands_in("--no-restart"));
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
    fn a_number_below_zero_is_a_word_where_one_is_awaited() {
        let usage = "[-n|--num N] <app> <key> [<value>]";
        let args = apply(usage, "shop wait -5").unwrap();
        assert_eq!(args.get(2), Some("-5"));
        assert_eq!(apply(usage, "shop k -0.5").unwrap().get(2), Some("-0.5"));
        assert_eq!(error(usage, "-5 shop wait"), "unknown flag: -5");
        assert_eq!(error(usage, "shop wait 1 -5"), "unknown flag: -5");
        assert_eq!(error(usage, "shop wait -5x"), "unknown flag: -5x");
        assert_eq!(error(usage, "shop wait --5"), "unknown flag: --5");
        assert!(apply("[-1] <app> <key>", "shop -1 x").unwrap().has("-1"));
    }

    #[test]
    fn flags_before_the_command_carry_their_value() {
        let usage = Usage::parse("[-e|--env K=V]... [--no-tty] <app>|--global").unwrap();
        for flag in ["--env=A=1", "--no-tty", "--global"] {
            assert!(usage.takes_before(flag).unwrap(), "{flag}");
        }
        assert!(!usage.takes_before("--bogus").unwrap());
        let error = usage.takes_before("--env").unwrap_err().message;
        assert!(error.contains("--env=VALUE"), "{error}");
    }

    #[test]
    fn a_password_is_not_said_again() {
        let usage = "<app>|--global <server> <username> [<password>]";
        for line in ["shop x.io ada se cret", "--global shop x.io ada cret"] {
            let error = error(usage, line);
            assert!(error.starts_with("Too many arguments") && !error.contains("cret"));
        }
        assert_eq!(error(usage, "shop x.io"), "Please specify a username");
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
