//! Routes: what the store wants and the catalog knows becomes the router's table.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sarsen_domain::{AppName, Domain, Health, PortMapping, Service};
use sarsen_router::{AppRoute, AppState, HttpsRedirect, Policy, RouteTable, Upstream};
use sarsen_store::{AppDomains, Instance, Scope};
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::failure::Outcome;
use crate::policies::Wishes;
use crate::verbs::network;
use crate::verbs::proxy::ProxyView;

mod doors;
mod ports;

use doors::WantedPorts;
pub use doors::{PortSocket, RouterPorts};
pub(crate) use ports::MainPorts;

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
    /// Apps with a certificate.
    pub certified: BTreeSet<AppName>,
    /// The port of HTTPS as clients see it.
    pub https_public: Option<u16>,
    /// The ports that a mapping's 80 and 443 stand for.
    pub main: MainPorts,
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
    let usual = usual_policy(&view.wishes);
    view.apps
        .iter()
        .filter(|app| !view.proxy.hidden.contains(&app.app))
        .map(|app| AppRoute {
            app: app.app.clone(),
            hosts: hosts(app, &view.global),
            ports: ports::of(view, &app.app),
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
            policy: policy(&view.wishes, &app.app, &usual),
        })
        .map(|mut route| {
            if !route.upstreams.is_empty() {
                route.state = AppState::Serving;
            }
            redirect_to_https(view, &mut route);
            route
        })
        .collect()
}

/// As Dokku does it: the usual plain port leads to the usual port of HTTPS, where the app answers there with a certificate.
fn redirect_to_https(view: &RoutingView, route: &mut AppRoute) {
    let (Some(https), Some(public)) = (view.main.https, view.https_public) else {
        return;
    };
    let chosen = view.proxy.ssl_port(&route.app).map(|port| (port, port));
    let mut places = chosen.into_iter().chain([(https, public)]);
    let found = places.find(|(port, _)| route.ports.iter().any(|own| own.host_port == *port));
    if let Some((_, to)) = found
        && view.certified.contains(&route.app)
        && view.wishes.prefers_https(&route.app)
    {
        let from = view.main.http;
        Arc::make_mut(&mut route.policy).https.redirect = Some(HttpsRedirect { from, to });
    }
}

fn policy(wishes: &Wishes, app: &AppName, usual: &Arc<Policy>) -> Arc<Policy> {
    if !wishes.apps.contains_key(app) {
        return Arc::clone(usual);
    }
    let (policy, problems) = wishes.policy(app);
    for problem in problems {
        tracing::warn!(app.name = %app, "a setting of {app} is not in force: {problem}");
    }
    Arc::new(policy)
}

/// Shared by all apps whose owners want nothing special, which are most.
fn usual_policy(wishes: &Wishes) -> Arc<Policy> {
    let (policy, problems) = wishes.usual();
    for problem in problems {
        tracing::warn!("a setting for all apps is not in force: {problem}");
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
pub(crate) fn effective_domains(app: &AppName, own: &[Domain], global: &[Domain]) -> Vec<Domain> {
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

/// The turns of those who want the routes computed anew.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// How many have asked so far.
    asked: AtomicU64,
    /// How many of them the table knows of. Held while it is computed.
    met: tokio::sync::Mutex<u64>,
}

impl Control {
    /// Recomputes the routes and swaps the table. Who waits for a turn while somebody else's view, read later than the
    /// call was made, becomes the table, is done.
    pub async fn refresh_routes(&self) -> Outcome {
        let mine = self.routing.asked.fetch_add(1, Ordering::SeqCst) + 1;
        // One at a time: an older view must not overwrite a newer one.
        let mut met = self.routing.met.lock().await;
        if *met >= mine {
            return Ok(());
        }
        let asked = self.routing.asked.load(Ordering::SeqCst);
        self.swap_routes().await?;
        *met = asked;
        drop(met);
        Ok(())
    }

    async fn swap_routes(&self) -> Outcome {
        let view = self.routing_view().await?;
        let routes = self.routes_of(&view).await?;
        let hosts = routes
            .iter()
            .map(|route| (route.app.clone(), route.hosts.clone()))
            .collect();
        let certificates = self.certificate_set(&hosts).await?;
        let ports = WantedPorts::of(&view, &routes);
        // In front: no app takes the dashboard's name.
        let routes = self.dashboard_route().into_iter().chain(routes).collect();
        self.router.certificates().swap(certificates);
        self.router.swap(RouteTable::new(routes));
        // Only now: whoever comes in at a port that was just opened finds his way.
        self.open_ports(ports).await;
        Ok(())
    }

    /// Whether the catalog knows every container that is to get requests. At a start that is so when the last run wrote
    /// them down and they still run; else Docker has to be asked first.
    pub async fn knows_its_containers(&self) -> Outcome<bool> {
        let live = self.store.instances().live_web().await?;
        let catalog = self.registry.catalog();
        let mut known = BTreeSet::new();
        for service in catalog.services().values() {
            known.extend(service.owner.as_ref().map(|owner| owner.instance));
        }
        Ok(live.iter().all(|instance| known.contains(&instance.id)))
    }

    /// The routes that follow from the store and the catalog as they are now.
    pub(crate) async fn current_routes(&self) -> Outcome<Vec<AppRoute>> {
        self.routes_of(&self.routing_view().await?).await
    }

    async fn routes_of(&self, view: &RoutingView) -> Outcome<Vec<AppRoute>> {
        let fixed = self.fixed_listeners().await?;
        let mut routes = compute(view, self.registry.catalog().services());
        network::point_at_listeners(&mut routes, &fixed);
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
            certified: self.certified().await?,
            https_public: self.settings.https_public_port.or(self.settings.https_port),
            main: self.main_ports(),
        })
    }

    async fn certified(&self) -> Outcome<BTreeSet<AppName>> {
        let current = self.store.certificates().current().await?;
        Ok(current.into_iter().map(|(app, _)| app).collect())
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
}

#[cfg(test)]
mod tests;
