//! Proxies in front of this one whose word about the client counts.

use std::net::IpAddr;
use std::str::FromStr;

use sarsen_domain::Invalid;

/// Address ranges whose `X-Forwarded-*` headers are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Range>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    network: IpAddr,
    bits: u32,
}

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
        let ip = ip.to_canonical();
        self.0.iter().any(|range| range.contains(ip))
    }
}

impl Range {
    fn contains(self, ip: IpAddr) -> bool {
        match (self.network, ip) {
            (IpAddr::V4(network), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - self.bits).unwrap_or(0);
                (network.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - self.bits).unwrap_or(0);
                (network.to_bits() ^ ip.to_bits()) & mask == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Range {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || {
            Invalid::new(format!(
                "Invalid proxy address '{}': write an address or a range, such as 10.0.0.1 or 10.0.0.0/8",
                text.escape_debug()
            ))
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().map_err(|_| invalid())?;
        let widest = if network.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => widest,
            Some(bits) => bits
                .parse()
                .ok()
                .filter(|b| *b <= widest)
                .ok_or_else(invalid)?,
        };
        Ok(Self { network, bits })
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
