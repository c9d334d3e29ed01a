//! Routes: what the store wants and the catalog knows becomes the router's table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use sarsen_domain::{AppName, Domain, Health, PortMapping, Scheme, Service};
use sarsen_router::{AppRoute, AppState, Policy, PortKind, RoutePort, RouteTable, Upstream};
use sarsen_store::{AppDomains, Instance, Scope};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::policies::Wishes;
use crate::verbs::network;
use crate::verbs::proxy::ProxyView;

/// Everything the routes depend on but the catalog.
pub(crate) struct RoutingView {
    pub apps: Vec<AppDomains>,
    pub global: Vec<Domain>,
    /// Mappings that users made.
    pub ports: BTreeMap<AppName, Vec<PortMapping>>,
    /// What live releases ask for.
    pub detected: BTreeMap<AppName, Vec<PortMapping>>,
    /// Live web containers.
    pub live: Vec<Instance>,
    /// What owners want beyond routes.
    pub wishes: Wishes,
    /// The port that a mapping's 80 stands for.
    pub http_port: u16,
    /// What `proxy:set` and `proxy:disable` say.
    pub proxy: ProxyView,
}

/// The table that follows from the view and the catalog. Only containers that are live in the store and pass their
/// checks in the catalog get requests.
pub(crate) fn compute(view: &RoutingView, services: &BTreeMap<String, Service>) -> Vec<AppRoute> {
    let mut live: HashMap<&AppName, BTreeSet<i64>> = HashMap::new();
    for instance in &view.live {
        live.entry(&instance.app).or_default().insert(instance.id);
    }
    let mut upstreams: HashMap<&AppName, BTreeMap<i64, Upstream>> = HashMap::new();
    for service in services
        .values()
        .filter(|service| service.health == Health::Passing)
    {
        let Some(owner) = &service.owner else {
            continue;
        };
        if owner.process.is_web()
            && live
                .get(&owner.app)
                .is_some_and(|ids| ids.contains(&owner.instance))
        {
            let upstream = Upstream {
                instance: owner.instance,
                dyno: owner.dyno.clone(),
                ip: service.address.ip(),
            };
            upstreams
                .entry(&owner.app)
                .or_default()
                .insert(owner.instance, upstream);
        }
    }
    view.apps
        .iter()
        .filter(|app| !view.proxy.hidden.contains(&app.app))
        .map(|app| AppRoute {
            app: app.app.clone(),
            hosts: hosts(app, &view.global),
            ports: ports(view, &app.app),
            upstreams: upstreams
                .remove(&app.app)
                .map(|found| found.into_values().collect())
                .unwrap_or_default(),
            state: match (
                live.contains_key(&app.app),
                view.detected.contains_key(&app.app),
            ) {
                (true, _) => AppState::Crashed,
                (false, true) => AppState::NoWeb,
                (false, false) => AppState::NeverDeployed,
            },
            policy: policy(&view.wishes, &app.app),
        })
        .map(|mut route| {
            if !route.upstreams.is_empty() {
                route.state = AppState::Serving;
            }
            route
        })
        .collect()
}

fn policy(wishes: &Wishes, app: &AppName) -> Arc<Policy> {
    let (policy, problems) = wishes.policy(app);
    for problem in problems {
        tracing::warn!(app.name = %app, "a setting of {app} is not in force: {problem}");
    }
    Arc::new(policy)
}

fn hosts(app: &AppDomains, global: &[Domain]) -> Vec<Domain> {
    if app.vhosts_enabled {
        effective_domains(&app.app, &app.domains, global)
    } else {
        Vec::new()
    }
}

/// An app's own domains, or its default one under each global domain.
fn effective_domains(app: &AppName, own: &[Domain], global: &[Domain]) -> Vec<Domain> {
    if !own.is_empty() {
        return own.to_vec();
    }
    if app.as_str().contains('.') {
        return Domain::parse(app.as_str()).into_iter().collect();
    }
    let is_ip = |domain: &Domain| domain.as_str().parse::<std::net::IpAddr>().is_ok();
    let default = |domain: &Domain| Domain::parse(&format!("{app}.{domain}")).ok();
    global
        .iter()
        .filter(|domain| !is_ip(domain))
        .filter_map(default)
        .collect()
}

