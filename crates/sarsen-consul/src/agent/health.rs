//! Whether services of this host may get traffic, as one word and as a status code.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sarsen_registry::{Check, CheckStatus, Instance, Place};
use serde_json::{Value, json};

use crate::answer::{self, Json};
use crate::api::Api;
use crate::ask::Ask;
use crate::shapes;

/// GET health/service/id/:id
pub(crate) async fn health_of_id(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
) -> Response {
    let catalog = api.catalog();
    let Some(instance) = catalog.instance(&Place::here(id.as_str())) else {
        let why = format!("ServiceId {id} not found");
        return unknown(&ask, &why, Value::Null);
    };
    let own = own(&api, instance);
    told(&ask, own.0, own.1)
}

/// GET health/service/name/:name
pub(crate) async fn health_of_name(
    State(api): State<Api>,
    Path(name): Path<String>,
    ask: Ask,
) -> Response {
    let catalog = api.catalog();
    let here = catalog
        .named(&name)
        .filter(|instance| instance.node.is_none());
    let (all, shapes): (Vec<_>, Vec<_>) = here.map(|instance| own(&api, instance)).unzip();
    match all.into_iter().max() {
        None => unknown(&ask, &format!("ServiceName {name} Not Found"), json!([])),
        Some(worst) => told(&ask, worst, shapes.into()),
    }
}

/// How an instance is by its own checks and its node's, and its shape.
fn own(api: &Api, instance: &Instance) -> (CheckStatus, Value) {
    let catalog = api.catalog();
    let checks = crate::health::deciding(api, &catalog, instance);
    let worst = crate::health::worst(&checks);
    let rows: Vec<_> = checks
        .iter()
        .filter(|check| check.spec.id != shapes::SERF_HEALTH)
        .map(|check: &Check| shapes::check(api, check, Some(instance)))
        .collect();
    let shape = json!({
        "AggregatedStatus": worst.as_str(),
        "Service": shapes::agent_service(instance),
        "Checks": rows,
    });
    (worst, shape)
}

fn told(ask: &Ask, worst: CheckStatus, shape: Value) -> Response {
    let code = match worst {
        CheckStatus::Passing => StatusCode::OK,
        CheckStatus::Warning => StatusCode::TOO_MANY_REQUESTS,
        CheckStatus::Critical => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut response = if ask.get("format") == Some("text") {
        answer::text(code, worst.as_str())
    } else {
        (code, Json(shape)).into_response()
    };
    let reason = HeaderValue::from_static(worst.as_str());
    response.headers_mut().insert("x-consul-reason", reason);
    response
}

fn unknown(ask: &Ask, why: &str, shape: Value) -> Response {
    if ask.get("format") == Some("text") {
        return answer::text(StatusCode::NOT_FOUND, why);
    }
    (StatusCode::NOT_FOUND, Json(shape)).into_response()
}
