//! `/v1/agent`: this host's services and checks, as the programs on it register them and report on them.

mod checks;
mod health;
mod services;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sarsen_registry::{CheckSpec, CheckStatus, Place, Probe};
use serde_json::{Value, json};

use crate::answer::{Fault, Json};
use crate::api::Api;
use crate::ask::{Ask, DATACENTER};
use crate::shapes::maintenance_id;

pub(crate) use checks::{
    deregister_check, list_checks, register_check, registered, report, update,
};
pub(crate) use health::{health_of_id, health_of_name};
pub(crate) use services::{
    deregister_service, list_services, one_service, register_service, registration,
};

/// One of Consul's words for a status; nothing for none.
pub(crate) fn status(text: &str) -> Result<Option<CheckStatus>, Fault> {
    if text.is_empty() {
        return Ok(None);
    }
    let status = CheckStatus::parse(text).filter(|status| status.as_str() == text);
    let known = status
        .ok_or_else(|| Fault::bad("Status for checks must 'passing', 'warning', 'critical'"))?;
    Ok(Some(known))
}

/// GET self
pub(crate) async fn itself(State(api): State<Api>, _: Ask) -> Response {
    Json(json!({
        "Config": {
            "Datacenter": DATACENTER,
            "NodeName": api.node(),
            "NodeID": api.node_id(),
            "Revision": "",
            "Server": true,
            // What clients may expect of us; who we are stands beside it.
            "Version": "1.8.7",
            "Product": concat!("sarsen ", env!("CARGO_PKG_VERSION")),
        },
        "DebugConfig": {},
        "Coord": null,
        "Member": member(&api),
        "Stats": {},
        "Meta": api.node_meta(),
        "xDS": null,
    }))
    .into_response()
}

/// GET members
pub(crate) async fn members(State(api): State<Api>, _: Ask) -> Response {
    Json([member(&api)]).into_response()
}

/// The one member of the cluster that one host is.
fn member(api: &Api) -> Value {
    let port = api.settings().address.port();
    json!({
        "Name": api.node(),
        "Addr": api.node_address(),
        "Port": port,
        "Tags": {
            "acls": "0",
            "build": "1.8.7:",
            "dc": DATACENTER,
            "id": api.node_id(),
            "port": port.to_string(),
            "role": "consul",
            "segment": "",
        },
        "Status": 1,
        "ProtocolMin": 1,
        "ProtocolMax": 5,
        "ProtocolCur": 2,
        "DelegateMin": 2,
        "DelegateMax": 5,
        "DelegateCur": 4,
    })
}

/// Nothing to say.
fn done() -> Response {
    StatusCode::OK.into_response()
}

/// PUT maintenance
pub(crate) async fn node_maintenance(State(api): State<Api>, ask: Ask) -> Result<Response, Fault> {
    maintain(&api, None, &ask).await
}

/// PUT service/maintenance/:id
pub(crate) async fn service_maintenance(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response, Fault> {
    if api.catalog().instance(&Place::here(id.as_str())).is_none() {
        return Err(Fault::not_found(format!(
            "No service registered with ID {id:?}"
        )));
    }
    maintain(&api, Some(id), &ask).await
}

/// A critical check takes it out of answers, and out of the way of requests.
async fn maintain(api: &Api, service: Option<String>, ask: &Ask) -> Result<Response, Fault> {
    if !ask.has("enable") {
        return Err(Fault::bad("Missing value for enable"));
    }
    let id = maintenance_id(service.as_deref());
    if !ask.is_on("enable")? {
        let place = Place::here(id);
        api.registry().deregister_check(&place).await?;
        return Ok(done());
    }
    let (name, what) = match &service {
        Some(_) => ("Service Maintenance Mode", "service"),
        None => ("Node Maintenance Mode", "node"),
    };
    let reason = ask.get("reason").map_or_else(
        || format!("Maintenance mode is enabled for this {what}, but no reason was provided. This is a default message."),
        str::to_owned,
    );
    let spec = CheckSpec {
        notes: reason,
        initial: CheckStatus::Critical,
        ..CheckSpec::new(id, name, Probe::Set)
    };
    let check = registered(None, service.unwrap_or_default(), spec);
    api.registry().register_check(check).await?;
    Ok(done())
}

/// What the agent cannot do here is told by name.
pub(crate) async fn no_acl(_: State<Api>, _: Ask, _: Bytes) -> Fault {
    Fault::new(StatusCode::UNAUTHORIZED, "ACL support disabled")
}
