//! `dokkurc`: variables that the host's administrator gives to every script. Dokku has a shell read these files; here
//! they are read as plain assignments, so that no text of theirs is run.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// For all of Dokku's scripts, where its package keeps them.
const HOST: &str = "/etc/default/dokku";

/// The variables of `/etc/default/dokku`, `$DOKKU_ROOT/dokkurc` and `$DOKKU_ROOT/.dokkurc/*`, in this order.
pub(crate) fn variables(dokku_root: &Path) -> Vec<(OsString, OsString)> {
    files(dokku_root)
        .iter()
        .filter_map(|file| Some((file, fs::read_to_string(file).ok()?)))
        .flat_map(|(file, text)| read(file, &text))
        .collect()
}

fn files(dokku_root: &Path) -> Vec<PathBuf> {
    let mut more: Vec<_> = fs::read_dir(dokku_root.join(".dokkurc"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_file())
        .collect();
    more.sort();
    let mut files = vec![PathBuf::from(HOST), dokku_root.join("dokkurc")];
    files.extend(more);
    files
}

fn read(file: &Path, text: &str) -> Vec<(OsString, OsString)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match assignment(line) {
            Some((key, value)) => found.push((key.into(), value.into())),
            None => tracing::warn!(
                "{}:{}: left out, because it is no plain KEY=value",
                file.display(),
                number + 1
            ),
        }
    }
    found
}

/// `[export ]KEY=value`, with quotes as a shell has them and nothing that a shell would work on.
fn assignment(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (key, rest) = line.split_once('=')?;
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if key.is_empty() || key.starts_with(|c: char| c.is_ascii_digit()) || !key.chars().all(legal) {
        return None;
    }
    let (mut value, mut chars, mut quote) = (String::new(), rest.chars(), None);
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => value.push(c),
            (_, '$' | '`') => return None,
            (_, '\\') => value.push(chars.next()?),
            (Some(_), c) => value.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ' | '\t') => {
                let rest = chars.as_str().trim_start();
                return (rest.is_empty() || rest.starts_with('#')).then(|| (key.to_owned(), value));
            }
            (None, ';' | '&' | '|' | '<' | '>' | '(' | ')') => return None,
            (None, c) => value.push(c),
        }
    }
    quote.is_none().then(|| (key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_and_nothing_is_run() {
        for (line, value) in [
            ("A=1", "1"),
            ("export A=1", "1"),
            ("A='x y' # why", "x y"),
            ("A=\"x \\\" y\"", "x \" y"),
            ("A=x\\ y", "x y"),
            ("A=", ""),
            ("A='$x'", "$x"),
        ] {
            let expected = Some(("A".to_owned(), value.to_owned()));
            assert_eq!(assignment(line), expected, "{line}");
        }
        for line in [
            "A=$(id)",
            "A=`id`",
            "A=\"$HOME\"",
            "A=1; id",
            "rm -rf /",
            "A b=1",
            "A='x",
            "1A=2",
            "A=1 id",
        ] {
            assert_eq!(assignment(line), None, "{line}");
        }
    }
}
