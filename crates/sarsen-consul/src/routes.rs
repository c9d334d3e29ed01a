//! Every path, and what is said to those that are none.

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};

use crate::answer::Fault;
use crate::api::Api;
use crate::instances::{Form, Reach, listing};
use crate::{agent, catalog, events, health, kv, sessions, txn};

/// The largest body: a transaction of large values.
const MAX_BODY: usize = 4 * 1024 * 1024;

/// The whole API.
pub(crate) fn routes(api: Api) -> Router {
    let keys = get(kv::read).put(kv::write).delete(kv::remove);
    Router::new()
        .route("/v1/status/leader", get(catalog::leader))
        .route("/v1/status/peers", get(catalog::peers))
        .merge(of_catalog())
        .merge(of_agent())
        .route("/v1/kv", keys.clone())
        .route("/v1/kv/", keys.clone())
        .route("/v1/kv/{*key}", keys)
        .route("/v1/session/create", put(sessions::create))
        .route("/v1/session/destroy/{id}", put(sessions::destroy))
        .route("/v1/session/renew/{id}", put(sessions::renew))
        .route("/v1/session/info/{id}", get(sessions::info))
        .route("/v1/session/list", get(sessions::list))
        .route("/v1/session/node/{node}", get(sessions::of_node))
        .route("/v1/event/fire/{name}", put(events::fire))
        .route("/v1/event/list", get(events::list))
        .route("/v1/txn", put(txn::run))
        .route("/v1/acl/{*rest}", get(agent::no_acl).put(agent::no_acl))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(api)
}

fn of_catalog() -> Router<Api> {
    Router::new()
        .route("/v1/catalog/datacenters", get(catalog::datacenters))
        .route("/v1/catalog/nodes", get(catalog::nodes))
        .route("/v1/catalog/services", get(catalog::services))
        .route(
            "/v1/catalog/service/{name}",
            listing(Reach::Name, Form::Catalog),
        )
        .route(
            "/v1/catalog/connect/{name}",
            listing(Reach::Mesh, Form::Catalog),
        )
        .route("/v1/catalog/node/{name}", get(catalog::node))
        .route(
            "/v1/catalog/node-services/{name}",
            get(catalog::node_services),
        )
        .route("/v1/catalog/register", put(catalog::register))
        .route("/v1/catalog/deregister", put(catalog::deregister))
        .route(
            "/v1/health/service/{name}",
            listing(Reach::Name, Form::Health),
        )
        .route(
            "/v1/health/connect/{name}",
            listing(Reach::Mesh, Form::Health),
        )
        .route("/v1/health/checks/{name}", get(health::checks))
        .route("/v1/health/node/{name}", get(health::node))
        .route("/v1/health/state/{state}", get(health::state))
}

fn of_agent() -> Router<Api> {
    Router::new()
        .route("/v1/agent/self", get(agent::itself))
        .route("/v1/agent/members", get(agent::members))
        .route("/v1/agent/services", get(agent::list_services))
        .route("/v1/agent/service/{id}", get(agent::one_service))
        .route("/v1/agent/service/register", put(agent::register_service))
        .route(
            "/v1/agent/service/deregister/{id}",
            put(agent::deregister_service),
        )
        .route(
            "/v1/agent/service/maintenance/{id}",
            put(agent::service_maintenance),
        )
        .route("/v1/agent/maintenance", put(agent::node_maintenance))
        .route("/v1/agent/checks", get(agent::list_checks))
        .route("/v1/agent/check/register", put(agent::register_check))
        .route(
            "/v1/agent/check/deregister/{id}",
            put(agent::deregister_check),
        )
        .route("/v1/agent/check/update/{id}", put(agent::update))
        .route("/v1/agent/check/{verb}/{id}", put(agent::report))
        .route("/v1/agent/health/service/id/{id}", get(agent::health_of_id))
        .route(
            "/v1/agent/health/service/name/{name}",
            get(agent::health_of_name),
        )
}

async fn nowhere() -> StatusCode {
    StatusCode::NOT_FOUND
}

async fn not_so(request: Request) -> Response {
    let method: &Method = request.method();
    Fault::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("method {method} not allowed"),
    )
    .into_response()
}
