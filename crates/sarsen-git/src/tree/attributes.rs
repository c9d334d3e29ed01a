//! Which files `.gitattributes` keeps out of an export: `export-ignore`, by git's own rules.

use std::collections::HashMap;

use super::wildmatch::Wild;

const EXPORT_IGNORE: &[u8] = b"export-ignore";
/// Git ignores longer lines too.
const LINE_MAX: usize = 2048;

/// How a line sets an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Set,
    /// Unset (`-name`), unspecified (`!name`) and valued (`name=x`) are alike here: the file stays in.
    Other,
}

type States = Vec<(Vec<u8>, State)>;

#[derive(Debug, Clone)]
struct Rule {
    wild: Wild,
    folders_only: bool,
    /// Without a slash a pattern is compared with the last name of a path.
    name_only: bool,
    states: States,
}

#[derive(Debug, Clone)]
struct File {
    /// How much of a path is the folder of the file, slash included.
    base: usize,
    rules: Vec<Rule>,
}

/// The attribute files from the root down to the folder that is being looked at.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes {
    files: Vec<File>,
    macros: HashMap<Vec<u8>, States>,
}

impl Attributes {
    /// Goes down into a folder (`""`, `"a/"`, `"a/b/"`), with the content of its `.gitattributes` if any.
    pub(crate) fn enter(&mut self, folder: &[u8], content: Option<&[u8]>) {
        let lines = || {
            let content = content.unwrap_or_default();
            let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
            content.split(|&byte| byte == b'\n')
        };
        if folder.is_empty() {
            self.macros.extend(lines().filter_map(parse_macro));
        }
        let rules = lines().filter_map(|line| self.parse_rule(line)).collect();
        self.files.push(File {
            base: folder.len(),
            rules,
        });
    }

    /// Goes up again.
    pub(crate) fn leave(&mut self) {
        self.files.pop();
    }

    /// Whether this entry of the current folder is kept out; the path has no slash at its end.
    pub(crate) fn ignores(&self, path: &[u8], kind: PathKind) -> bool {
        if self.files.iter().all(|file| file.rules.is_empty()) {
            return false;
        }
        let mut known = HashMap::new();
        let rules = self.files.iter().rev().flat_map(|file| {
            let below = path.get(file.base..).unwrap_or_default();
            file.rules.iter().rev().map(move |rule| (rule, below))
        });
        for (rule, below) in rules {
            if rule.matches(below, kind) {
                self.learn(&rule.states, &mut known);
                if let Some(&state) = known.get(EXPORT_IGNORE) {
                    return state == State::Set;
                }
            }
        }
        false
    }

    /// Later words win over earlier ones, as later lines do, and a set macro stands for its words.
    fn learn<'a>(&'a self, states: &'a States, known: &mut HashMap<&'a [u8], State>) {
        for (name, state) in states.iter().rev() {
            if known.contains_key(name.as_slice()) {
                continue;
            }
            known.insert(name, *state);
            if let (State::Set, Some(states)) = (state, self.macros.get(name)) {
                self.learn(states, known);
            }
        }
    }

    fn parse_rule(&self, line: &[u8]) -> Option<Rule> {
        let (pattern, rest) = parse_line(line)?;
        if pattern.starts_with(b"[attr]") || pattern.starts_with(b"!") {
            return None;
        }
        let mut states = parse_states(rest)?;
        states.retain(|(name, _)| name == EXPORT_IGNORE || self.macros.contains_key(name));
        let (pattern, folders_only) = match pattern.strip_suffix(b"/") {
            Some(pattern) => (pattern, true),
            None => (pattern.as_slice(), false),
        };
        let name_only = !pattern.contains(&b'/');
        let pattern = pattern.strip_prefix(b"/").unwrap_or(pattern);
        if states.is_empty() {
            return None;
        }
        Some(Rule {
            wild: Wild::new(pattern)?,
            folders_only,
            name_only,
            states,
        })
    }
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathKind {
    /// A folder, or the place of a submodule.
    Folder,
    /// Anything else.
    File,
}

