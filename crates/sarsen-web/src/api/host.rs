//! What concerns the host, and lists over all apps.

use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use super::{found, json};
use crate::Web;
use crate::visit::Visit;

/// Entries of the audit log in one answer.
const AUDITED: usize = 200;

#[derive(Deserialize)]
pub(crate) struct Before {
    before: Option<i64>,
}

pub(crate) async fn whoami(visit: Visit) -> Response {
    let rights = &visit.viewer.web.rights;
    let apps: serde_json::Map<_, _> = rights
        .apps
        .iter()
        .map(|(app, right)| (app.to_string(), right.as_str().into()))
        .collect();
    json(&serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"), "name": visit.viewer.name, "door": visit.viewer.actor.door(),
        "everywhere": rights.everywhere.map(|right| right.as_str()), "apps": apps,
    }))
}

pub(crate) async fn strip(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.host_strip(&visit.viewer.actor).await)
}

pub(crate) async fn deploys(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.running_deploys(&visit.viewer.actor).await)
}

pub(crate) async fn certificates(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.certificate_rows(&visit.viewer.actor).await)
}

pub(crate) async fn services(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.all_services(&visit.viewer.actor).await)
}

pub(crate) async fn addons(_: Visit, State(web): State<Web>) -> Response {
    let names = web.control.addon_names();
    let row =
        |(name, title): &(String, String)| serde_json::json!({ "name": name, "title": title });
    json(&names.iter().map(row).collect::<Vec<_>>())
}

pub(crate) async fn catalog(_: Visit, State(web): State<Web>) -> Response {
    json(&web.control.catalog_rows())
}

pub(crate) async fn plugins(_: Visit, State(web): State<Web>) -> Response {
    found(web.control.plugin_rows().await)
}

pub(crate) async fn disk(_: Visit, State(web): State<Web>) -> Response {
    found(web.control.disk_rows().await)
}

pub(crate) async fn audit(
    _: Visit,
    State(web): State<Web>,
    Query(query): Query<Before>,
) -> Response {
    found(web.control.audit_rows(query.before, AUDITED).await)
}

pub(crate) async fn keys(_: Visit, State(web): State<Web>) -> Response {
    found(web.control.key_rows().await)
}

pub(crate) async fn tokens(visit: Visit, State(web): State<Web>) -> Response {
    found(web.control.token_rows(&visit.viewer.actor).await)
}

pub(crate) async fn sessions(visit: Visit, State(web): State<Web>) -> Response {
    let rows = web
        .control
        .session_rows(&visit.viewer.actor, visit.viewer.session);
    found(rows.await)
}
