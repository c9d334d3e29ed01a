//! Which builder turns a source tree into an image, and which buildpacks it runs.

use serde::{Deserialize, Serialize};

use crate::build::word_enum;
use crate::{Invalid, text_newtype};
use std::fmt;
use std::str::FromStr;

word_enum! {
    /// The builders, under the names of `builder:set APP selected NAME`.
    BuilderKind {
        /// A `Dockerfile`, built by the engine.
        Dockerfile = "dockerfile",
        /// Heroku's classic buildpacks in the stack image.
        Herokuish = "herokuish",
        /// No build: an image that exists already.
        Null = "null",
    }
}

/// The buildpacks that our own stack image brings.
pub const BUNDLED: [&str; 7] = [
    "ruby", "nodejs", "python", "php", "go", "static", "procfile",
];

/// Where a buildpack comes from: a git URL with an optional `#ref`, a `.tgz`/`.tar.gz` URL, an absolute path on
/// the host, or the name of a bundled one (`python`, `heroku/python`). `OWNER/NAME` is read as Dokku reads it: the
/// repository `heroku-buildpack-NAME` of that owner on GitHub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuildpackRef(String);
text_newtype!(BuildpackRef);

/// The forms of a [`BuildpackRef`], told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildpackLocation<'a> {
    /// One that the stack image carries.
    Bundled(&'a str),
    /// A git repository and the branch, tag or commit to take.
    Git {
        url: &'a str,
        reference: Option<&'a str>,
    },
    /// A gzipped tar over HTTP(S).
    Tarball(&'a str),
    /// A folder or a gzipped tar on the host.
    Local(&'a str),
}

impl BuildpackRef {
    /// Parses one of the forms.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: &str| {
            Invalid::new(format!(
                "Invalid buildpack '{}': {why}",
                text.escape_debug()
            ))
        };
        if text.is_empty() || text.len() > 2000 || text.chars().any(|c| c.is_control() || c == ' ')
        {
            return Err(invalid("it must be one word"));
        }
        if text.starts_with('-') {
            return Err(invalid("it must not begin with a hyphen"));
        }
        let this = Self(on_github(text).unwrap_or_else(|| text.to_owned()));
        match this.location() {
            BuildpackLocation::Bundled(name) => {
                let legal =
                    |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
                if !name.chars().all(legal) || name.is_empty() {
                    return Err(invalid(
                        "use a git URL, a .tgz URL, OWNER/NAME for one on GitHub, an absolute path, or the name of a bundled buildpack such as heroku/python",
                    ));
                }
            }
            BuildpackLocation::Git { url, reference } => {
                if !["https://", "http://", "ssh://", "git@"]
                    .iter()
                    .any(|scheme| url.starts_with(scheme))
                {
                    return Err(invalid(
                        "a git URL begins with https://, http://, ssh:// or git@",
                    ));
                }
                if let Some(reference) = reference {
                    crate::Branch::parse(reference)?;
                }
            }
            BuildpackLocation::Tarball(_) => {}
            BuildpackLocation::Local(path) => {
                if path.split('/').any(|part| part == "..") {
                    return Err(invalid("the path must not contain '..'"));
                }
            }
        }
        Ok(this)
    }

    /// What kind of reference this is.
    pub fn location(&self) -> BuildpackLocation<'_> {
        let text = self.0.as_str();
        if text.starts_with('/') {
            return BuildpackLocation::Local(text);
        }
        if !text.contains(':') {
            return BuildpackLocation::Bundled(text.strip_prefix("heroku/").unwrap_or(text));
        }
        let archive = text.ends_with(".tgz") || text.ends_with(".tar.gz");
        if archive && (text.starts_with("https://") || text.starts_with("http://")) {
            return BuildpackLocation::Tarball(text);
        }
        let (url, reference) = match text.split_once('#') {
            Some((url, reference)) => (url, Some(reference)),
            None => (text, None),
        };
        BuildpackLocation::Git { url, reference }
    }
}

/// `OWNER/NAME` as a URL. `heroku/NAME` is ours where we have it.
fn on_github(text: &str) -> Option<String> {
    let (owner, name) = text.split_once('/')?;
    let is_legal = |part: &str| {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !part.is_empty() && part.chars().all(legal)
    };
    if !is_legal(owner) || !is_legal(name) || (owner == "heroku" && BUNDLED.contains(&name)) {
        return None;
    }
    // Where Heroku keeps those of its community's.
    let owner = if owner == "heroku-community" {
        "heroku"
    } else {
        owner
    };
    Some(format!(
        "https://github.com/{owner}/heroku-buildpack-{name}.git"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_and_a_name_are_a_repository_on_github() {
        for (text, url) in [
            (
                "heroku/java",
                "https://github.com/heroku/heroku-buildpack-java.git",
            ),
            (
                "heroku-community/apt",
                "https://github.com/heroku/heroku-buildpack-apt.git",
            ),
            (
                "Acme/my_pack",
                "https://github.com/Acme/heroku-buildpack-my_pack.git",
            ),
        ] {
            let parsed = BuildpackRef::parse(text).unwrap();
            assert_eq!(parsed.as_str(), url);
            assert_eq!(BuildpackRef::parse(url).unwrap(), parsed);
        }
        for text in ["heroku/go", "go", "cobol", "/srv/bp"] {
            assert_eq!(BuildpackRef::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn forms_are_told_apart() {
        let parse = |text: &str| BuildpackRef::parse(text).unwrap();
        assert_eq!(
            parse("heroku/python").location(),
            BuildpackLocation::Bundled("python")
        );
        assert_eq!(
            parse("https://example.com/a/b.git#v1").location(),
            BuildpackLocation::Git {
                url: "https://example.com/a/b.git",
                reference: Some("v1")
            }
        );
        assert_eq!(
            parse("https://x.org/b.tgz").location(),
            BuildpackLocation::Tarball("https://x.org/b.tgz")
        );
        assert_eq!(
            parse("/srv/bp").location(),
            BuildpackLocation::Local("/srv/bp")
        );
    }

    #[test]
    fn options_and_commands_are_refused() {
        for bad in [
            "",
            "-x",
            "ext::sh -c x",
            "ext::sh",
            "file:///etc",
            "a b",
            "../x",
            "a/b/c",
            "a/",
            "/a/../b",
            "https://x#--upload-pack=y",
            "x\ny",
        ] {
            assert!(BuildpackRef::parse(bad).is_err(), "{bad:?}");
        }
    }
}