fn ports(view: &RoutingView, app: &AppName) -> Vec<RoutePort> {
    let fallback = [PortMapping {
        scheme: Scheme::Http,
        host: 80,
        container: 5000,
    }];
    let own = view.ports.get(app).filter(|own| !own.is_empty());
    let mappings = own
        .or_else(|| view.detected.get(app))
        .map_or(fallback.as_slice(), Vec::as_slice);
    // Mappings that a user made say everything themselves.
    let chosen = view.proxy.port(app).filter(|_| own.is_none());
    let mut ports: Vec<_> = mappings
        .iter()
        .filter(|mapping| mapping.scheme == Scheme::Http)
        .map(|mapping| RoutePort {
            host_port: match (mapping.host, chosen) {
                (80, Some(chosen)) if chosen != 80 => chosen,
                (80, _) => view.http_port,
                (host, _) => host,
            },
            container_port: mapping.container,
            kind: PortKind::Http,
        })
        .collect();
    // An image that exposes 8080 asks for that port on the host; people expect the app's name to work as well.
    if own.is_none()
        && chosen.is_none()
        && !ports.iter().any(|port| port.host_port == view.http_port)
    {
        let first = ports.first().copied();
        ports.extend(first.map(|first| RoutePort {
            host_port: view.http_port,
            ..first
        }));
    }
    ports
}

/// The router's listeners beside the main one, by port.
#[derive(Default)]
pub(crate) struct ExtraListeners(Mutex<BTreeMap<u16, DropGuard>>);

impl Control {
    /// Recomputes the routes and swaps the table.
    pub async fn refresh_routes(&self) -> Outcome {
        // One at a time: an older view must not overwrite a newer one.
        let _turn = self.routing.lock().await;
        let view = self.routing_view().await?;
        let catalog = self.registry.catalog();
        let routes = compute(&view, catalog.services());
        let hosts = routes
            .iter()
            .map(|route| (route.app.clone(), route.hosts.clone()))
            .collect();
        let certificates = self.certificate_set(&hosts).await?;
        self.open_ports(&view, &routes).await;
        self.router.certificates().swap(certificates);
        self.router.swap(RouteTable::new(routes));
        Ok(())
    }

    /// The routes that follow from the store and the catalog as they are now.
    pub(crate) async fn current_routes(&self) -> Outcome<Vec<AppRoute>> {
        let view = self.routing_view().await?;
        let catalog = self.registry.catalog();
        let mut routes = compute(&view, catalog.services());
        network::point_at_listeners(&mut routes, &self.fixed_listeners().await?);
        Ok(routes)
    }

