//! Which hosts may be asked: a URL in somebody's repository must not make this host talk to its own network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
                "{host} is an address of this host or its network, from which nothing is fetched"
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

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, third, fourth, fifth, sixth, seventh, eighth] = address.segments();
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (first, second) {
        // ::, ::1, IPv4 in IPv6
        (0, 0) if third == 0 && fourth == 0 && fifth == 0 && (sixth == 0 || sixth == 0xffff) => {
            sixth == 0xffff && embedded(seventh, eighth)
        }
        // NAT64 and 6to4 lead to IPv4 addresses
        (0x64, 0xff9b) => embedded(seventh, eighth),
        (0x2002, high) => embedded(high, third),
        // The rest of the public world is 2000::/3.
        _ => (0x2000..0x4000).contains(&first),
    }
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

    #[test]
    fn private_worlds_are_told_from_the_public_one() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.17.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "140.82.121.3",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(public.parse().unwrap()), "{public}");
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
