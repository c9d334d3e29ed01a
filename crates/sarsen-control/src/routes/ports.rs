//! Which ports of the host lead to an app, and the addresses that follow.

use sarsen_domain::{AppName, Domain, PortMapping, Scheme};
use sarsen_router::{PortKind, RoutePort};

use super::RoutingView;
use crate::control::Control;
use crate::failure::Outcome;

/// The ports of the router's main listeners.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MainPorts {
    /// A mapping's 80, in the clear.
    pub http: u16,
    /// A mapping's 443, inside TLS; none when HTTPS is off.
    pub https: Option<u16>,
}

impl MainPorts {
    /// The host's port that a mapping means; none when that is 443 and HTTPS is off.
    pub(crate) fn place(self, mapping: &PortMapping) -> Option<u16> {
        match (mapping.scheme, mapping.host) {
            (Scheme::Http | Scheme::Grpc, 80) => Some(self.http),
            (Scheme::Https | Scheme::Grpcs, 443) => self.https,
            (_, host) => Some(host),
        }
    }
}

pub(super) fn of(view: &RoutingView, app: &AppName) -> Vec<RoutePort> {
    let fallback = [PortMapping {
        scheme: Scheme::Http,
        host: 80,
        container: 5000,
    }];
    let own = view.ports.get(app).filter(|own| !own.is_empty());
    if let Some(own) = own {
        // Mappings that a user made say everything themselves.
        return own
            .iter()
            .filter_map(|mapping| route(view.main, mapping))
            .collect();
    }
    let detected = view
        .detected
        .get(app)
        .map_or(fallback.as_slice(), Vec::as_slice);
    let chosen = view.proxy.port(app);
    let mut ports: Vec<_> = detected
        .iter()
        .filter(|mapping| mapping.scheme == Scheme::Http)
        .filter_map(|mapping| route(view.main, mapping))
        .collect();
    for port in ports.iter_mut().filter(|p| p.host_port == view.main.http) {
        port.host_port = chosen
            .filter(|chosen| *chosen != 80)
            .unwrap_or(view.main.http);
    }
    let first = ports.first().copied();
    let mut add = |host_port| {
        if !ports.iter().any(|port| port.host_port == host_port) {
            ports.extend(first.map(|first| RoutePort { host_port, ..first }));
        }
    };
    // An image that exposes 8080 asks for that port on the host; people expect the app's name to work as well.
    if chosen.is_none() {
        add(view.main.http);
    }
    // Whether there is anybody to talk to inside TLS is for the certificates to say.
    if let Some(https) = view.main.https {
        add(view.proxy.ssl_port(app).unwrap_or(https));
    }
    ports
}

fn route(main: MainPorts, mapping: &PortMapping) -> Option<RoutePort> {
    Some(RoutePort {
        host_port: main.place(mapping)?,
        container_port: mapping.container,
        kind: match mapping.scheme {
            Scheme::Http | Scheme::Https => PortKind::Http,
            Scheme::Grpc | Scheme::Grpcs => PortKind::Http2,
            Scheme::Tcp => PortKind::Tcp,
            Scheme::Udp => PortKind::Udp,
        },
    })
}

impl Control {
    pub(crate) fn main_ports(&self) -> MainPorts {
        MainPorts {
            http: self.settings.http_port,
            https: self.settings.https_port,
        }
    }

    /// The addresses that an app answers at, best first.
    pub(crate) async fn urls(&self, app: &AppName) -> Outcome<Vec<String>> {
        let mut mappings = self.store.ports().list(app).await?;
        if mappings.is_empty() {
            mappings = self.usual_mappings(app).await?;
        }
        let is_certified =
            self.settings.https_port.is_some() && self.store.certificates().exists(app).await?;
        let is_tls =
            |mapping: &PortMapping| matches!(mapping.scheme, Scheme::Https | Scheme::Grpcs);
        mappings.retain(|mapping| is_certified || !is_tls(mapping));
        mappings.sort_by_key(|mapping| mapping.scheme != Scheme::Https);
        let domains = if self.store.domains().vhosts_enabled(app).await? {
            self.app_domains(app).await?
        } else {
            Vec::new()
        };
        let named: Vec<_> = domains
            .iter()
            .filter(|domain| !domain.is_catch_all())
            .collect();
        Ok(mappings
            .iter()
            .flat_map(|mapping| named.iter().map(|domain| self.url(domain, mapping)))
            .collect())
    }

    async fn usual_mappings(&self, app: &AppName) -> Outcome<Vec<PortMapping>> {
        let chosen = crate::verbs::proxy::CONCERN
            .effective(self, app, "proxy-port")
            .await?;
        let chosen_ssl = crate::verbs::proxy::CONCERN
            .effective(self, app, "proxy-ssl-port")
            .await?;
        let mapping = |scheme, host| PortMapping {
            scheme,
            host,
            container: 5000,
        };
        Ok(vec![
            mapping(Scheme::Http, chosen.parse().unwrap_or(80)),
            mapping(Scheme::Https, chosen_ssl.parse().unwrap_or(443)),
        ])
    }

    fn url(&self, domain: &Domain, mapping: &PortMapping) -> String {
        let settings = &self.settings;
        let port = match (mapping.scheme, mapping.host) {
            (Scheme::Http | Scheme::Grpc, 80) => settings.http_public_port,
            (Scheme::Https | Scheme::Grpcs, 443) => settings.https_public_port.unwrap_or(443),
            (_, host) => host,
        };
        match (mapping.scheme, port) {
            (Scheme::Http, 80) => format!("http://{domain}"),
            (Scheme::Https, 443) => format!("https://{domain}"),
            (scheme, port) => format!("{scheme}://{domain}:{port}"),
        }
    }
}