    /// Follows the catalog until the daemon ends: a container that starts, dies or fails its checks changes routes.
    pub async fn follow_catalog(self, shutdown: CancellationToken) {
        let mut changes = self.registry.changes();
        loop {
            if let Err(failure) = self.refresh_routes().await {
                tracing::error!(error = %failure, "cannot recompute the routes; the last ones stay");
            }
            self.follow_containers().await;
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                () = shutdown.cancelled() => return,
            }
        }
    }

    pub(crate) async fn routing_view(&self) -> Outcome<RoutingView> {
        let apps = self.store.domains().all().await?;
        let proxy = self.proxy_view(apps.iter().map(|app| &app.app)).await?;
        Ok(RoutingView {
            apps,
            proxy,
            global: self.store.domains().list(&Scope::Global).await?,
            ports: self.store.ports().all().await?,
            detected: self.store.releases().live_ports().await?,
            live: self.store.instances().live_web().await?,
            wishes: self.wishes().await?,
            http_port: self.settings.http_port,
        })
    }

    /// Every name that leads to an app, and the app.
    pub(crate) async fn taken_domains(&self) -> Outcome<Vec<(Domain, AppName)>> {
        let global = self.store.domains().list(&Scope::Global).await?;
        let all = self.store.domains().all().await?;
        let of = |app: &AppDomains| {
            let name = app.app.clone();
            hosts(app, &global)
                .into_iter()
                .map(move |domain| (domain, name.clone()))
        };
        Ok(all.iter().flat_map(of).collect())
    }

    /// The domains that an app answers to.
    pub(crate) async fn app_domains(&self, app: &AppName) -> Outcome<Vec<Domain>> {
        let own = self.store.domains().list(&Scope::App(app.clone())).await?;
        if own.is_empty() && !self.store.domains().vhosts_enabled(app).await? {
            return Ok(own);
        }
        let global = self.store.domains().list(&Scope::Global).await?;
        Ok(effective_domains(app, &own, &global))
    }

    /// The addresses that an app answers at, best first.
    pub(crate) async fn urls(&self, app: &AppName) -> Outcome<Vec<String>> {
        let own = self.store.ports().list(app).await?;
        let main = self.settings.http_public_port;
        let mut ports: Vec<u16> = own
            .iter()
            .filter(|mapping| mapping.scheme == Scheme::Http)
            .map(|mapping| {
                if mapping.host == 80 {
                    main
                } else {
                    mapping.host
                }
            })
            .collect();
        if own.is_empty() {
            let chosen = crate::verbs::proxy::CONCERN
                .effective(self, app, "proxy-port")
                .await?;
            ports.push(
                chosen
                    .parse()
                    .ok()
                    .filter(|port| *port != 80)
                    .unwrap_or(main),
            );
        }
        let domains = if self.store.domains().vhosts_enabled(app).await? {
            self.app_domains(app).await?
        } else {
            Vec::new()
        };
        let named: Vec<_> = domains
            .iter()
            .filter(|domain| !domain.is_catch_all())
            .collect();
        let url = |domain: &Domain, port: u16| match port {
            80 => format!("http://{domain}"),
            other => format!("http://{domain}:{other}"),
        };
        Ok(ports
            .iter()
            .flat_map(|port| named.iter().map(|domain| url(domain, *port)))
            .collect())
    }

    /// Refuses mappings whose host port another program holds.
    pub(crate) async fn check_ports_can_be_opened(&self, mappings: &[PortMapping]) -> Outcome {
        for port in mappings.iter().map(|mapping| mapping.host) {
            self.check_port_can_be_opened(port).await?;
        }
        Ok(())
    }

    /// Refuses a port that another program holds.
    pub(crate) async fn check_port_can_be_opened(&self, port: u16) -> Outcome {
        if port == 80 || port == self.settings.http_port || self.extra_listeners.has(port) {
            return Ok(());
        }
        let bound = TcpListener::bind((self.settings.http_ip, port)).await;
        bound.map(|_| ()).map_err(|error| {
            Failure::new(format!("Port {port} of this host cannot be used: {error}"))
        })
    }

    /// Opens the ports that routes name beside the main one, and closes those that none names any more.
    async fn open_ports(&self, view: &RoutingView, routes: &[AppRoute]) {
        // A port that only an image asks for is reached by the app's name: opening it would let any image choose.
        let asked_for =
            |app: &AppName| view.ports.contains_key(app) || view.proxy.port(app).is_some();
        let mapped: BTreeSet<u16> = routes
            .iter()
            .filter(|route| asked_for(&route.app))
            .flat_map(|route| route.ports.iter().map(|port| port.host_port))
            .filter(|port| *port != self.settings.http_port)
            .collect();
        self.extra_listeners.keep_only(&mapped);
        for port in mapped
            .into_iter()
            .filter(|port| !self.extra_listeners.has(*port))
        {
            match TcpListener::bind((self.settings.http_ip, port)).await {
                Ok(listener) => self.serve_extra(port, listener),
                Err(error) => {
                    tracing::error!(port, %error, "cannot open port {port} for an app's port mapping")
                }
            }
        }
    }

    fn serve_extra(&self, port: u16, listener: TcpListener) {
        let stop = self.shutdown.child_token();
        let (router, token) = (self.router.clone(), stop.clone());
        self.tasks.spawn(async move {
            if let Err(error) = router.serve(listener, token).await {
                tracing::error!(port, %error, "port {port} is served no longer");
            }
        });
        self.extra_listeners
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(port, stop.drop_guard());
    }
}

impl ExtraListeners {
    fn has(&self, port: u16) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(&port)
    }

    fn keep_only(&self, ports: &BTreeSet<u16>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|port, _| ports.contains(port));
    }
}

#[cfg(test)]
mod tests;
