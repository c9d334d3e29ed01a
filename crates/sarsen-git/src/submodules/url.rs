//! Where a submodule's URL leads, and whether we go there.

use std::net::Ipv6Addr;

use sarsen_domain::AppName;

const LENGTH_MAX: usize = 2048;

/// What a relative URL is relative to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Base {
    /// An app's repository on this host.
    App(AppName),
    /// A repository elsewhere.
    Url(String),
}

/// Where to get a submodule from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Another app's repository on this host.
    App(AppName),
    /// A server.
    Remote(Remote),
}

/// A URL that git may be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remote {
    pub(crate) url: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Whether curl opens the connection, rather than ssh.
    pub(crate) web: bool,
}

impl Target {
    /// What a URL of `.gitmodules` means; the error is a reason.
    pub(crate) fn resolve(base: &Base, url: &str) -> Result<Self, String> {
        if !(url.starts_with("./") || url.starts_with("../")) {
            return Remote::parse(url).map(Self::Remote);
        }
        match base {
            Base::Url(base) => {
                let (head, path) = split(base);
                let path = climb(path, url)?.join("/");
                Remote::parse(&format!("{head}{path}")).map(Self::Remote)
            }
            Base::App(app) => match climb(app.as_str(), url)?.as_slice() {
                [name] => AppName::parse(name.strip_suffix(".git").unwrap_or(name))
                    .map(Self::App)
                    .map_err(|error| error.to_string()),
                _ => Err(format!(
                    "'{}' leads to no app of this host",
                    url.escape_debug()
                )),
            },
        }
    }
}

/// Splits a URL into what a relative one keeps in any case, and the path.
fn split(url: &str) -> (&str, &str) {
    let start = match url.find("://") {
        Some(scheme) => url
            .get(scheme + 3..)
            .and_then(|rest| rest.find('/'))
            .map(|slash| scheme + 3 + slash + 1),
        None => url.find(':').map(|colon| colon + 1),
    };
    url.split_at(start.unwrap_or(url.len()))
}

fn climb<'a>(base: &'a str, relative: &'a str) -> Result<Vec<&'a str>, String> {
    let names = |path: &'a str| path.split('/').filter(|name| !matches!(*name, "" | "."));
    let mut path: Vec<_> = names(base).collect();
    for name in names(relative) {
        if name != ".." {
            path.push(name);
        } else if path.pop().is_none() {
            return Err(format!("'{}' climbs too far", relative.escape_debug()));
        }
    }
    Ok(path)
}

impl Remote {
    /// Takes https, http, ssh and `user@host:path`; everything else is refused.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let odd = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
        if url.is_empty() || url.len() > LENGTH_MAX || url.starts_with('-') || url.chars().any(odd)
        {
            return Err("its URL is not valid".to_owned());
        }
        let parsed = match url.split_once("://") {
            Some((scheme, rest)) => Self::with_scheme(url, &scheme.to_ascii_lowercase(), rest),
            None => Self::like_scp(url),
        };
        parsed.ok_or_else(|| {
            format!(
                "'{}' is refused: only https, http and ssh URLs are fetched",
                redacted(url).escape_debug()
            )
        })
    }

    fn with_scheme(url: &str, scheme: &str, rest: &str) -> Option<Self> {
        let (web, default_port) = match scheme {
            "https" => (true, 443),
            "http" => (true, 80),
            "ssh" => (false, 22),
            _ => return None,
        };
        let (authority, path) = rest.split_once('/')?;
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (user, place),
            None => ("", authority),
        };
        let (host, port) = split_port(place)?;
        let port = match port {
            "" => default_port,
            digits => digits.parse().ok().filter(|&port| port != 0)?,
        };
        (is_user(user) && is_host(host) && !path.is_empty()).then(|| Self {
            url: url.to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            web,
        })
    }

    fn like_scp(url: &str) -> Option<Self> {
        let (place, path) = url.split_once(':')?;
        let (user, host) = place.rsplit_once('@').unwrap_or(("", place));
        let sound =
            is_user(user) && is_host(host) && !path.is_empty() && !path.starts_with([':', '-']);
        sound.then(|| Self {
            url: url.to_owned(),
            host: host.to_owned(),
            port: 22,
            web: false,
        })
    }
}

