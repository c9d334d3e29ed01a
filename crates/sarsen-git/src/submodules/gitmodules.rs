//! Reading `.gitmodules`: git's configuration format, without includes.

use std::collections::BTreeMap;

/// What `.gitmodules` says of one submodule.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Module {
    pub(crate) path: String,
    pub(crate) url: String,
    /// `update = none`: not to be filled in.
    pub(crate) skip: bool,
}

/// The submodules of a file, in no particular order. Lines that make no sense are passed over.
pub(crate) fn parse(text: &str) -> Vec<Module> {
    let mut modules: BTreeMap<String, Module> = BTreeMap::new();
    let mut section = None;
    for line in logical_lines(text) {
        let mut rest = line.trim_start();
        if rest.starts_with('[') {
            let Some((name, after)) = section_name(rest) else {
                section = None;
                continue;
            };
            section = name;
            rest = after.trim_start();
        }
        let (Some(name), Some((key, value))) = (&section, setting(rest)) else {
            continue;
        };
        let module = modules.entry(name.clone()).or_default();
        match key.as_str() {
            "path" => module.path = value.trim_end_matches('/').to_owned(),
            "url" => module.url = value,
            "update" => module.skip = value == "none",
            _ => {}
        }
    }
    modules.into_values().collect()
}

/// Joins lines that end with a backslash to the next one.
fn logical_lines(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines: Vec<String> = Vec::new();
    let mut open = false;
    for line in text.lines() {
        let backslashes = line.chars().rev().take_while(|&c| c == '\\').count();
        let continues = backslashes % 2 == 1;
        let line = if continues {
            line.get(..line.len() - 1).unwrap_or(line)
        } else {
            line
        };
        match lines.last_mut().filter(|_| open) {
            Some(last) => last.push_str(line),
            None => lines.push(line.to_owned()),
        }
        open = continues;
    }
    lines
}

/// Reads `[submodule "name"]`: the name (none for other sections), and what follows.
fn section_name(text: &str) -> Option<(Option<String>, &str)> {
    let inner = text.strip_prefix('[')?.trim_start();
    let word_end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '.'))?;
    let (word, rest) = inner.split_at(word_end);
    let rest = rest.trim_start();
    if let Some(after) = rest.strip_prefix(']') {
        return Some((None, after));
    }
    let mut name = String::new();
    let mut chars = rest.strip_prefix('"')?.char_indices();
    loop {
        match chars.next()? {
            (_, '\\') => name.push(chars.next()?.1),
            (_, '"') => break,
            (_, other) => name.push(other),
        }
    }
    let after = chars.as_str().trim_start().strip_prefix(']')?;
    let ours = word.eq_ignore_ascii_case("submodule").then_some(name);
    Some((ours, after))
}

/// Reads `key = value`.
fn setting(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    let key = key.trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if key.is_empty() || !key.chars().all(legal) {
        return None;
    }
    Some((key.to_ascii_lowercase(), unquoted(value.trim_start())?))
}

/// A value without its quotes, escapes and comment.
fn unquoted(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut quoted = false;
    // Blanks at the end count only inside quotes.
    let mut kept = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                kept = out.len();
                continue;
            }
            '#' | ';' if !quoted => break,
            '\\' => out.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'b' => '\u{8}',
                same @ ('\\' | '"') => same,
                _ => return None,
            }),
            other => out.push(other),
        }
        if quoted || !c.is_whitespace() {
            kept = out.len();
        }
    }
    out.truncate(kept);
    (!quoted).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_file() {
        let text = "\u{feff}# modules\n[submodule \"lib/a\"]\n\tpath = lib/a/\n\turl = https://example.com/a.git ; here\n\
            [submodule \"q\\\"b\"] Path = \"b #1 \"\n\turl = ../\\\nb\n update = none\n[core]\nurl = nope\n[submodule \"x\"\nurl = y\n";
        let modules = parse(text);
        assert_eq!(modules.len(), 2);
        assert_eq!(modules[0].path, "lib/a");
        assert_eq!(modules[0].url, "https://example.com/a.git");
        assert_eq!(
            (modules[1].path.as_str(), modules[1].url.as_str()),
            ("b #1 ", "../b")
        );
        assert!(modules[1].skip && !modules[0].skip);
    }

    #[test]
    fn nonsense_is_passed_over() {
        for text in [
            "",
            "[",
            "[submodule",
            "[submodule \"a",
            "[submodule \"a\"]\nurl",
            "url = x",
            "[a]\n\\",
        ] {
            assert!(parse(text).is_empty(), "{text:?}");
        }
        let broken = parse("[submodule \"a\"]\nurl = \"x\npath = p\n");
        assert_eq!((broken[0].url.as_str(), broken[0].path.as_str()), ("", "p"));
    }
}
