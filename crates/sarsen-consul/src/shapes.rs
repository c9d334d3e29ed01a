//! Nodes, services and checks as clients read them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use sarsen_registry::{Catalog, Check, CheckSpec, CheckStatus, Instance, Mesh, Probe};
use serde_json::{Map, Value, json};

use crate::api::Api;
use crate::ask::DATACENTER;

/// The check that every node of Consul has: here, that this daemon answers.
pub(crate) const SERF_HEALTH: &str = "serfHealth";

/// The kind of a service that is the proxy of another.
pub(crate) const PROXY: &str = "connect-proxy";

/// The check [`SERF_HEALTH`] of this host.
pub(crate) fn serf_health(api: &Api) -> Check {
    let index = api.own().create_index;
    Check {
        spec: CheckSpec::new(SERF_HEALTH, "Serf Health Status", Probe::Set),
        node: None,
        service: None,
        status: CheckStatus::Passing,
        output: "Agent alive and reachable".to_owned(),
        create_index: index,
        modify_index: index,
    }
}

/// A node as one map.
pub(crate) fn node(api: &Api, catalog: &Catalog, name: Option<&str>) -> Value {
    let (mut shape, meta, indexes) = node_parts(api, catalog, name);
    shape.insert("Meta".to_owned(), meta);
    shape.insert("CreateIndex".to_owned(), indexes.0.into());
    shape.insert("ModifyIndex".to_owned(), indexes.1.into());
    shape.into()
}

/// What a node has in every shape, its meta data, and its indexes.
fn node_parts(
    api: &Api,
    catalog: &Catalog,
    name: Option<&str>,
) -> (Map<String, Value>, Value, (u64, u64)) {
    let mut shape = Map::new();
    let Some(name) = name else {
        let address = api.node_address();
        shape.insert("ID".to_owned(), api.node_id().into());
        shape.insert("Node".to_owned(), api.node().into());
        shape.insert("Address".to_owned(), address.as_str().into());
        shape.insert("Datacenter".to_owned(), DATACENTER.into());
        let family = family(&address);
        let mut tagged = Map::new();
        for side in ["lan", "wan"] {
            tagged.insert(side.to_owned(), address.as_str().into());
            if let Some(family) = family {
                tagged.insert(format!("{side}_{family}"), address.as_str().into());
            }
        }
        shape.insert("TaggedAddresses".to_owned(), tagged.into());
        let index = api.own().create_index;
        return (shape, json!(api.node_meta()), (index, index));
    };
    let known = catalog.nodes().get(name);
    shape.insert("ID".to_owned(), known.map_or("", |node| &node.id).into());
    shape.insert("Node".to_owned(), name.into());
    shape.insert(
        "Address".to_owned(),
        known.map_or("", |node| &node.address).into(),
    );
    shape.insert("Datacenter".to_owned(), DATACENTER.into());
    let tagged = known.map(|node| &node.tagged_addresses);
    shape.insert("TaggedAddresses".to_owned(), or_null(tagged));
    let meta = or_null(known.map(|node| &node.attributes));
    let indexes = known.map_or((1, 1), |node| (node.create_index, node.modify_index));
    (shape, meta, indexes)
}

fn or_null(map: Option<&BTreeMap<String, String>>) -> Value {
    let map = map.filter(|map| !map.is_empty());
    map.map_or(Value::Null, |map| json!(map))
}

/// `ipv4`, `ipv6`, or nothing for a name.
fn family(address: &str) -> Option<&'static str> {
    match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(_) => Some("ipv4"),
        IpAddr::V6(_) => Some("ipv6"),
    }
}

/// Other addresses of a service; those of an IP address follow from it.
fn tagged_addresses(instance: &Instance) -> Option<Value> {
    let mut tagged = Map::new();
    let mut add = |name: String, address: &str, port: u16| {
        tagged.insert(name, json!({ "Address": address, "Port": port }));
    };
    for (name, (address, port)) in &instance.tagged_addresses {
        add(name.clone(), address, *port);
    }
    if let Some(family) = family(&instance.address) {
        for side in ["lan", "wan"] {
            let name = format!("{side}_{family}");
            if !instance.tagged_addresses.contains_key(&name) {
                add(name, &instance.address, instance.port);
            }
        }
    }
    (!tagged.is_empty()).then(|| tagged.into())
}

fn weights(instance: &Instance) -> Value {
    json!({ "Passing": instance.weights.passing, "Warning": instance.weights.warning })
}

/// A service with its node, flat, as `/v1/catalog/service` gives it.
pub(crate) fn catalog_service(api: &Api, catalog: &Catalog, instance: &Instance) -> Value {
    let (mut shape, meta, _) = node_parts(api, catalog, instance.node.as_deref());
    let service = json!({
        "NodeMeta": meta,
        "ServiceKind": kind_of(&instance.mesh),
        "ServiceID": instance.id,
        "ServiceName": instance.name,
        "ServiceTags": instance.tags,
        "ServiceAddress": instance.address,
        "ServiceTaggedAddresses": tagged_addresses(instance),
        "ServiceWeights": weights(instance),
        "ServiceMeta": instance.attributes,
        "ServicePort": instance.port,
        "ServiceEnableTagOverride": instance.tags_are_open,
        "ServiceProxy": proxy(&instance.mesh),
        "ServiceConnect": connect(&instance.mesh),
        "CreateIndex": instance.create_index,
        "ModifyIndex": instance.modify_index,
    });
    if let Value::Object(fields) = service {
        let is_said = |(_, value): &(String, Value)| !value.is_null();
        let keeps_null = |key: &str| key == "NodeMeta";
        shape.extend(
            fields
                .into_iter()
                .filter(|field| keeps_null(&field.0) || is_said(field)),
        );
    }
    shape.into()
}

