//! The text after `ssh host`, split into words the way a POSIX shell would quote them, and git's spellings made one.

use thiserror::Error;

/// Why a command line cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum BadCommand {
    #[error("Unmatched {0} quote in the command")]
    UnmatchedQuote(&'static str),
    #[error("The command ends in a backslash")]
    TrailingBackslash,
    #[error("The command is not UTF-8 text, or holds a NUL byte")]
    NotText,
}

const GIT_SERVICES: [&str; 3] = ["receive-pack", "upload-pack", "upload-archive"];

/// The words of a command. Nothing is expanded: `$`, `*`, `#`, `;` and their like are ordinary characters.
pub(crate) fn parse(command: &[u8]) -> Result<Vec<String>, BadCommand> {
    let text = std::str::from_utf8(command).map_err(|_| BadCommand::NotText)?;
    if text.contains('\0') {
        return Err(BadCommand::NotText);
    }
    Ok(one_spelling(split(text)?))
}

/// The words of a command line that came through another ssh server; or what is wrong with it.
pub fn words_of(command: &str) -> Result<Vec<String>, String> {
    parse(command.as_bytes()).map_err(|error| error.to_string())
}

fn split(text: &str) -> Result<Vec<String>, BadCommand> {
    let mut words = Vec::new();
    // None between words; an empty pair of quotes makes an empty word.
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => single_quoted(&mut rest, word.get_or_insert_default())?,
            '"' => double_quoted(&mut rest, word.get_or_insert_default())?,
            '\\' => {
                let next = rest.next().ok_or(BadCommand::TrailingBackslash)?;
                word.get_or_insert_default().push(next);
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single_quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), BadCommand> {
    for c in rest {
        if c == '\'' {
            return Ok(());
        }
        word.push(c);
    }
    Err(BadCommand::UnmatchedQuote("single"))
}

fn double_quoted(rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), BadCommand> {
    let open = BadCommand::UnmatchedQuote("double");
    while let Some(c) = rest.next() {
        match c {
            '"' => return Ok(()),
            '\\' => {
                let next = rest.next().ok_or(open)?;
                if !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(next);
            }
            other => word.push(other),
        }
    }
    Err(open)
}

/// `git receive-pack '/app'` and `git-receive-pack app` are the same thing.
fn one_spelling(words: Vec<String>) -> Vec<String> {
    let parts: Vec<&str> = words.iter().map(String::as_str).collect();
    let (service, path) = match parts.as_slice() {
        ["git", service, path] => (*service, *path),
        [joined, path] => match joined.strip_prefix("git-") {
            Some(service) => (service, *path),
            None => return words,
        },
        _ => return words,
    };
    if !GIT_SERVICES.contains(&service) {
        return words;
    }
    let app = path.trim_start_matches('/').trim_end_matches('/');
    vec![format!("git-{service}"), app.to_owned()]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_split_as_a_shell_would() {
        for (text, words) in [
            ("", vec![]),
            ("  ", vec![]),
            ("apps:list", vec!["apps:list"]),
            (" ps:scale  app\tweb=2\n", vec!["ps:scale", "app", "web=2"]),
            ("config:set a K='v w'", vec!["config:set", "a", "K=v w"]),
            (
                r#"config:set a "K=v \"w\" \n""#,
                vec!["config:set", "a", r#"K=v "w" \n"#],
            ),
            (r"a b\ c \'", vec!["a", "b c", "'"]),
            ("x '' \"\"", vec!["x", "", ""]),
            (
                "x #no-comment $HOME `id` ; | * ~",
                vec!["x", "#no-comment", "$HOME", "`id`", ";", "|", "*", "~"],
            ),
            (r#"x 'a\b' "c\$d""#, vec!["x", r"a\b", "c$d"]),
            ("x 'line\nline'", vec!["x", "line\nline"]),
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap(), words, "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        let single = BadCommand::UnmatchedQuote("single");
        let double = BadCommand::UnmatchedQuote("double");
        assert_eq!(parse(b"x 'y"), Err(single));
        assert_eq!(parse(b"x \"y"), Err(double));
        assert_eq!(parse(b"x \"y\\"), Err(double));
        assert_eq!(parse(b"x \\"), Err(BadCommand::TrailingBackslash));
        assert_eq!(parse(b"x \0"), Err(BadCommand::NotText));
        assert_eq!(parse(b"x \xff"), Err(BadCommand::NotText));
    }

    #[test]
    fn git_has_one_spelling() {
        for text in [
            "git-receive-pack 'app'",
            "git-receive-pack '/app'",
            "git receive-pack 'app'",
            "git-receive-pack \"//app/\"",
        ] {
            assert_eq!(
                parse(text.as_bytes()).unwrap(),
                ["git-receive-pack", "app"],
                "{text}"
            );
        }
        assert_eq!(
            parse(b"git-upload-pack '/a.b'").unwrap(),
            ["git-upload-pack", "a.b"]
        );
        assert_eq!(
            parse(b"git upload-archive a").unwrap(),
            ["git-upload-archive", "a"]
        );
        assert_eq!(parse(b"git:sync /a b").unwrap(), ["git:sync", "/a", "b"]);
        assert_eq!(parse(b"git-shell /a").unwrap(), ["git-shell", "/a"]);
    }

    proptest! {
        #[test]
        fn quoting_survives_the_way(words in prop::collection::vec("[^\0]{0,12}", 0..6)) {
            // A first word `git…` would be respelt.
            prop_assume!(words.first().is_none_or(|word| !word.starts_with("git")));
            let text = shlex::try_join(words.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(parse(text.as_bytes()).unwrap(), words);
        }
    }
}