fn split_port(place: &str) -> Option<(&str, &str)> {
    if place.starts_with('[') {
        let end = place.find(']')? + 1;
        let (host, rest) = place.split_at(end);
        return match rest {
            "" => Some((host, "")),
            rest => Some((host, rest.strip_prefix(':')?)),
        };
    }
    Some(place.split_once(':').unwrap_or((place, "")))
}

fn is_user(user: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._~%!$&'()*+,;=:-".contains(c);
    !user.starts_with('-') && user.chars().all(legal)
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return inner.parse::<Ipv6Addr>().is_ok();
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    !host.is_empty() && !host.starts_with(['-', '.']) && host.chars().all(legal)
}

/// A URL without user and password, for people.
pub(crate) fn redacted(url: &str) -> String {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let (head, rest) = url.split_at(start);
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, place)) if start > 0 && user != "git" => format!("{head}***@{place}{path}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(url: &str) -> Option<(String, u16, bool)> {
        Remote::parse(url)
            .ok()
            .map(|remote| (remote.host, remote.port, remote.web))
    }

    #[test]
    fn urls_that_are_fetched() {
        for (url, host, port, web) in [
            ("https://example.com/a.git", "example.com", 443, true),
            (
                "HTTP://u:p%40@example.com:8080/a",
                "example.com",
                8080,
                true,
            ),
            ("ssh://git@example.com:2222/a", "example.com", 2222, false),
            ("https://[2001:4860::1]/a", "2001:4860::1", 443, true),
            ("git@example.com:org/a.git", "example.com", 22, false),
        ] {
            assert_eq!(remote(url), Some((host.to_owned(), port, web)), "{url}");
        }
    }

    #[test]
    fn urls_that_are_refused() {
        for url in [
            "",
            "/srv/git/a",
            "file:///etc",
            "ext::sh -c x",
            "ext::https://example.com/a",
            "git://example.com/a",
            "-oProxyCommand=x:a",
            "--upload-pack=x",
            "ssh://-oProxyCommand=x/a",
            "ssh://-x@example.com/a",
            "https://a@b@example.com/a",
            "https://example.com\\@127.0.0.1/a",
            "https://exa mple.com/a",
            "https://example.com",
            "https://example.com:0/a",
            "https://example.com:x/a",
            "https:///a",
            "host::path",
            "git@host:-x",
            "git@[::1:a",
            "C:\\x",
            "https://example.com/a\n",
        ] {
            assert_eq!(remote(url), None, "{url:?}");
        }
    }

    #[test]
    fn relative_urls() {
        let app = Base::App(AppName::parse("shop").unwrap());
        let web = Base::Url("https://example.com/org/shop.git".to_owned());
        let scp = Base::Url("git@example.com:shop".to_owned());
        let resolve = |base: &Base, url: &str| match Target::resolve(base, url) {
            Ok(Target::App(app)) => format!("app {app}"),
            Ok(Target::Remote(remote)) => remote.url,
            Err(reason) => format!("no: {reason}"),
        };
        assert_eq!(resolve(&app, "../lib"), "app lib");
        assert_eq!(resolve(&app, "../lib.git/"), "app lib");
        assert!(resolve(&app, "./lib").starts_with("no"));
        assert!(resolve(&app, "../../lib").starts_with("no"));
        assert!(resolve(&app, "../Lib").starts_with("no"));
        assert_eq!(resolve(&web, "../lib"), "https://example.com/org/lib");
        assert_eq!(resolve(&web, "../../x/lib"), "https://example.com/x/lib");
        assert!(resolve(&web, "../../../lib").starts_with("no"));
        assert_eq!(resolve(&scp, "../lib"), "git@example.com:lib");
        assert_eq!(
            resolve(&app, "https://example.com/x"),
            "https://example.com/x"
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(
            redacted("https://u:p@example.com/a@b"),
            "https://***@example.com/a@b"
        );
        assert_eq!(redacted("git@example.com:a"), "git@example.com:a");
        assert_eq!(redacted("https://example.com/a"), "https://example.com/a");
    }
}
