//! The route table: which app answers for a host name on a port. A value: built whole, never changed, no sockets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use sarsen_domain::{AppName, Domain};

use crate::host;
use crate::policy::{Policy, RedirectSource, rest_below};

#[cfg(test)]
mod tests;

/// Everything the router needs to know about one app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRoute {
    /// The app.
    pub app: AppName,
    /// The names it answers to. An app that shall answer to any name on its ports has `_`.
    pub hosts: Vec<Domain>,
    /// The ports it answers on, and the port of its containers behind each.
    pub ports: Vec<RoutePort>,
    /// The healthy web containers.
    pub upstreams: Vec<Upstream>,
    /// What to say when there are none.
    pub state: AppState,
    /// What else its owner wants.
    pub policy: Arc<Policy>,
}

/// What comes to `host_port` of this machine goes to `container_port` of the app's containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RoutePort {
    /// The port that clients connect to.
    pub host_port: u16,
    /// The port that the containers listen on.
    pub container_port: u16,
    /// What the containers are spoken to in.
    pub kind: PortKind,
}

/// What is spoken to the containers behind a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PortKind {
    /// HTTP/1.1.
    Http,
    /// HTTP/2 in the clear, as gRPC servers want it.
    Http2,
    /// Bytes: whoever connects to the port is connected to the app, by whatever name he came.
    Tcp,
    /// Datagrams, likewise.
    Udp,
}

impl RoutePort {
    /// Requests that go to the containers as HTTP/1.1.
    pub const fn http(host_port: u16, container_port: u16) -> Self {
        Self {
            host_port,
            container_port,
            kind: PortKind::Http,
        }
    }
}

/// One container that may get traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The row of the store that the container was started for.
    pub instance: i64,
    /// `web.1`
    pub dyno: String,
    /// Where the container is reached; the port comes from the mapping.
    pub ip: IpAddr,
}

impl Upstream {
    /// Where this container listens for requests of one mapping.
    pub fn address(&self, port: RoutePort) -> SocketAddr {
        SocketAddr::new(self.ip, port.container_port)
    }
}

/// Why an app has upstreams, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AppState {
    /// Requests go to the upstreams.
    Serving,
    /// Stopped, or scaled to no web process.
    NoWeb,
    /// Nothing was ever deployed.
    NeverDeployed,
    /// Its web processes ended and don't come up again.
    Crashed,
}

/// What a look-up found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'a> {
    /// The app that answers.
    pub app: &'a AppRoute,
    /// The mapping that the request came in on.
    pub port: RoutePort,
}

/// All routes. The first app in the list wins where two claim the same name and path on the same port.
#[derive(Debug, Default)]
pub struct RouteTable {
    apps: Vec<AppRoute>,
    ports: HashMap<u16, PortTable>,
    // Ports that belong to one app, whatever the name.
    raw: HashMap<(PortKind, u16), Target>,
}

/// Positions in the table: of the app, and of the mapping within the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) app: usize,
    pub(crate) port: usize,
}

#[derive(Debug, Default)]
struct PortTable {
    exact: HashMap<Box<str>, Paths>,
    // Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Paths>,
    catch_all: Option<Paths>,
}

/// The apps that share a name, each below a path of its own; the longest path first.
#[derive(Debug, Default)]
struct Paths(Vec<(Box<str>, Target)>);

impl RouteTable {
    /// Builds the table.
    pub fn new(apps: Vec<AppRoute>) -> Self {
        let mut ports: HashMap<u16, PortTable> = HashMap::new();
        let mut raw = HashMap::new();
        for (app, route) in apps.iter().enumerate() {
            for (port, mapping) in route.ports.iter().enumerate() {
                let target = Target { app, port };
                if matches!(mapping.kind, PortKind::Tcp | PortKind::Udp) {
                    raw.entry((mapping.kind, mapping.host_port))
                        .or_insert(target);
                    continue;
                }
                let table = ports.entry(mapping.host_port).or_default();
                let path = route.policy.path.as_ref().map_or("", |path| path.as_str());
                for host in &route.hosts {
                    table.claim(host, path, target);
                }
            }
        }
        claim_redirects(&apps, &mut ports);
        Self { apps, ports, raw }
    }

    /// The app that a raw port belongs to.
    pub(crate) fn locate_raw(&self, kind: PortKind, port: u16) -> Option<Target> {
        self.raw.get(&(kind, port)).copied()
    }

    /// The app that answers to a `Host` header on a port: the exact name, else the longest wildcard, else the catch-all.
    /// Among those that share the name, the one with the longest path that the request's path is below.
    pub fn find(&self, port: u16, host: &str, path: &str) -> Option<Route<'_>> {
        let target = self.locate(port, &host::normalise(host)?, path)?;
        let app = self.apps.get(target.app)?;
        Some(Route {
            app,
            port: *app.ports.get(target.port)?,
        })
    }

    /// The apps, in the order given.
    pub fn apps(&self) -> &[AppRoute] {
        &self.apps
    }

    /// Like [`Self::find`], for a name that is normalised already.
    ///
    /// The name is chosen first: a path that nobody has there is not looked for under a wildcard.
    pub(crate) fn locate(&self, port: u16, host: &str, path: &str) -> Option<Target> {
        let table = self.ports.get(&port)?;
        table
            .exact
            .get(host)
            .or_else(|| table.widest_match(host))
            .or(table.catch_all.as_ref())?
            .find(path)
    }
}

/// A name that only leads elsewhere belongs to the app that says so, unless another app answers to it.
fn claim_redirects(apps: &[AppRoute], ports: &mut HashMap<u16, PortTable>) {
    for (app, route) in apps.iter().enumerate() {
        let sources = route.policy.redirects.iter().map(|r| r.source());
        for source in sources {
            let RedirectSource::Host(host) = source else {
                continue;
            };
            for (port, mapping) in route.ports.iter().enumerate() {
                let table = ports.entry(mapping.host_port).or_default();
                table.claim(host, "", Target { app, port });
            }
        }
    }
}

impl Paths {
    fn claim(&mut self, path: &str, target: Target) {
        if self.0.iter().any(|(own, _)| **own == *path) {
            return;
        }
        self.0.push((path.into(), target));
        self.0
            .sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    }

    fn find(&self, path: &str) -> Option<Target> {
        let mut found = self.0.iter();
        let (_, target) = found.find(|(prefix, _)| rest_below(prefix, path).is_some())?;
        Some(*target)
    }
}

impl PortTable {
    fn claim(&mut self, host: &Domain, path: &str, target: Target) {
        let paths = if host.is_catch_all() {
            self.catch_all.get_or_insert_default()
        } else if let Some(suffix) = host.wildcard_suffix() {
            self.wildcard.entry(suffix.into()).or_default()
        } else {
            self.exact.entry(host.as_str().into()).or_default()
        };
        paths.claim(path, target);
    }

    // `a.b.example.com` tries `b.example.com`, `example.com`, `com`.
    fn widest_match(&self, host: &str) -> Option<&Paths> {
        if self.wildcard.is_empty() {
            return None;
        }
        let mut rest = host;
        while let Some((_, suffix)) = rest.split_once('.') {
            if let Some(paths) = self.wildcard.get(suffix) {
                return Some(paths);
            }
            rest = suffix;
        }
        None
    }
}
