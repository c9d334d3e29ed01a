//! Checks of this host and its services, and reports on those with a TTL.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use sarsen_registry::{CheckRegistration, CheckSpec, CheckStatus, HttpProbe, Place, Probe};
use serde_json::{Map, Value};

use super::{done, status};
use crate::answer::{Fault, Json};
use crate::api::Api;
use crate::ask::{Ask, Sieve};
use crate::body::{self, Fields};
use crate::catalog::REGISTRANT;
use crate::shapes;

/// The shortest interval.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Kinds of checks that Consul has and that are not made here.
const ELSEWHERE: [&str; 6] = [
    "GRPC",
    "AliasNode",
    "AliasService",
    "H2PING",
    "UDP",
    "OSService",
];
/// The most of an output that is kept.
const MAX_OUTPUT: usize = 4096;

/// GET checks
pub(crate) async fn list_checks(State(api): State<Api>, ask: Sieve) -> Result<Response, Fault> {
    let catalog = api.catalog();
    let here = catalog.checks().filter(|check| check.node.is_none());
    let shapes: Map<String, Value> = here
        .map(|check| {
            let service = check.service.as_ref();
            let service = service.and_then(|id| catalog.instance(&Place::here(id.as_str())));
            let shape = shapes::check(&api, check, service.map(|instance| &**instance));
            (check.spec.id.clone(), shape)
        })
        .collect();
    Ok(Json(ask.entries(shapes)?).into_response())
}

/// PUT check/register
pub(crate) async fn register_check(
    State(api): State<Api>,
    _: Ask,
    body: Bytes,
) -> Result<Response, Fault> {
    let value = body::parse(&body)?;
    let fields = Fields::of(&value)?;
    let name = fields.text("Name")?;
    if name.is_empty() {
        return Err(Fault::bad("Missing check name"));
    }
    let spec = spec(&fields, &name, &name)?;
    let service = fields.text("ServiceID")?;
    let check = registered(None, service, spec);
    api.registry().register_check(check).await?;
    Ok(done())
}

/// A check that came through this door; without the id of a service it is its node's.
pub(crate) fn registered(
    node: Option<String>,
    service: String,
    spec: CheckSpec,
) -> CheckRegistration {
    CheckRegistration {
        node,
        service: (!service.is_empty()).then_some(service),
        spec,
        registrant: REGISTRANT.to_owned(),
    }
}

/// A check out of a body, with the id and the name that it has if it says none.
pub(super) fn spec(fields: &Fields<'_>, id: &str, name: &str) -> Result<CheckSpec, Fault> {
    let probe = probe(fields)?;
    let interval = fields.duration("Interval")?;
    let is_reported = matches!(probe, Probe::Ttl(_));
    if !is_reported && interval.is_zero() {
        return Err(Fault::bad(
            "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks",
        ));
    }
    let own = |name: &str, other: &str| {
        let text = fields.text(name)?;
        Ok::<_, Fault>(if text.is_empty() {
            other.to_owned()
        } else {
            text
        })
    };
    let id = match own("CheckID", "")? {
        said if said.is_empty() => own("ID", id)?,
        said => said,
    };
    let count = |name: &str| {
        let number = u32::try_from(fields.number(name)?).unwrap_or(u32::MAX);
        Ok::<_, Fault>(number)
    };
    let timeout = fields.duration("Timeout")?;
    let after = fields.duration("DeregisterCriticalServiceAfter")?;
    Ok(CheckSpec {
        notes: fields.text("Notes")?,
        interval: interval.max(MIN_INTERVAL),
        timeout: if timeout.is_zero() {
            CheckSpec::TIMEOUT
        } else {
            timeout
        },
        initial: status(&fields.text("Status")?)?.unwrap_or(CheckStatus::Critical),
        passes_needed: count("SuccessBeforePassing")?.max(1),
        failures_needed: count("FailuresBeforeCritical")?.max(1),
        deregister_after: (!after.is_zero()).then_some(after),
        ..CheckSpec::new(id, own("Name", name)?, probe)
    })
}

