//! Registrator's URIs of registries, and what belongs to them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sarsen_domain::Secret;

use super::consul::Consul;
use super::consul_kv::ConsulKv;
use super::etcd::{Etcd, EtcdSettings, Layout};
use super::http::{HttpClient, Place};
use super::{Backend, BackendError, Lifetime, Mark};

const CONSUL_PORT: u16 = 8500;
const ETCD_PORT: u16 = 2379;

const KINDS: &str = "consul://, consul-unix://, consul-tls://, consulkv://, consulkv-unix://, consulkv-tls://, \
                     etcd://, etcd-tls:// and skydns2://";

/// A registry's address: `consul://127.0.0.1:8500`, `etcd://a:2379,b:2379/services?ttl=30`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendUri {
    text: String,
    kind: Kind,
    places: Vec<Place>,
    encrypted: bool,
    /// Without slashes at its ends.
    path: String,
    lifetime: Option<Lifetime>,
    files: BTreeMap<String, PathBuf>,
    username: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Consul,
    ConsulKv,
    Etcd,
    SkyDns,
}

/// What a registry is told about who we are. Nothing of it is ever in a URI.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// Consul's token.
    pub token: Option<Secret<String>>,
    /// The password of etcd's user.
    pub password: Option<Secret<String>>,
    pub tls: TlsFiles,
}

/// Files for TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority's certificates; without it the host's own.
    pub ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl BackendUri {
    /// Reads it, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| format!("{text} is no address of a registry: there are {KINDS}"))?;
        let (kind, is_unix, encrypted) = match scheme {
            "consul" => (Kind::Consul, false, false),
            "consul-unix" => (Kind::Consul, true, false),
            "consul-tls" => (Kind::Consul, false, true),
            "consulkv" => (Kind::ConsulKv, false, false),
            "consulkv-unix" => (Kind::ConsulKv, true, false),
            "consulkv-tls" => (Kind::ConsulKv, false, true),
            "etcd" => (Kind::Etcd, false, false),
            "etcd-tls" => (Kind::Etcd, false, true),
            "skydns2" => (Kind::SkyDns, false, false),
            _ => {
                return Err(format!(
                    "There is no registry {scheme}://: there are {KINDS}"
                ));
            }
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (places, path) = if is_unix {
            unix(rest, kind)?
        } else {
            let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
            (tcp(hosts, kind)?, path)
        };
        let mut uri = Self {
            text: text.to_owned(),
            kind,
            places,
            encrypted,
            path: path.trim_matches('/').to_owned(),
            lifetime: None,
            files: BTreeMap::new(),
            username: None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            uri.option(pair)?;
        }
        uri.check()?;
        Ok(uri)
    }

    /// Whether it is asked for at this address of this host.
    pub fn is_at(&self, address: std::net::SocketAddr) -> bool {
        let is_here = |host: &str| host == "localhost" || host.parse() == Ok(address.ip());
        let mut places = self.places.iter();
        places.any(|place| matches!(place, Place::Tcp { host, port } if *port == address.port() && is_here(host)))
    }

    fn option(&mut self, pair: &str) -> Result<(), String> {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if value.is_empty() {
            return Err(format!("{}: {key} needs a value", self.text));
        }
        let is_etcd = matches!(self.kind, Kind::Etcd | Kind::SkyDns);
        match key {
            "ttl" if is_etcd => {
                let ttl = value
                    .trim_end_matches('s')
                    .parse()
                    .ok()
                    .filter(|ttl| *ttl >= 3);
                let ttl = ttl.ok_or_else(|| {
                    format!("{}: ttl is a number of seconds, 3 or more", self.text)
                })?;
                self.set_lifetime(Lifetime {
                    ttl: Duration::from_secs(ttl),
                    refresh: Duration::from_secs(ttl / 3),
                });
            }
            "username" if is_etcd => self.username = Some(value.to_owned()),
            "password_file" if is_etcd => self.file(key, value),
            "token_file" if !is_etcd => self.file(key, value),
            "ca" | "cert" | "key" if self.encrypted => self.file(key, value),
            _ => {
                return Err(format!(
                    "{}: this registry knows no option {key}",
                    self.text
                ));
            }
        }
        Ok(())
    }

    fn file(&mut self, key: &str, value: &str) {
        self.files.insert(key.to_owned(), value.into());
    }

    fn check(&self) -> Result<(), String> {
        let has = |key: &str| self.files.contains_key(key);
        if has("cert") != has("key") {
            return Err(format!("{}: cert and key belong together", self.text));
        }
        if self.username.is_some() != has("password_file") {
            return Err(format!(
                "{}: username and password_file belong together",
                self.text
            ));
        }
        if self.kind == Kind::SkyDns && self.path.is_empty() {
            return Err(format!(
                "{}: name the domain: skydns2://HOST/DOMAIN",
                self.text
            ));
        }
        Ok(())
    }

    /// How long entries live without us, where the registry can make them go.
    pub fn set_lifetime(&mut self, lifetime: Lifetime) {
        self.lifetime = Some(lifetime);
    }

    /// Whether entries can be given a limited life.
    pub fn knows_lifetimes(&self) -> bool {
        matches!(self.kind, Kind::Etcd | Kind::SkyDns)
    }

    /// The files that the URI names, read.
    pub fn credentials(&self) -> Result<Credentials, String> {
        let read = |key: &str| -> Result<Option<Secret<String>>, String> {
            let Some(path) = self.files.get(key) else {
                return Ok(None);
            };
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read {} ({key}): {error}", path.display()))?;
            Ok(Some(Secret::new(text.trim().to_owned())))
        };
        let file = |key: &str| self.files.get(key).cloned();
        Ok(Credentials {
            token: read("token_file")?,
            password: read("password_file")?,
            tls: TlsFiles {
                ca: file("ca"),
                identity: file("cert").zip(file("key")),
            },
        })
    }

    /// A handle on the registry; nothing is asked of it yet.
    pub fn open(&self, credentials: &Credentials, mark: Mark) -> Result<Backend, BackendError> {
        let tls = self.encrypted.then_some(&credentials.tls);
        let mut client = HttpClient::new(self.places.clone(), tls)?;
        if let Some(token) = &credentials.token {
            client.set_secret("x-consul-token", token.expose())?;
        }
        let name = self.text.split('?').next().unwrap_or_default().to_owned();
        Ok(match self.kind {
            Kind::Consul => Arc::new(Consul::new(name, client, mark)),
            Kind::ConsulKv => Arc::new(ConsulKv::new(name, client, &self.path, &mark)),
            Kind::Etcd | Kind::SkyDns => Arc::new(Etcd::new(
                client,
                EtcdSettings {
                    name,
                    layout: self.layout(),
                    lifetime: self.lifetime,
                    login: self.username.clone().zip(credentials.password.clone()),
                },
                &mark,
            )),
        })
    }

    fn layout(&self) -> Layout {
        match self.kind {
            Kind::SkyDns => Layout::sky_dns(&self.path),
            Kind::Etcd | Kind::Consul | Kind::ConsulKv => Layout::plain(&self.path),
        }
    }
}