/// A service as `/v1/health` gives it, beside its node and its checks.
pub(crate) fn service(instance: &Instance) -> Value {
    let mut shape = Map::new();
    if instance.mesh.proxy.is_some() {
        shape.insert("Kind".to_owned(), kind_of(&instance.mesh).into());
    }
    shape.insert("ID".to_owned(), instance.id.as_str().into());
    shape.insert("Service".to_owned(), instance.name.as_str().into());
    shape.insert("Tags".to_owned(), json!(instance.tags));
    shape.insert("Address".to_owned(), instance.address.as_str().into());
    if let Some(tagged) = tagged_addresses(instance) {
        shape.insert("TaggedAddresses".to_owned(), tagged);
    }
    shape.insert("Meta".to_owned(), json!(instance.attributes));
    shape.insert("Port".to_owned(), instance.port.into());
    shape.insert("Weights".to_owned(), weights(instance));
    shape.insert(
        "EnableTagOverride".to_owned(),
        instance.tags_are_open.into(),
    );
    shape.insert("Proxy".to_owned(), proxy(&instance.mesh));
    shape.insert("Connect".to_owned(), connect(&instance.mesh));
    shape.insert("CreateIndex".to_owned(), instance.create_index.into());
    shape.insert("ModifyIndex".to_owned(), instance.modify_index.into());
    shape.into()
}

/// A service as the agent knows it.
pub(crate) fn agent_service(instance: &Instance) -> Value {
    let mut shape = Map::new();
    if instance.mesh.proxy.is_some() {
        shape.insert("Kind".to_owned(), kind_of(&instance.mesh).into());
    }
    shape.insert("ID".to_owned(), instance.id.as_str().into());
    shape.insert("Service".to_owned(), instance.name.as_str().into());
    shape.insert("Tags".to_owned(), json!(instance.tags));
    shape.insert("Meta".to_owned(), json!(instance.attributes));
    shape.insert("Port".to_owned(), instance.port.into());
    shape.insert("Address".to_owned(), instance.address.as_str().into());
    if let Some(tagged) = tagged_addresses(instance) {
        shape.insert("TaggedAddresses".to_owned(), tagged);
    }
    shape.insert("Weights".to_owned(), weights(instance));
    shape.insert(
        "EnableTagOverride".to_owned(),
        instance.tags_are_open.into(),
    );
    if instance.mesh.proxy.is_some() {
        shape.insert("Proxy".to_owned(), proxy(&instance.mesh));
    }
    if instance.mesh.native {
        shape.insert("Connect".to_owned(), connect(&instance.mesh));
    }
    shape.into()
}

fn kind_of(mesh: &Mesh) -> &'static str {
    if mesh.proxy.is_some() { PROXY } else { "" }
}

/// As it was registered, with what clients expect in each.
fn proxy(mesh: &Mesh) -> Value {
    let mut shape = Map::new();
    if let Some(Value::Object(said)) = &mesh.proxy {
        shape.extend(said.clone());
    }
    for name in ["MeshGateway", "Expose"] {
        shape.entry(name).or_insert_with(|| json!({}));
    }
    shape.into()
}

fn connect(mesh: &Mesh) -> Value {
    if mesh.native {
        json!({ "Native": true })
    } else {
        json!({})
    }
}

/// A check, with the service it is of.
pub(crate) fn check(api: &Api, check: &Check, service: Option<&Instance>) -> Value {
    json!({
        "Node": check.node.as_deref().unwrap_or(api.node()),
        "CheckID": check.spec.id,
        "Name": check.spec.name,
        "Status": check.status.as_str(),
        "Notes": check.spec.notes,
        "Output": check.output,
        "ServiceID": check.service.as_deref().unwrap_or_default(),
        "ServiceName": service.map_or("", |service| &service.name),
        "ServiceTags": service.map_or(&[][..], |service| &service.tags),
        "Type": kind(check),
        "Definition": {},
        "CreateIndex": check.create_index,
        "ModifyIndex": check.modify_index,
    })
}

/// The id of the check that takes a service, or a node, out of service.
pub(crate) fn maintenance_id(service: Option<&str>) -> String {
    match service {
        Some(id) => format!("_service_maintenance:{id}"),
        None => "_node_maintenance".to_owned(),
    }
}

fn kind(check: &Check) -> &'static str {
    match &check.spec.probe {
        Probe::Http(_) => "http",
        Probe::Tcp(_) => "tcp",
        Probe::Command { .. } | Probe::Engine => "docker",
        Probe::Ttl(_) => "ttl",
        Probe::Set if check.spec.id == maintenance_id(check.service.as_deref()) => "maintenance",
        Probe::Set => "",
    }
}
