//! `/v1/catalog` and `/v1/status`: what there is, and entries for what is on other hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use sarsen_registry::{Catalog, CheckSpec, CheckStatus, Instance, Node, Place, Probe, Scope, Told};
use serde_json::{Map, Value, json};

use crate::agent;
use crate::answer::{self, Fault, Found, Json};
use crate::api::Api;
use crate::ask::{Ask, DATACENTER, Sieve};
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
pub(crate) async fn nodes(State(api): State<Api>, ask: Sieve) -> Result<Response, Fault> {
    let rows = |catalog: &Catalog| {
        let others = catalog.nodes().keys().map(|name| Some(name.as_str()));
        let all = std::iter::once(None).chain(others);
        let wanted = all.filter(|name| api.takes_node(&ask, catalog, *name));
        let shapes = wanted.map(|name| shapes::node(&api, catalog, name));
        Found::at(catalog.index_of(&Scope::Nodes), shapes.collect())
    };
    api.rows(&ask, rows).await
}

/// GET services
pub(crate) async fn services(State(api): State<Api>, ask: Ask) -> Result<Response, Fault> {
    let found = api
        .watch_catalog(&ask, |catalog| {
            let mut names: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for instance in catalog.instances().chain([api.own()]) {
                if api.takes_node(&ask, catalog, instance.node.as_deref()) {
                    let tags = names.entry(&instance.name).or_default();
                    tags.extend(instance.tags.iter().map(String::as_str));
                }
            }
            let names: Map<String, Value> = names
                .into_iter()
                .map(|(name, tags)| (name.to_owned(), json!(tags)))
                .collect();
            Found::at(catalog.index_of(&Scope::All), names)
        })
        .await?;
    Ok(answer::json(found, &ask))
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
    ask: Sieve,
) -> Result<Response, Fault> {
    let found = services_of(&api, &name, &ask).await?;
    let shape = match found.value {
        None => Value::Null,
        Some((node, services)) => {
            let by_id = services.into_iter().map(|service| {
                let id = service.get("ID").and_then(Value::as_str);
                (id.unwrap_or_default().to_owned(), service)
            });
            json!({ "Node": node, "Services": by_id.collect::<Map<_, _>>() })
        }
    };
    Ok(answer::json(Found::at(found.index, shape), &ask))
}

/// GET node-services/:node
pub(crate) async fn node_services(
    State(api): State<Api>,
    Path(name): Path<String>,
    ask: Sieve,
) -> Result<Response, Fault> {
    let found = services_of(&api, &name, &ask).await?;
    let (node, services) = found.value.unzip();
    let shape = json!({ "Node": node, "Services": services });
    Ok(answer::json(Found::at(found.index, shape), &ask))
}

/// A node and its services, if it is there.
async fn services_of(
    api: &Api,
    name: &str,
    ask: &Sieve,
) -> Result<Found<Option<(Value, Vec<Value>)>>, Fault> {
    let found = api
        .watch_catalog(ask, |catalog| {
            let shape = node_of(api, catalog, name).map(|node| {
                let services = on_node(api, catalog, node);
                let services: Vec<_> = services.map(|found| shapes::service(found)).collect();
                (shapes::node(api, catalog, node), services)
            });
            Found::at(catalog.index_of(&Scope::All), shape)
        })
        .await?;
    let index = found.index;
    let sifted = found.value.map(|(node, services)| {
        let services = ask.rows(Found::at(index, services))?;
        Ok::<_, Fault>((node, services.value))
    });
    Ok(Found::at(index, sifted.transpose()?))
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
    // One that nobody knows yet is made all the same.
    let is_new = |name: &String| !api.catalog().nodes().contains_key(name);
    let skips = fields.flag("SkipNodeUpdate")?;
    let node = match node.filter(|name| !skips || is_new(name)) {
        None => None,
        Some(name) => Some(Node {
            name,
            id: fields.text("ID")?,
            address,
            tagged_addresses: fields.map("TaggedAddresses")?,
            attributes: fields.map("NodeMeta")?,
            ..Node::default()
        }),
    };
    let registry = api.registry();
    registry.register_together(node, service, checks).await?;
    Ok(Json(true).into_response())
}

/// A check of which only the outcome is told.
fn known_check(fields: &Fields<'_>, node: Option<String>) -> Result<Told, Fault> {
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
    Ok(Told {
        check: agent::registered(node, service, spec),
        status,
        output: fields.text("Output")?,
    })
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
