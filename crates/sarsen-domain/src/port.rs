//! Port mappings: `scheme:host-port:container-port`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Invalid;

/// What is spoken on a mapped port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// HTTP/1.1
    Http,
    /// HTTP over TLS
    Https,
    /// gRPC in the clear
    Grpc,
    /// gRPC over TLS
    Grpcs,
    /// Raw TCP
    Tcp,
    /// UDP
    Udp,
}

impl Scheme {
    /// The name used in a mapping.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scheme {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        [
            Self::Http,
            Self::Https,
            Self::Grpc,
            Self::Grpcs,
            Self::Tcp,
            Self::Udp,
        ]
        .into_iter()
        .find(|scheme| scheme.as_str() == text)
        .ok_or_else(|| {
            Invalid::new(format!(
                "Unknown scheme '{}': use http, https, grpc, grpcs, tcp or udp",
                text.escape_debug()
            ))
        })
    }
}

/// `http:80:5000`: requests to port 80 of the host go to port 5000 of the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortMapping {
    /// What is spoken.
    pub scheme: Scheme,
    /// The port that clients connect to.
    pub host: u16,
    /// The port that the app listens on.
    pub container: u16,
}

impl fmt::Display for PortMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.scheme, self.host, self.container)
    }
}

impl From<PortMapping> for String {
    fn from(mapping: PortMapping) -> Self {
        mapping.to_string()
    }
}

impl TryFrom<String> for PortMapping {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl FromStr for PortMapping {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut parts = text.split(':');
        let (Some(scheme), Some(host), Some(container), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Invalid::new(format!(
                "Invalid port mapping '{}': write it as scheme:host-port:container-port, such as http:80:5000",
                text.escape_debug()
            )));
        };
        Ok(Self {
            scheme: scheme.parse()?,
            host: parse_port(host)?,
            container: parse_port(container)?,
        })
    }
}

/// A port from 1 to 65535.
pub fn parse_port(text: &str) -> Result<u16, Invalid> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(port),
        _ => Err(Invalid::new(format!(
            "Invalid port '{}': a port is a number from 1 to 65535",
            text.escape_debug()
        ))),
    }
}

/// Refuses two mappings that claim the same scheme and host port.
pub fn check_unique(mappings: &[PortMapping]) -> Result<(), Invalid> {
    for (index, mapping) in mappings.iter().enumerate() {
        let clash =
            |other: &PortMapping| other.scheme == mapping.scheme && other.host == mapping.host;
        if mappings.iter().skip(index + 1).any(clash) {
            return Err(Invalid::new(format!(
                "The same scheme:host-port is being reused: {}:{}",
                mapping.scheme, mapping.host
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_round_trip() {
        let mapping: PortMapping = "http:80:5000".parse().unwrap();
        assert_eq!(
            (mapping.scheme, mapping.host, mapping.container),
            (Scheme::Http, 80, 5000)
        );
        assert_eq!(mapping.to_string(), "http:80:5000");
        for bad in [
            "",
            "80",
            "http:80",
            "http:0:1",
            "http:1:65536",
            "ftp:1:2",
            "http:1:2:3",
            "http:+1:2",
            "http: 1:2",
        ] {
            assert!(bad.parse::<PortMapping>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn one_host_port_has_one_meaning() {
        let parse = |list: &[&str]| list.iter().map(|m| m.parse().unwrap()).collect::<Vec<_>>();
        assert!(check_unique(&parse(&["http:80:1", "https:443:1"])).is_ok());
        let error = check_unique(&parse(&["http:80:1", "http:80:2"])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "The same scheme:host-port is being reused: http:80"
        );
    }
}
