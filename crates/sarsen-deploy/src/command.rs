//! Which words a container runs. Pure.

use sarsen_domain::config::single_quoted;
use sarsen_domain::{BuilderKind, ProcessType, Release};
use sarsen_runtime::ImageInfo;

use crate::DeployError;

/// Words that mean something to a shell and are no programs.
const SHELL_WORDS: &[&str] = &[
    "!", "{", ".", "[[", "cd", "case", "command", "eval", "exec", "exit", "export", "for",
    "function", "if", "read", "set", "shift", "source", "time", "trap", "type", "ulimit", "umask",
    "unset", "until", "wait", "while",
];

/// Entry points that only start what they are given.
const INIT_PROGRAMS: &[&str] = &[
    "tini",
    "tini-static",
    "dumb-init",
    "docker-init",
    "catatonit",
];

/// What a process of a release runs; `None` stands for the image's own command.
pub(crate) fn of_process(
    release: &Release,
    process: &ProcessType,
    image: &ImageInfo,
    port: Option<u16>,
) -> Result<Option<Vec<String>>, DeployError> {
    if release.builder == BuilderKind::Herokuish {
        return Ok(Some(vec!["/start".to_owned(), process.to_string()]));
    }
    if let Some(text) = release.procfile.command(process) {
        return Ok(Some(of_text(text, image, port)));
    }
    let has_own = !image.command.is_empty() || !image.entrypoint.is_empty();
    if process.is_web() && has_own {
        Ok(None)
    } else {
        Err(DeployError::NoCommand(process.clone()))
    }
}

/// What every process runs when people have set a start command.
pub(crate) fn of_start(
    release: &Release,
    text: &str,
    image: &ImageInfo,
    port: Option<u16>,
) -> Vec<String> {
    if release.builder == BuilderKind::Herokuish {
        of_task(release, text, image)
    } else {
        of_text(text, image, port)
    }
}

/// What a task given as text runs.
pub(crate) fn of_task(release: &Release, text: &str, image: &ImageInfo) -> Vec<String> {
    if release.builder == BuilderKind::Herokuish {
        ["/exec", "bash", "-c", text].map(str::to_owned).into()
    } else {
        of_text(text, image, None)
    }
}

/// A one-off command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OneOff {
    pub(crate) words: Vec<String>,
    /// The image's entry point must not run.
    pub(crate) clears_entrypoint: bool,
    /// The process type that the first word named.
    pub(crate) procfile: Option<ProcessType>,
}

/// What a one-off container runs for these words of a person.
pub(crate) fn of_run(
    release: &Release,
    words: &[String],
    image: &ImageInfo,
    chosen_shell: Option<&str>,
) -> OneOff {
    let is_herokuish = release.builder == BuilderKind::Herokuish;
    let plain = |words: Vec<String>| OneOff {
        words,
        clears_entrypoint: false,
        procfile: None,
    };
    let Some((first, rest)) = words.split_first() else {
        return OneOff {
            words: shell(release.builder, chosen_shell),
            clears_entrypoint: true,
            procfile: None,
        };
    };
    let named = ProcessType::parse(first)
        .ok()
        .and_then(|process| Some((release.procfile.command(&process)?, process.clone())));
    if let Some((text, process)) = named {
        let words = if is_herokuish {
            ["/start", process.as_str()]
                .map(str::to_owned)
                .into_iter()
                .chain(rest.iter().cloned())
                .collect()
        } else {
            let quoted = rest.iter().map(|word| single_quoted(word));
            let text: Vec<_> = std::iter::once(text.to_owned()).chain(quoted).collect();
            of_text(&text.join(" "), image, None)
        };
        return OneOff {
            procfile: Some(process),
            ..plain(words)
        };
    }
    // One word with spaces is a whole command line that somebody quoted.
    if rest.is_empty() && first.contains(char::is_whitespace) {
        return plain(of_task(release, first, image));
    }
    let exec = is_herokuish.then(|| "/exec".to_owned());
    plain(exec.into_iter().chain(words.iter().cloned()).collect())
}

/// What `enter` runs in a container whose image this builder made.
pub(crate) fn of_enter(
    builder: BuilderKind,
    words: &[String],
    chosen_shell: Option<&str>,
) -> Vec<String> {
    if words.is_empty() {
        return shell(builder, chosen_shell);
    }
    let exec = (builder == BuilderKind::Herokuish).then(|| "/exec".to_owned());
    exec.into_iter().chain(words.iter().cloned()).collect()
}

fn shell(builder: BuilderKind, chosen: Option<&str>) -> Vec<String> {
    if builder == BuilderKind::Herokuish {
        ["/exec", chosen.unwrap_or("/bin/bash")]
            .map(str::to_owned)
            .into()
    } else if let Some(chosen) = chosen {
        vec![chosen.to_owned()]
    } else {
        let choose = "if [ -x /bin/bash ]; then exec /bin/bash; else exec /bin/sh; fi";
        ["/bin/sh", "-c", choose].map(str::to_owned).into()
    }
}

/// The words of a command line. A simple one is split here, because not every image has a shell.
fn of_text(text: &str, image: &ImageInfo, port: Option<u16>) -> Vec<String> {
    if let Some(words) = simple_words(text) {
        return words;
    }
    if let Some(port) = port.filter(|_| has_own_entrypoint(image)) {
        // The words are arguments of the image's program, which knows nothing of variables.
        let port = port.to_string();
        let filled = text.replace("${PORT}", &port).replace("$PORT", &port);
        if let Some(words) = simple_words(&filled) {
            return words;
        }
    }
    ["/bin/sh", "-c", &replacing_the_shell(text)]
        .map(str::to_owned)
        .into()
}

fn has_own_entrypoint(image: &ImageInfo) -> bool {
    image.entrypoint.first().is_some_and(|program| {
        let name = program.rsplit('/').next().unwrap_or(program);
        !INIT_PROGRAMS.contains(&name)
    })
}

/// The words when no shell is needed to understand them.
fn simple_words(text: &str) -> Option<Vec<String>> {
    if text.contains(|c: char| "$`*?[]{}~#&|;<>()\n\\!".contains(c)) {
        return None;
    }
    let words = shlex::split(text)?;
    let first = words.first()?;
    (!first.contains('=') && !SHELL_WORDS.contains(&first.as_str())).then_some(words)
}

/// Puts `exec` before a lone command, so that the stop signal reaches the app and not a shell that ignores it.
fn replacing_the_shell(text: &str) -> String {
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_program = !first.contains('=') && !SHELL_WORDS.contains(&first);
    if is_program && is_lone(text) {
        format!("exec {text}")
    } else {
        text.to_owned()
    }
}

/// Whether a command line is one command: no `;`, `&&`, pipe or subshell outside of quotes and substitutions.
/// Redirections are part of it. In doubt it is not.
fn is_lone(text: &str) -> bool {
    let mut quote = None;
    let mut depth = 0_u32;
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some('\''), '\'') | (Some('"'), '"') | (Some('`'), '`') => quote = None,
            (Some('\''), _) => {}
            (_, '\\') => drop(chars.next()),
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(') if before == '$' || depth > 0 => depth += 1,
            (None, ')') if depth > 0 => depth -= 1,
            (None, '&') if "<>".contains(before) || chars.peek() == Some(&'>') => {}
            (None, '&' | '|' | ';' | '(' | ')' | '\n') if depth == 0 => return false,
            (None, _) => {}
        }
        before = c;
    }
    quote.is_none() && depth == 0
}

#[cfg(test)]
mod tests;