impl fmt::Display for BackendUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn tcp(hosts: &str, kind: Kind) -> Result<Vec<Place>, String> {
    let (port, several) = match kind {
        Kind::Consul | Kind::ConsulKv => (CONSUL_PORT, false),
        Kind::Etcd | Kind::SkyDns => (ETCD_PORT, true),
    };
    if hosts.contains('@') {
        return Err(
            "a registry's address holds no password: see token_file and password_file".to_owned(),
        );
    }
    let hosts: Vec<&str> = hosts.split(',').collect();
    if hosts.len() > 1 && !several {
        return Err("one Consul agent is enough: name one address".to_owned());
    }
    hosts.into_iter().map(|host| place(host, port)).collect()
}

fn place(text: &str, default: u16) -> Result<Place, String> {
    let text = if text.is_empty() { "127.0.0.1" } else { text };
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match bare {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None => default,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| format!("{text} has no port from 1 to 65535"))?,
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(format!("{text} is no host"));
    }
    Ok(Place::Tcp {
        host: host.to_owned(),
        port,
    })
}

/// `/run/consul.sock`, and for key-value stores a prefix behind a colon.
fn unix(rest: &str, kind: Kind) -> Result<(Vec<Place>, &str), String> {
    let (socket, path) = match kind {
        Kind::ConsulKv => rest.split_once(':').unwrap_or((rest, "")),
        Kind::Consul | Kind::Etcd | Kind::SkyDns => (rest, ""),
    };
    if socket.is_empty() {
        return Err("name the path of the socket".to_owned());
    }
    Ok((vec![Place::Unix(socket.into())], path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Place {
        let host = host.to_owned();
        Place::Tcp { host, port }
    }

    #[test]
    fn registrators_addresses_are_read() {
        for (text, kind, places, path) in [
            ("consul://", Kind::Consul, vec![tcp("127.0.0.1", 8500)], ""),
            ("consul://c:85", Kind::Consul, vec![tcp("c", 85)], ""),
            ("consul-tls://c", Kind::Consul, vec![tcp("c", 8500)], ""),
            (
                "consul-unix:///run/c.sock",
                Kind::Consul,
                vec![Place::Unix("/run/c.sock".into())],
                "",
            ),
            (
                "consulkv://c:85/a/b/",
                Kind::ConsulKv,
                vec![tcp("c", 85)],
                "a/b",
            ),
            (
                "consulkv-unix:///c.sock:/a",
                Kind::ConsulKv,
                vec![Place::Unix("/c.sock".into())],
                "a",
            ),
            (
                "etcd:///services",
                Kind::Etcd,
                vec![tcp("127.0.0.1", 2379)],
                "services",
            ),
            (
                "etcd://a:1,[::1]:2/x",
                Kind::Etcd,
                vec![tcp("a", 1), tcp("::1", 2)],
                "x",
            ),
            (
                "skydns2://h/d.local",
                Kind::SkyDns,
                vec![tcp("h", 2379)],
                "d.local",
            ),
        ] {
            let uri = BackendUri::parse(text).unwrap();
            assert_eq!(
                (uri.kind, uri.places, uri.path.as_str()),
                (kind, places, path),
                "{text}"
            );
        }
        let uri = BackendUri::parse("etcd://h/p?ttl=30&username=u&password_file=/f").unwrap();
        assert_eq!(uri.lifetime.unwrap().refresh, Duration::from_secs(10));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (text, expected) in [
            ("127.0.0.1:8500", "no address of a registry"),
            ("zookeeper://h/p", "no registry zookeeper://"),
            ("consul://a,b", "one address"),
            ("consul://u:p@h", "holds no password"),
            ("consul://h:0", "1 to 65535"),
            ("consul://h?ttl=5", "no option ttl"),
            ("consul://h?ca=/x", "no option ca"),
            ("etcd://h?ttl=x", "number of seconds"),
            ("etcd://h?username=x", "belong together"),
            ("etcd-tls://h?cert=/x", "belong together"),
            ("etcd://h?ttl=", "needs a value"),
            ("consul-unix://", "path of the socket"),
            ("skydns2://h", "name the domain"),
            ("consul://h h", "no host"),
        ] {
            let complaint = BackendUri::parse(text).unwrap_err();
            assert!(complaint.contains(expected), "{text}: {complaint}");
        }
    }
}
