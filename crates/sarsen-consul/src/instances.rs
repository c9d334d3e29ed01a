//! The instances of a service: found by its name or through a mesh, and told with their nodes' addresses or with their
//! checks. Four end points, and one frame of them all.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use sarsen_registry::{Catalog, CheckStatus, Instance, Scope};

use crate::answer::{Fault, Found};
use crate::api::Api;
use crate::ask::{Ask, Sieve};
use crate::{health, shapes};

/// Which instances are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reach {
    /// Those of this name.
    Name,
    /// Those that the service is reached through in a mesh: its proxies, and itself if it is made for one.
    Mesh,
}

/// What is told of each.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// `/v1/catalog`: the instance and its node's address.
    Catalog,
    /// `/v1/health`: its node, itself and its checks.
    Health,
}

/// GET service/:name and connect/:name
pub(crate) fn listing(reach: Reach, form: Form) -> MethodRouter<Api> {
    let list = move |State(api): State<Api>, Path(name): Path<String>, ask: Sieve| async move {
        answer(&api, &name, &ask, (reach, form)).await
    };
    get(list)
}

async fn answer(
    api: &Api,
    name: &str,
    ask: &Sieve,
    (reach, form): (Reach, Form),
) -> Result<Response, Fault> {
    let limit = match form {
        Form::Catalog => CheckStatus::Critical,
        Form::Health => health::limit(ask)?,
    };
    let rows = |catalog: &Catalog| {
        let row = |instance: &Arc<Instance>| match form {
            Form::Catalog => Some(shapes::catalog_service(api, catalog, instance)),
            Form::Health => health::row(api, catalog, instance, limit),
        };
        let found = found(api, catalog, name, reach);
        let index = match form {
            Form::Catalog => found.index,
            // The checks of nodes count as well.
            Form::Health => found.index.max(catalog.index_of(&Scope::Nodes)),
        };
        let wanted = found.value.into_iter();
        let wanted = wanted.filter(|instance| fits(api, catalog, instance, ask));
        Found::at(index, wanted.filter_map(row).collect())
    };
    api.rows(ask, rows).await
}

/// The instances that are meant, as of their last change.
fn found<'a>(
    api: &'a Api,
    catalog: &'a Catalog,
    name: &'a str,
    reach: Reach,
) -> Found<Vec<&'a Arc<Instance>>> {
    match reach {
        Reach::Name => {
            let own = (name == api.own().name).then(|| api.own());
            let all = catalog.named(name).chain(own).collect();
            Found::at(catalog.service_index(name), all)
        }
        Reach::Mesh => {
            let leads = |one: &&Arc<Instance>| one.mesh.destination(&one.name) == Some(name);
            let all = catalog.instances().filter(leads).collect();
            Found::at(catalog.index_of(&Scope::All), all)
        }
    }
}

/// Whether an instance has every tag that was asked for, and its node what is wanted of nodes.
fn fits(api: &Api, catalog: &Catalog, instance: &Instance, ask: &Ask) -> bool {
    // Consul compares tags without their case.
    let has = |tag: &str| {
        let mut tags = instance.tags.iter();
        tags.any(|own| own.eq_ignore_ascii_case(tag))
    };
    ask.all("tag").all(has) && api.takes_node(ask, catalog, instance.node.as_deref())
}