fn probe(fields: &Fields<'_>) -> Result<Probe, Fault> {
    for kind in ELSEWHERE {
        if fields.has(kind) && !fields.text(kind)?.is_empty() {
            return Err(Fault::bad(format!(
                "Invalid check: {kind} checks are not supported here, use HTTP, TCP or TTL"
            )));
        }
    }
    if let Some(command) = command(fields)? {
        return Ok(command);
    }
    let url = fields.text("HTTP")?;
    if !url.is_empty() {
        return request(fields, url);
    }
    let address = fields.text("TCP")?;
    if !address.is_empty() {
        return Ok(Probe::Tcp(address));
    }
    let ttl = fields.duration("TTL")?;
    if ttl.is_zero() {
        return Err(Fault::bad("Invalid check: TTL must be > 0 for TTL checks"));
    }
    Ok(Probe::Ttl(ttl))
}

/// A command in a container, if one is asked for.
fn command(fields: &Fields<'_>) -> Result<Option<Probe>, Fault> {
    let container = fields.text("DockerContainerID")?;
    let mut argv = fields.texts("Args")?;
    if argv.is_empty() {
        argv = fields.texts("ScriptArgs")?;
    }
    if argv.is_empty() && fields.text("Script")?.is_empty() {
        return Ok(None);
    }
    if container.is_empty() || argv.is_empty() {
        // Whoever reaches this port must not be able to run programs on the host.
        return Err(Fault::bad(
            "Invalid check: Scripts are disabled on this agent; use HTTP, TCP, TTL, or DockerContainerID with Args",
        ));
    }
    let shell = fields.text("Shell")?;
    if !shell.is_empty() {
        argv = vec![shell, "-c".to_owned(), argv.join(" ")];
    }
    Ok(Some(Probe::Command {
        container,
        argv,
        env: Vec::new(),
    }))
}

fn request(fields: &Fields<'_>, url: String) -> Result<Probe, Fault> {
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return Err(Fault::bad(
            "Invalid check: HTTP must be an http:// or https:// URL",
        ));
    }
    let method = fields.text("Method")?;
    Ok(Probe::Http(HttpProbe {
        url,
        method: if method.is_empty() {
            "GET".to_owned()
        } else {
            method
        },
        headers: fields.lists("Header")?,
        body: fields.text("Body")?,
        skip_verify: fields.flag("TLSSkipVerify")?,
    }))
}

/// PUT check/deregister/:id
pub(crate) async fn deregister_check(
    State(api): State<Api>,
    Path(id): Path<String>,
    _: Ask,
) -> Result<Response, Fault> {
    api.registry().deregister_check(&Place::here(id)).await?;
    Ok(done())
}

/// PUT check/pass, warn, fail /:id
pub(crate) async fn report(
    State(api): State<Api>,
    Path((verb, id)): Path<(String, String)>,
    ask: Ask,
) -> Result<Response, Fault> {
    let status = match verb.as_str() {
        "pass" => CheckStatus::Passing,
        "warn" => CheckStatus::Warning,
        "fail" => CheckStatus::Critical,
        _ => return Err(Fault::not_found("")),
    };
    set(&api, id, status, ask.get("note").unwrap_or_default()).await
}

/// PUT check/update/:id
pub(crate) async fn update(
    State(api): State<Api>,
    Path(id): Path<String>,
    _: Ask,
    body: Bytes,
) -> Result<Response, Fault> {
    let value = body::parse(&body)?;
    let fields = Fields::of(&value)?;
    let said = fields.text("Status")?;
    let known = CheckStatus::parse(&said).filter(|status| status.as_str() == said);
    let known = known.ok_or_else(|| Fault::bad(format!("Invalid check status: '{said}'")))?;
    set(&api, id, known, &fields.text("Output")?).await
}

async fn set(api: &Api, id: String, status: CheckStatus, output: &str) -> Result<Response, Fault> {
    let mut end = output.len().min(MAX_OUTPUT);
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    let output = output.get(..end).unwrap_or_default();
    let place = Place::here(id);
    api.registry()
        .set_check_status(&place, status, output)
        .await?;
    Ok(done())
}
