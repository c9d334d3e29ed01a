//! Services of this host, registered by whoever runs them.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use sarsen_registry::{Mesh, OtherChecks, Place, Registration, Weights};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{checks, done};
use crate::answer::{Fault, Json};
use crate::api::Api;
use crate::ask::{Ask, Sieve};
use crate::body::{self, Fields};
use crate::catalog::{REGISTRANT, on_node};
use crate::shapes;

/// The most attributes that a service has.
const MAX_META: usize = 64;
/// The largest configuration of a proxy.
const MAX_PROXY: usize = 64 * 1024;

/// GET services
pub(crate) async fn list_services(State(api): State<Api>, ask: Sieve) -> Result<Response, Fault> {
    let catalog = api.catalog();
    let services = on_node(&api, &catalog, None);
    let services: Map<String, Value> = services
        .filter(|instance| instance.id != api.own().id)
        .map(|instance| (instance.id.clone(), shapes::agent_service(instance)))
        .collect();
    Ok(Json(ask.entries(services)?).into_response())
}

/// GET service/:id. Who shows the hash of what it knows waits for another.
pub(crate) async fn one_service(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response, Fault> {
    let place = Place::here(id.as_str());
    let (hash, shape) = api
        .watch_content(&ask, |catalog| {
            let instance = catalog
                .instance(&place)
                .ok_or_else(|| Fault::not_found(format!("unknown service ID: {id}")))?;
            let mut shape = shapes::agent_service(instance);
            let hash: String = Sha256::digest(shape.to_string())
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            if let Some(map) = shape.as_object_mut() {
                map.insert("ContentHash".to_owned(), hash.as_str().into());
            }
            Ok((hash, shape))
        })
        .await?;
    Ok(([("x-consul-contenthash", hash)], Json(shape)).into_response())
}

/// PUT service/register
pub(crate) async fn register_service(
    State(api): State<Api>,
    ask: Ask,
    body: Bytes,
) -> Result<Response, Fault> {
    let value = body::parse(&body)?;
    let fields = Fields::of(&value)?;
    let service = registration(&fields, None)?;
    let mut wishes = fields.objects("Checks")?;
    wishes.extend(fields.object("Check")?);
    let mut specs = Vec::new();
    for (place, wish) in wishes.iter().enumerate() {
        let id = match (wishes.len(), place) {
            (1, _) => format!("service:{}", service.id),
            (_, place) => format!("service:{}:{}", service.id, place + 1),
        };
        let spec = checks::spec(wish, &id, &format!("Service '{}' check", service.name))?;
        specs.push(checks::registered(None, service.id.clone(), spec));
    }
    let others = if ask.is_on("replace-existing-checks")? {
        OtherChecks::Drop
    } else {
        OtherChecks::Keep
    };
    let registry = api.registry();
    registry.register_external(service, specs, others).await?;
    Ok(done())
}

/// A service out of a body.
pub(crate) fn registration(
    fields: &Fields<'_>,
    node: Option<String>,
) -> Result<Registration, Fault> {
    let name = match fields.text("Name")? {
        name if name.is_empty() => fields.text("Service")?,
        name => name,
    };
    if name.is_empty() {
        return Err(Fault::bad("Missing service name"));
    }
    let id = match fields.text("ID")? {
        id if id.is_empty() => name.clone(),
        id => id,
    };
    let port = fields.port("Port")?;
    let mesh = mesh(fields, port)?;
    let attributes = fields.map("Meta")?;
    legal_meta(&attributes)?;
    let mut tagged = std::collections::BTreeMap::new();
    for (name, address) in fields.objects_by_name("TaggedAddresses")? {
        tagged.insert(name, (address.text("Address")?, address.port("Port")?));
    }
    Ok(Registration {
        node,
        id,
        name,
        address: fields.text("Address")?,
        port,
        tags: fields.texts("Tags")?,
        attributes,
        weights: weights(fields)?,
        tagged_addresses: tagged,
        tags_are_open: fields.flag("EnableTagOverride")?,
        mesh,
        registrant: REGISTRANT.to_owned(),
    })
}

/// What a service is in a mesh: kept for those that ask for it.
fn mesh(fields: &Fields<'_>, port: u16) -> Result<Mesh, Fault> {
    let mut mesh = Mesh::default();
    if let Some(connect) = fields.object("Connect")? {
        if connect.has("SidecarService") {
            return Err(Fault::bad(
                "No sidecar is made up here: register the proxy as a service of Kind connect-proxy",
            ));
        }
        mesh.native = connect.flag("Native")?;
    }
    let proxy = fields.object("Proxy")?;
    let destination = proxy.map(|proxy| proxy.text("DestinationServiceName"));
    let destination = destination.transpose()?.unwrap_or_default();
    match fields.text("Kind")?.as_str() {
        "" if destination.is_empty() => return Ok(mesh),
        "" => {
            return Err(Fault::bad(
                "A Proxy configuration is for services of Kind connect-proxy",
            ));
        }
        shapes::PROXY => {}
        other => {
            return Err(Fault::bad(format!(
                "Kind {other} is not supported: there are no gateways here"
            )));
        }
    }
    if destination.is_empty() || port == 0 {
        return Err(Fault::bad(
            "Proxy.DestinationServiceName must be non-empty and Port must be set for a proxy",
        ));
    }
    let said = fields.find("Proxy").and_then(Value::as_object);
    let name = "DestinationServiceName";
    let mut said = said.cloned().unwrap_or_default();
    said.retain(|key, _| !key.eq_ignore_ascii_case(name));
    said.insert(name.to_owned(), destination.into());
    let said = Value::Object(said);
    if said.to_string().len() > MAX_PROXY {
        return Err(Fault::bad(format!(
            "Proxy is larger than {MAX_PROXY} bytes"
        )));
    }
    mesh.proxy = Some(said);
    Ok(mesh)
}

fn weights(fields: &Fields<'_>) -> Result<Weights, Fault> {
    let Some(wanted) = fields.object("Weights")? else {
        return Ok(Weights::default());
    };
    let weight = |name: &str| {
        let number = wanted.number(name)?;
        u32::try_from(number)
            .ok()
            .filter(|number| *number <= 65_535)
            .ok_or_else(|| Fault::bad(format!("Invalid weight {name}: at most 65535")))
    };
    Ok(Weights {
        passing: weight("Passing")?,
        warning: weight("Warning")?,
    })
}

fn legal_meta(meta: &std::collections::BTreeMap<String, String>) -> Result<(), Fault> {
    if meta.len() > MAX_META {
        return Err(Fault::bad(format!(
            "Invalid Service Meta: Node metadata cannot contain more than {MAX_META} key/value pairs"
        )));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    for (key, value) in meta {
        let problem = if key.is_empty() {
            "Key cannot be blank"
        } else if !key.chars().all(legal) {
            "Key contains invalid characters"
        } else if key.len() > 128 {
            "Key is too long (limit: 128 characters)"
        } else if value.len() > 512 {
            "Value is too long (limit: 512 characters)"
        } else {
            continue;
        };
        return Err(Fault::bad(format!(
            "Invalid Service Meta: Couldn't load metadata pair ('{key}', '{value}'): {problem}"
        )));
    }
    Ok(())
}

/// PUT service/deregister/:id
pub(crate) async fn deregister_service(
    State(api): State<Api>,
    Path(id): Path<String>,
    _: Ask,
) -> Result<Response, Fault> {
    // One that is not there is as it should be.
    api.registry().deregister(&Place::here(id)).await?;
    Ok(done())
}
