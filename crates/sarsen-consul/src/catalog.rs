//! `/v1/catalog` and `/v1/status`: what there is, and entries for what is on other hosts.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use sarsen_registry::{
    Catalog, CheckRegistration, CheckSpec, CheckStatus, Instance, Node, OtherChecks, Place, Probe,
    Scope,
};
use serde_json::{Map, Value, json};

use crate::agent;
use crate::answer::{self, Fault, Found, Json};
use crate::api::Api;
use crate::ask::{Ask, DATACENTER};
use crate::body::{self, Fields};
use crate::shapes;

/// What came through this door.
pub(crate) const REGISTRANT: &str = "consul-api";

/// GET /v1/status/leader
pub(crate) async fn leader(State(api): State<Api>, _: Ask) -> Response {
    Json(api.settings().address.to_string()).into_response()
}

/// GET /v1/status/peers
pub(crate) async fn peers(State(api): State<Api>, _: Ask) -> Response {
    Json([api.settings().address.to_string()]).into_response()
}

/// GET datacenters
pub(crate) async fn datacenters(_: State<Api>, _: Ask) -> Response {
    Json([DATACENTER]).into_response()
}

/// GET nodes
pub(crate) async fn nodes(State(api): State<Api>, ask: Ask) -> Result<Response, Fault> {
    let found = api
        .watch_catalog(&ask, |catalog| {
            let others = catalog.nodes().keys().map(|name| Some(name.as_str()));
            let all = std::iter::once(None).chain(others);
            let shapes: Vec<_> = all.map(|name| shapes::node(&api, catalog, name)).collect();
            Found::at(catalog.index_of(&Scope::Nodes), shapes)
        })
        .await?;
    Ok(answer::json(found, ask.consistency))
}

/// GET services
pub(crate) async fn services(State(api): State<Api>, ask: Ask) -> Result<Response, Fault> {
    let found = api
        .watch_catalog(&ask, |catalog| {
            let mut names = catalog.names();
            names.entry(api.own().name.as_str()).or_default();
            let names: Map<String, Value> = names
                .into_iter()
                .map(|(name, tags)| (name.to_owned(), json!(tags)))
                .collect();
            Found::at(catalog.index_of(&Scope::All), names)
        })
        .await?;
    Ok(answer::json(found, ask.consistency))
}

/// GET service/:name
pub(crate) async fn service(
    State(api): State<Api>,
    Path(name): Path<String>,
    ask: Ask,
) -> Result<Response, Fault> {
    let found = api
        .watch_catalog(&ask, |catalog| {
            let wanted = wanted(&api, catalog, &name, &ask);
            let rows: Vec<_> = wanted
                .iter()
                .map(|instance| shapes::catalog_service(&api, catalog, instance))
                .collect();
            Found::at(catalog.service_index(&name), rows)
        })
        .await?;
    Ok(answer::json(found, ask.consistency))
}

/// The instances of a service that have every tag that was asked for.
pub(crate) fn wanted(api: &Api, catalog: &Catalog, name: &str, ask: &Ask) -> Vec<Arc<Instance>> {
    let own = (name == api.own().name).then(|| api.own());
    let all = catalog.named(name).chain(own);
    // Consul compares tags without their case.
    let has = |instance: &Instance, tag: &str| {
        let mut tags = instance.tags.iter();
        tags.any(|own| own.eq_ignore_ascii_case(tag))
    };
    let fits = |instance: &&Arc<Instance>| ask.all("tag").all(|tag| has(instance, tag));
    all.filter(fits).cloned().collect()
}

/// Every instance of a node; `None` is this host.
pub(crate) fn on_node<'a>(
    api: &'a Api,
    catalog: &'a Catalog,
    node: Option<&'a str>,
) -> impl Iterator<Item = &'a Arc<Instance>> {
    let own = node.is_none().then(|| api.own());
    let theirs = catalog.instances();
    theirs
        .filter(move |instance| instance.node.as_deref() == node)
        .chain(own)
}

/// The node of this name: `Some(None)` is this host, `None` is unknown.
pub(crate) fn node_of<'a>(api: &Api, catalog: &Catalog, name: &'a str) -> Option<Option<&'a str>> {
    if name == api.node() {
        return Some(None);
    }
    catalog.nodes().contains_key(name).then_some(Some(name))
}

