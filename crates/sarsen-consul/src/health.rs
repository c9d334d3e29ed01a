//! `/v1/health`: services with their checks, and checks alone.

use axum::extract::{Path, State};
use axum::response::Response;
use sarsen_registry::{Catalog, Check, CheckStatus, Instance, Place, Scope};
use serde_json::{Value, json};

use crate::answer::{Fault, Found};
use crate::api::Api;
use crate::ask::{Ask, Sieve};
use crate::catalog::node_of;
use crate::shapes;

/// The checks that decide on an instance: its node's and its own.
pub(crate) fn deciding(api: &Api, catalog: &Catalog, instance: &Instance) -> Vec<Check> {
    let node = instance.node.as_deref();
    let mut checks: Vec<Check> = node
        .is_none()
        .then(|| shapes::serf_health(api))
        .into_iter()
        .collect();
    checks.extend(catalog.node_checks(node).cloned());
    checks.extend(instance.checks.iter().cloned());
    checks
}

/// The worst of them.
pub(crate) fn worst(checks: &[Check]) -> CheckStatus {
    let said = checks.iter().map(|check| check.status);
    said.max().unwrap_or(CheckStatus::Passing)
}

/// How bad an instance may be that belongs into the answer.
pub(crate) fn limit(ask: &Ask) -> Result<CheckStatus, Fault> {
    Ok(match ask.is_on("passing")? {
        true => CheckStatus::Passing,
        false => CheckStatus::Critical,
    })
}

/// An instance with its node and its checks, when it is well enough.
pub(crate) fn row(
    api: &Api,
    catalog: &Catalog,
    instance: &Instance,
    limit: CheckStatus,
) -> Option<Value> {
    let checks = deciding(api, catalog, instance);
    if worst(&checks) > limit {
        return None;
    }
    let checks = checks.iter();
    let of = |check: &Check| check.service.is_some().then_some(instance);
    Some(json!({
        "Node": shapes::node(api, catalog, instance.node.as_deref()),
        "Service": shapes::service(instance),
        "Checks": checks.map(|check| shapes::check(api, check, of(check))).collect::<Vec<_>>(),
    }))
}

/// GET checks/:service
pub(crate) async fn checks(
    State(api): State<Api>,
    Path(name): Path<String>,
    ask: Sieve,
) -> Result<Response, Fault> {
    let rows = |catalog: &Catalog| {
        let instances = catalog.named(&name);
        let checks = instances.flat_map(|instance| instance.checks.clone());
        let checks = checks.filter(|check| api.takes_node(&ask, catalog, check.node.as_deref()));
        let rows = sorted(&api, catalog, checks.collect());
        Found::at(catalog.service_index(&name), rows)
    };
    api.rows(&ask, rows).await
}

/// GET node/:node
pub(crate) async fn node(
    State(api): State<Api>,
    Path(name): Path<String>,
    ask: Sieve,
) -> Result<Response, Fault> {
    let rows = |catalog: &Catalog| {
        let mut rows = Vec::new();
        if let Some(node) = node_of(&api, catalog, &name) {
            let mut checks = all(&api, catalog);
            checks.retain(|check| check.node.as_deref() == node);
            rows = sorted(&api, catalog, checks);
        }
        Found::at(catalog.index_of(&Scope::All), rows)
    };
    api.rows(&ask, rows).await
}

/// GET state/:state
pub(crate) async fn state(
    State(api): State<Api>,
    Path(state): Path<String>,
    ask: Sieve,
) -> Result<Response, Fault> {
    let status = match state.as_str() {
        "any" => None,
        other => Some(
            CheckStatus::parse(other)
                .filter(|status| status.as_str() == other)
                .ok_or_else(|| Fault::bad(format!("Invalid state {other:?}")))?,
        ),
    };
    let rows = |catalog: &Catalog| {
        let mut checks = all(&api, catalog);
        checks.retain(|check| {
            status.is_none_or(|status| check.status == status)
                && api.takes_node(&ask, catalog, check.node.as_deref())
        });
        let rows = sorted(&api, catalog, checks);
        Found::at(catalog.index_of(&Scope::All), rows)
    };
    api.rows(&ask, rows).await
}

fn all(api: &Api, catalog: &Catalog) -> Vec<Check> {
    let mut checks = vec![shapes::serf_health(api)];
    checks.extend(catalog.checks().cloned());
    checks
}

/// Checks by their ids, with the services they are of.
fn sorted(api: &Api, catalog: &Catalog, mut checks: Vec<Check>) -> Vec<Value> {
    checks.sort_by(|a, b| a.spec.id.cmp(&b.spec.id));
    let rows = checks.iter().map(|check| {
        let place = check.service.as_ref().map(|id| Place {
            node: check.node.clone(),
            id: id.clone(),
        });
        let service = place.and_then(|place| catalog.instance(&place));
        shapes::check(api, check, service.map(|instance| &**instance))
    });
    rows.collect()
}
