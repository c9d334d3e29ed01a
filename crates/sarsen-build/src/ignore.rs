//! `.dockerignore`: the engine's API takes a context as it is, so the rules are applied here.
//!
//! The rules are those of Docker's client: the last pattern that matches a path or one of its folders decides;
//! `!` takes back; patterns are anchored at the context's root; `**` spans folders.

mod pattern;

#[cfg(test)]
mod tests;

use std::path::Path;

use sarsen_domain::Invalid;

use pattern::Pattern;

/// The rules of one `.dockerignore`.
#[derive(Debug, Default)]
pub(crate) struct Ignore {
    rules: Vec<Rule>,
    /// Always sent: the engine reads it out of the context.
    dockerfile: String,
}

#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    takes_back: bool,
}

impl Ignore {
    /// Parses the file; the Dockerfile itself is never ignored.
    pub(crate) fn parse(text: &str, dockerfile: &str) -> Result<Self, Invalid> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let invalid = |why: &str| {
                Invalid::new(format!("Invalid .dockerignore: line {}: {why}", number + 1))
            };
            let trimmed = line.trim();
            if line.starts_with('#') || trimmed.is_empty() {
                continue;
            }
            let (takes_back, body) = match trimmed.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, trimmed),
            };
            if body.is_empty() {
                return Err(invalid("'!' needs a pattern after it"));
            }
            let pattern = Pattern::parse(&clean(body)).ok_or_else(|| {
                invalid("the pattern ends in the middle of a '[…]' or after a '\\'")
            })?;
            rules.push(Rule {
                pattern,
                takes_back,
            });
        }
        Ok(Self {
            rules,
            dockerfile: clean(dockerfile),
        })
    }

    /// Whether a file is left out. Asked for files and links only: a folder is there when something in it is.
    pub(crate) fn ignores(&self, path: &Path) -> bool {
        let path = path.to_string_lossy();
        if path == self.dockerfile {
            return false;
        }
        let mut ignored = false;
        for rule in &self.rules {
            // Only a rule that would change the verdict needs to be looked at.
            if rule.takes_back == ignored && rule.pattern.matches(&path) {
                ignored = !rule.takes_back;
            }
        }
        ignored
    }
}

/// The shortest equivalent path, relative to the root: `/a/./b//c/../` → `a/b`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if !path.starts_with('/') && parts.last().is_none_or(|last| *last == "..") => {
                parts.push(part);
            }
            ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    if parts.is_empty() {
        return ".".to_owned();
    }
    parts.join("/")
}