/// GET node/:node
pub(crate) async fn node(
    State(api): State<Api>,
    Path(name): Path<String>,
    ask: Ask,
) -> Result<Response, Fault> {
    let found = api
        .watch_catalog(&ask, |catalog| {
            let shape = node_of(&api, catalog, &name).map(|node| {
                let services: Map<String, Value> = on_node(&api, catalog, node)
                    .map(|instance| (instance.id.clone(), shapes::service(instance)))
                    .collect();
                json!({ "Node": shapes::node(&api, catalog, node), "Services": services })
            });
            Found::at(catalog.index_of(&Scope::All), shape)
        })
        .await?;
    Ok(answer::json(found, ask.consistency))
}

/// PUT register
pub(crate) async fn register(
    State(api): State<Api>,
    _: Ask,
    body: Bytes,
) -> Result<Response, Fault> {
    let value = body::parse(&body)?;
    let fields = Fields::of(&value)?;
    let (name, address) = (fields.text("Node")?, fields.text("Address")?);
    if name.is_empty() || (address.is_empty() && !fields.flag("SkipNodeUpdate")?) {
        return Err(Fault::refused("Must provide node and address"));
    }
    // This host is there, whatever is said of it.
    let node = (name != api.node()).then_some(name);
    let service = fields.object("Service")?;
    let service = service
        .map(|service| agent::registration(&service, node.clone()))
        .transpose()?;
    let mut wishes = fields.objects("Checks")?;
    wishes.extend(fields.object("Check")?);
    let checks = wishes
        .iter()
        .map(|check| known_check(check, node.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(name) = node
        && !fields.flag("SkipNodeUpdate")?
    {
        let node = Node {
            name,
            id: fields.text("ID")?,
            address,
            tagged_addresses: fields.map("TaggedAddresses")?,
            attributes: fields.map("NodeMeta")?,
            ..Node::default()
        };
        api.registry().register_node(node).await?;
    }
    if let Some(service) = service {
        let registry = api.registry();
        registry
            .register_external(service, Vec::new(), OtherChecks::Keep)
            .await?;
    }
    for (check, status, output) in checks {
        let place = check.place();
        api.registry().register_check(check).await?;
        let registry = api.registry();
        registry.set_check_status(&place, status, &output).await?;
    }
    Ok(Json(true).into_response())
}

/// A check of which only the outcome is told.
fn known_check(
    fields: &Fields<'_>,
    node: Option<String>,
) -> Result<(CheckRegistration, CheckStatus, String), Fault> {
    let (name, mut id) = (fields.text("Name")?, fields.text("CheckID")?);
    if id.is_empty() {
        id.clone_from(&name);
    }
    let status = agent::status(&fields.text("Status")?)?.unwrap_or(CheckStatus::Critical);
    let service = fields.text("ServiceID")?;
    let spec = CheckSpec {
        notes: fields.text("Notes")?,
        initial: status,
        ..CheckSpec::new(id, name, Probe::Set)
    };
    let check = agent::registered(node, service, spec);
    Ok((check, status, fields.text("Output")?))
}

/// PUT deregister
pub(crate) async fn deregister(
    State(api): State<Api>,
    _: Ask,
    body: Bytes,
) -> Result<Response, Fault> {
    let value = body::parse(&body)?;
    let fields = Fields::of(&value)?;
    let name = fields.text("Node")?;
    if name.is_empty() {
        return Err(Fault::refused("Must provide node"));
    }
    let (service, check) = (fields.text("ServiceID")?, fields.text("CheckID")?);
    let node = (name != api.node()).then_some(name);
    let place = |id: String| Place {
        node: node.clone(),
        id,
    };
    let registry = api.registry();
    // What is not there is as it should be.
    if !service.is_empty() {
        registry.deregister(&place(service)).await?;
    } else if !check.is_empty() {
        registry.deregister_check(&place(check)).await?;
    } else if let Some(node) = &node {
        registry.deregister_node(node).await?;
    } else {
        return Err(Fault::bad("This host cannot be deregistered"));
    }
    Ok(Json(true).into_response())
}
