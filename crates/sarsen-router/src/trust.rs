//! Proxies in front of this one whose word about the client counts.

use std::net::IpAddr;

use sarsen_domain::Invalid;

use crate::policy::Network;

/// Address ranges whose `X-Forwarded-*` headers are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

impl TrustedProxies {
    /// Nobody.
    pub fn none() -> Self {
        Self::default()
    }

    /// Parses addresses (`10.0.0.1`) and ranges (`10.0.0.0/8`, `fd00::/8`).
    pub fn parse<'a>(list: impl IntoIterator<Item = &'a str>) -> Result<Self, Invalid> {
        list.into_iter()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether this address is one of them. An IPv4 address inside an IPv6 one counts as the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_what_they_should() {
        let trusted = TrustedProxies::parse(["10.0.0.0/8", "192.168.1.7", "fd00::/8"]).unwrap();
        for (ip, expected) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("192.168.1.7", true),
            ("192.168.1.8", false),
            ("::ffff:10.0.0.1", true),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(trusted.contains(ip.parse().unwrap()), expected, "{ip}");
        }
        assert!(
            TrustedProxies::parse(["0.0.0.0/0"])
                .unwrap()
                .contains("8.8.8.8".parse().unwrap())
        );
        assert!(!TrustedProxies::none().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn wrong_ranges_are_refused() {
        for text in [
            "",
            "10.0.0",
            "10.0.0.0/33",
            "10.0.0.0/",
            "::/129",
            "host",
            "10.0.0.0/-1",
        ] {
            assert!(TrustedProxies::parse([text]).is_err(), "{text:?}");
        }
    }
}
