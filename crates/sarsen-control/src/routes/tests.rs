//! What becomes a route, without sockets or containers.

use std::collections::BTreeMap;

use sarsen_domain::service::ServiceOwner;
use sarsen_domain::{BuildId, ContainerId, ProcessType, ReleaseNumber, Service};
use sarsen_store::InstanceState;

use super::*;

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn view(name: &str) -> RoutingView {
    RoutingView {
        apps: vec![AppDomains {
            app: app(name),
            vhosts_enabled: true,
            domains: Vec::new(),
        }],
        global: vec![domain("localhost")],
        ports: BTreeMap::new(),
        detected: BTreeMap::from([(app(name), vec!["http:80:5000".parse().unwrap()])]),
        live: Vec::new(),
        wishes: Wishes::default(),
        certified: BTreeSet::new(),
        https_public: None,
        main: MainPorts {
            http: 8080,
            https: None,
        },
        proxy: ProxyView::default(),
    }
}

fn live(name: &str, id: i64) -> Instance {
    Instance {
        id,
        app: app(name),
        release: ReleaseNumber(1),
        process: ProcessType::web(),
        index: 1,
        state: InstanceState::Live,
        container: None,
        name: None,
        build: BuildId::from_parts(1, 1),
        port: Some(5000),
        created_at: 0,
    }
}

fn service(name: &str, instance: i64, health: Health) -> Service {
    Service {
        id: format!("host:{name}.web.{instance}:5000"),
        name: name.to_owned(),
        address: format!("172.17.0.{instance}:5000").parse().unwrap(),
        tags: Vec::new(),
        attributes: BTreeMap::new(),
        health,
        container: ContainerId::parse(&format!("{instance:064x}")).unwrap(),
        owner: Some(ServiceOwner {
            app: app(name),
            process: ProcessType::web(),
            instance,
            dyno: format!("web.{instance}"),
        }),
    }
}

fn only(view: &RoutingView, services: Vec<Service>) -> AppRoute {
    let services = services
        .into_iter()
        .map(|service| (service.id.clone(), service))
        .collect();
    compute(view, &services).remove(0)
}

#[test]
fn only_what_is_live_and_healthy_gets_requests() {
    let mut view = view("a");
    view.live = vec![live("a", 1), live("a", 2)];
    let services = vec![
        service("a", 1, Health::Passing),
        service("a", 2, Health::Critical),
        // A candidate: in the catalog, not yet live.
        service("a", 3, Health::Passing),
    ];
    let route = only(&view, services);
    assert_eq!(route.state, AppState::Serving);
    let ids: Vec<_> = route
        .upstreams
        .iter()
        .map(|upstream| upstream.instance)
        .collect();
    assert_eq!(ids, [1]);
}

#[test]
fn an_app_without_upstreams_says_why() {
    let mut view = view("a");
    assert_eq!(only(&view, vec![]).state, AppState::NoWeb);
    view.live = vec![live("a", 1)];
    assert_eq!(only(&view, vec![]).state, AppState::Crashed);
    view.live.clear();
    view.detected.clear();
    assert_eq!(only(&view, vec![]).state, AppState::NeverDeployed);
}

#[test]
fn port_80_is_the_routers_main_port_and_names_follow_the_global_domain() {
    let route = only(&view("a"), vec![]);
    assert_eq!(route.hosts, [domain("a.localhost")]);
    let ports: Vec<_> = route
        .ports
        .iter()
        .map(|port| (port.host_port, port.container_port))
        .collect();
    assert_eq!(ports, [(8080, 5000)]);
}

#[test]
fn an_image_that_exposes_another_port_answers_at_its_name_too() {
    let mut view = view("a");
    view.detected
        .insert(app("a"), vec!["http:3000:3000".parse().unwrap()]);
    let ports: Vec<_> = only(&view, vec![])
        .ports
        .iter()
        .map(|port| (port.host_port, port.container_port))
        .collect();
    assert!(ports.contains(&(8080, 3000)), "{ports:?}");
}

#[test]
fn mappings_of_the_user_are_taken_as_they_are() {
    let mut view = view("a");
    view.ports
        .insert(app("a"), vec!["http:9000:3000".parse().unwrap()]);
    let ports: Vec<_> = only(&view, vec![])
        .ports
        .iter()
        .map(|port| (port.host_port, port.container_port))
        .collect();
    assert_eq!(ports, [(9000, 3000)]);
}

#[test]
fn own_domains_take_the_place_of_default_ones() {
    let own = [domain("x.example")];
    assert_eq!(
        effective_domains(&app("a"), &own, &[domain("localhost")]),
        own
    );
    assert_eq!(
        effective_domains(&app("a.example"), &[], &[domain("localhost")]),
        [domain("a.example")]
    );
    assert_eq!(effective_domains(&app("a"), &[], &[domain("10.0.0.1")]), []);
}

#[test]
fn an_app_that_is_not_proxied_has_no_route() {
    let mut view = view("a");
    view.proxy.hidden.insert(app("a"));
    assert!(compute(&view, &BTreeMap::new()).is_empty());
}

#[test]
fn the_proxy_port_stands_for_80_unless_the_user_mapped_ports() {
    let mut view = view("a");
    view.proxy.ports.insert(app("a"), 9000);
    let ports = |view: &RoutingView| {
        let route = only(view, Vec::new());
        route
            .ports
            .iter()
            .map(|port| port.host_port)
            .collect::<Vec<_>>()
    };
    assert_eq!(ports(&view), [9000]);
    view.ports
        .insert(app("a"), vec!["http:80:5000".parse().unwrap()]);
    assert_eq!(ports(&view), [8080]);
}

#[test]
fn plain_requests_go_to_https_once_there_is_a_certificate() {
    let mut view = view("shop");
    let redirect = |view: &RoutingView| only(view, Vec::new()).policy.https.redirect;
    view.main.https = Some(8443);
    view.https_public = Some(443);
    assert_eq!(redirect(&view), None, "no certificate");
    view.certified.insert(app("shop"));
    let wanted = HttpsRedirect {
        from: 8080,
        to: 443,
    };
    assert_eq!(redirect(&view), Some(wanted));
    let no = ("router".to_owned(), "https-redirect".to_owned());
    let global = &mut view.wishes.global.properties;
    global.insert(no, "false".to_owned());
    assert_eq!(redirect(&view), None);
}

#[test]
fn another_port_can_stand_for_443() {
    let mut view = view("shop");
    let app = AppName::parse("shop").unwrap();
    view.main.https = Some(8443);
    view.https_public = Some(443);
    view.proxy.ssl_ports.insert(app.clone(), 9443);
    view.certified.insert(app);
    let route = only(&view, Vec::new());
    let ports: Vec<_> = route.ports.iter().map(|port| port.host_port).collect();
    assert!(ports.contains(&9443) && !ports.contains(&8443), "{ports:?}");
    assert_eq!(route.policy.https.redirect.unwrap().to, 9443);
}
