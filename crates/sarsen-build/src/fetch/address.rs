//! Which hosts may be asked: a URL in somebody's repository must not make this host talk to its own network.

use std::net::{IpAddr, Ipv6Addr};

use sarsen_domain::address::is_public;

use crate::BuildSettings;

/// Decides about hosts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    allow_private: bool,
}

/// A host that may be asked, at the address that was looked at: what is connected to must be what was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) address: IpAddr,
}

impl Endpoint {
    /// curl's form of "this name has this address".
    pub(super) fn pin(&self) -> String {
        match self.address {
            IpAddr::V4(address) => format!("{}:{}:{address}", self.host, self.port),
            IpAddr::V6(address) => format!("{}:{}:[{address}]", self.host, self.port),
        }
    }
}

impl Guard {
    pub(super) fn new(settings: &BuildSettings) -> Self {
        Self {
            allow_private: settings.allow_private_hosts,
        }
    }

    /// Whether redirects can be left to the program that fetches.
    pub(super) fn is_open(self) -> bool {
        self.allow_private
    }

    /// Resolves the URL's host; every address that it has must be public.
    pub(super) async fn check(self, url: &str) -> Result<Endpoint, String> {
        let (host, port) = host_and_port(url).ok_or("its URL has no host that can be read")?;
        let bare = host.trim_matches(['[', ']']);
        let addresses: Vec<IpAddr> = tokio::net::lookup_host((bare, port))
            .await
            .map_err(|error| format!("{host} has no address: {error}"))?
            .map(|address| address.ip())
            .collect();
        if !self.allow_private && addresses.iter().any(|address| !is_public(*address)) {
            return Err(format!(
                "{host} is an address of this host or its network, from which nothing is fetched unless the daemon's setting build.allow_private_hosts is true"
            ));
        }
        let address = addresses.first().copied();
        Ok(Endpoint {
            address: address.ok_or_else(|| format!("{host} has no address"))?,
            host: host.to_owned(),
            port,
        })
    }
}

/// Of `https://[user@]host[:port]/…` and `git@host:path`. Anything that two programs could read differently is
/// not read at all.
fn host_and_port(url: &str) -> Option<(&str, u16)> {
    let (authority, default) = match url.split_once("://") {
        Some((scheme, rest)) => {
            let default = match scheme {
                "https" => 443,
                "http" => 80,
                "ssh" => 22,
                _ => return None,
            };
            (rest.split(['/', '?', '#']).next()?, default)
        }
        None => (url.split(':').next()?, 22),
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:[]@".contains(c);
    if !authority.chars().all(legal) || authority.matches('@').count() > 1 {
        return None;
    }
    let place = authority.rsplit('@').next()?;
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (place, default),
    };
    let name = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let is_name = !host.is_empty() && !host.starts_with('-') && host.chars().all(name);
    let inside = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_literal = inside.is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok());
    (port != 0 && (is_name || is_literal)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_or_refused() {
        for (url, expected) in [
            ("https://x.org/a", Some(("x.org", 443))),
            ("https://u:p@x.org:8443/a", Some(("x.org", 8443))),
            ("http://x.org?a", Some(("x.org", 80))),
            ("ssh://git@x.org/a", Some(("x.org", 22))),
            ("git@x.org:a/b", Some(("x.org", 22))),
            ("http://[::1]:80/a", Some(("[::1]", 80))),
            ("http://[::1]/a", Some(("[::1]", 80))),
            ("https://x.org\\@127.0.0.1/", None),
            ("https://a@b@127.0.0.1/", None),
            ("https:///a", None),
            ("https://-x/a", None),
            ("https://x.org:0/a", None),
            ("https://x.org:99999/a", None),
            ("file:///etc", None),
        ] {
            assert_eq!(host_and_port(url), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn odd_spellings_of_loopback_are_seen_through() {
        let guard = Guard {
            allow_private: false,
        };
        for url in [
            "http://127.1/x",
            "http://2130706433/x",
            "http://localhost/x",
            "git@127.0.0.1:x",
        ] {
            let error = guard.check(url).await.unwrap_err();
            assert!(error.contains("of this host"), "{url}: {error}");
        }
        let open = Guard {
            allow_private: true,
        };
        let endpoint = open.check("http://[::1]:81/x").await.unwrap();
        assert_eq!(endpoint.pin(), "[::1]:81:[::1]");
    }
}