impl Rule {
    fn matches(&self, path: &[u8], kind: PathKind) -> bool {
        if self.folders_only && kind != PathKind::Folder {
            return false;
        }
        let name = || path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        self.wild
            .matches(if self.name_only { name() } else { path })
    }
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Splits a line into its pattern and its attributes.
fn parse_line(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let start = line.iter().position(|byte| !is_blank(byte))?;
    let line = line.get(start..)?;
    if line.starts_with(b"#") || line.len() >= LINE_MAX {
        return None;
    }
    if let Some((pattern, rest)) = line.strip_prefix(b"\"").and_then(unquote) {
        return Some((pattern, rest));
    }
    let end = line.iter().position(is_blank).unwrap_or(line.len());
    let (pattern, rest) = line.split_at(end);
    Some((pattern.to_vec(), rest))
}

fn parse_macro(line: &[u8]) -> Option<(Vec<u8>, States)> {
    let (pattern, rest) = parse_line(line)?;
    let name = pattern.strip_prefix(b"[attr]")?;
    is_name(name).then_some(())?;
    Some((name.to_vec(), parse_states(rest)?))
}

/// One word that is no attribute spoils the line.
fn parse_states(text: &[u8]) -> Option<States> {
    text.split(is_blank)
        .filter(|word| !word.is_empty())
        .map(|word| {
            let (minus, word) = match word {
                [b'-' | b'!', rest @ ..] => (true, rest),
                word => (false, word),
            };
            let end = word.iter().position(|&byte| byte == b'=');
            let name = word.get(..end.unwrap_or(word.len()))?;
            let state = match (minus, end) {
                (false, None) => State::Set,
                _ => State::Other,
            };
            is_name(name).then(|| (name.to_vec(), state))
        })
        .collect()
}

fn is_name(name: &[u8]) -> bool {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    !name.is_empty()
        && !name.starts_with(b"-")
        && !name.starts_with(b"builtin_")
        && name.iter().all(legal)
}

/// Reads a C-style string from behind its opening quote.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some((out, rest)),
            [
                b'\\',
                a @ b'0'..=b'3',
                b @ b'0'..=b'7',
                c @ b'0'..=b'7',
                rest @ ..,
            ] => {
                out.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest
            }
            [b'\\', letter, rest @ ..] => {
                out.push(match letter {
                    b'a' => 7,
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    b'\\' | b'"' => *letter,
                    _ => return None,
                });
                rest
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
            [] => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(content: &str, path: &str) -> bool {
        let mut attributes = Attributes::default();
        attributes.enter(b"", Some(content.as_bytes()));
        let kind = if path.ends_with('/') {
            PathKind::Folder
        } else {
            PathKind::File
        };
        attributes.ignores(path.trim_end_matches('/').as_bytes(), kind)
    }

    #[test]
    fn later_lines_and_words_win() {
        assert!(ignored("*.md export-ignore", "x.md"));
        assert!(!ignored("*.md export-ignore\nx.md -export-ignore", "x.md"));
        assert!(ignored("x.md -export-ignore\n*.md export-ignore", "x.md"));
        assert!(!ignored("x export-ignore !export-ignore", "x"));
        assert!(!ignored("x export-ignore=yes", "x"));
    }

    #[test]
    fn macros_stand_for_their_words() {
        let macros = "[attr]gone export-ignore -diff\n[attr]very gone\n";
        assert!(ignored(&format!("{macros}docs very"), "docs/"));
        assert!(!ignored(
            &format!("{macros}docs very -export-ignore"),
            "docs/"
        ));
        assert!(ignored(
            &format!("{macros}docs -export-ignore very"),
            "docs/"
        ));
        assert!(!ignored(&format!("{macros}docs -gone very"), "other"));
    }

    #[test]
    fn broken_lines_are_skipped() {
        for line in [
            "# x export-ignore",
            "!x export-ignore",
            "x export-ignore b@d",
            "x",
            "  ",
            "[attr]- a",
        ] {
            assert!(!ignored(line, "x"), "{line}");
        }
        assert!(ignored("\"a b\\\"\\303\\274\" export-ignore\r", "a b\"ü"));
        assert!(!ignored("\"a export-ignore", "a"));
    }

    #[test]
    fn deeper_files_win() {
        let mut attributes = Attributes::default();
        attributes.enter(b"", Some(b"*.md export-ignore\n/a/keep export-ignore"));
        attributes.enter(b"a/", Some(b"*.md -export-ignore\n/b/c export-ignore"));
        assert!(!attributes.ignores(b"a/x.md", PathKind::File));
        assert!(attributes.ignores(b"a/keep", PathKind::File));
        attributes.enter(b"a/b/", None);
        assert!(attributes.ignores(b"a/b/c", PathKind::File));
        attributes.leave();
        attributes.leave();
        assert!(attributes.ignores(b"x.md", PathKind::File));
    }
}
