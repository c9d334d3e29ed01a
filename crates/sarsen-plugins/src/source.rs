//! Where a plugin is to come from: said by the person who installs it, understood once.

use std::path::PathBuf;

use sarsen_domain::{Branch, Invalid};

use crate::name::PluginName;

/// Where a plugin is to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A git repository over https or ssh.
    Git(String),
    /// A gzipped tar over https.
    Download(String),
    /// A gzipped tar on this host.
    Archive(PathBuf),
    /// A folder of this host, copied as it is.
    Folder(PathBuf),
    /// `file://`: a git repository of this host, or a folder when it is none.
    Local(PathBuf),
}

impl Source {
    /// `https://…`, `ssh://…`, `git@host:path`, `file:///folder`, a path; `.tar.gz` or `.tgz` at the end makes it an archive.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let bad = |why: &str| {
            Err(Invalid::new(format!(
                "Cannot install from '{}': {why}",
                text.escape_debug()
            )))
        };
        if text.is_empty()
            || text.starts_with('-')
            || text.chars().any(|c| c.is_control() || c == ' ')
        {
            return bad("this is no URL and no path");
        }
        let packed = text.ends_with(".tar.gz") || text.ends_with(".tgz");
        let path = text.strip_prefix("file://").unwrap_or(text);
        if path.starts_with('/') {
            let path = PathBuf::from(path);
            return Ok(match packed {
                true => Self::Archive(path),
                false if text.starts_with("file://") => Self::Local(path),
                false => Self::Folder(path),
            });
        }
        match text.split_once("://") {
            Some(("https", _)) if packed => Ok(Self::Download(text.to_owned())),
            Some(("https" | "ssh", rest)) if !rest.starts_with(['-', '/']) => {
                Ok(Self::Git(text.to_owned()))
            }
            Some(("http" | "git", _)) => {
                bad("nothing protects this from being changed on the way: use https or ssh")
            }
            Some(_) => bad("use https, ssh or file"),
            None if is_scp_like(text) => Ok(Self::Git(text.to_owned())),
            None => bad("give a URL (https://…, ssh://…, git@host:path) or a whole path (/…)"),
        }
    }

    /// The name that the plugin gets when none is given: the last segment without its ending and without `dokku-`.
    pub fn default_name(&self) -> Result<PluginName, Invalid> {
        let text = match self {
            Self::Git(url) | Self::Download(url) => url.clone(),
            Self::Archive(path) | Self::Folder(path) | Self::Local(path) => {
                path.display().to_string()
            }
        };
        let last = text
            .trim_end_matches('/')
            .rsplit(['/', ':'])
            .next()
            .unwrap_or_default();
        let bare = [".git", ".tar.gz", ".tgz"]
            .iter()
            .find_map(|ending| last.strip_suffix(ending))
            .unwrap_or(last);
        let name = bare.strip_prefix("dokku-").unwrap_or(bare);
        PluginName::parse(name).map_err(|_| {
            Invalid::new(format!(
                "No plugin can be called '{}': choose a name with --name",
                name.escape_debug()
            ))
        })
    }

    /// For people and files: passwords in a URL are nobody's to see.
    pub fn shown(&self) -> String {
        match self {
            Self::Git(url) | Self::Download(url) => without_credentials(url),
            Self::Archive(path) => path.display().to_string(),
            Self::Folder(path) | Self::Local(path) => format!("file://{}", path.display()),
        }
    }
}

/// What `--committish` may be: a branch, a tag, or a commit.
pub(crate) fn committish(text: &str) -> Result<Branch, Invalid> {
    Branch::parse(text).map_err(|_| {
        Invalid::new(format!(
            "Invalid committish '{}': give a branch, a tag or a commit",
            text.escape_debug()
        ))
    })
}

/// `user@host:path`, where nothing could pass for an option of ssh.
fn is_scp_like(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else {
        return false;
    };
    let Some((host, path)) = rest.split_once(':') else {
        return false;
    };
    let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let is_word = |text: &str| !text.is_empty() && !text.starts_with('-') && text.chars().all(word);
    is_word(user) && is_word(host) && !path.is_empty() && !path.starts_with(['-', ':'])
}

fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') || scheme == "https" => {
            format!(
                "{scheme}://{}",
                rest.get(user.len() + 1..).unwrap_or_default()
            )
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart_and_named() {
        for (text, name) in [
            ("https://github.com/dokku/dokku-redis.git", "redis"),
            ("https://github.com/dokku/dokku-redis", "redis"),
            ("ssh://git@x.org/me/hello.git", "hello"),
            ("git@x.org:me/dokku-hello.git", "hello"),
            ("https://x.org/dokku-hello.tar.gz", "hello"),
            ("/srv/hello.tgz", "hello"),
            ("file:///srv/plugins/dokku-hello/", "hello"),
        ] {
            assert_eq!(
                Source::parse(text)
                    .unwrap()
                    .default_name()
                    .unwrap()
                    .as_str(),
                name,
                "{text}"
            );
        }
        assert!(matches!(
            Source::parse("/srv/x.tgz"),
            Ok(Source::Archive(_))
        ));
        assert!(matches!(
            Source::parse("https://x.org/x.tgz"),
            Ok(Source::Download(_))
        ));
        assert!(
            Source::parse("https://x.org/a.b")
                .unwrap()
                .default_name()
                .is_err()
        );
    }

    #[test]
    fn what_is_unsafe_or_senseless_is_refused() {
        for bad in [
            "",
            "-x",
            "ext::sh -c id",
            "ext::id",
            "http://x.org/a",
            "git://x.org/a",
            "hello",
            "a/b",
            "ftp://x/a",
            "https://-x/a",
            "https:///a",
            "ssh://-oProxyCommand=id/x",
            "-oProxyCommand@x:y",
            "git@-x:y",
            "git@x:-y",
            "a b",
            "https://x.org/a\nb",
        ] {
            assert!(Source::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["-x", "--upload-pack=id", "a..b", "a b", "a^{}", ""] {
            assert!(committish(bad).is_err(), "{bad:?}");
        }
        assert!(committish("v1.0").is_ok() && committish("1a2b3c4").is_ok());
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(
            Source::parse("https://u:t@x.org/a").unwrap().shown(),
            "https://x.org/a"
        );
        assert_eq!(
            Source::parse("ssh://git@x.org/a").unwrap().shown(),
            "ssh://git@x.org/a"
        );
    }
}
