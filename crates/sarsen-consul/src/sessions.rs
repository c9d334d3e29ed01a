//! `/v1/session`: what holds locks, and its end when nobody renews it or its checks fail.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use sarsen_registry::{Catalog, CheckStatus};
use sarsen_store::{KvSession, StoreError};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::answer::{self, Fault, Found, Json};
use crate::api::{Api, uuid};
use crate::ask::Ask;
use crate::body::{self, Fields};
use crate::shapes::SERF_HEALTH;

const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(86_400);
const LOCK_DELAY: Duration = Duration::from_secs(15);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// Until when sessions are to be renewed.
#[derive(Debug)]
pub(crate) struct Deadlines {
    times: Mutex<HashMap<String, Instant>>,
    changed: watch::Sender<()>,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            times: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }
}

impl Deadlines {
    /// A session lives on. As Consul does, twice its TTL is given before it ends.
    pub(crate) fn renew(&self, session: &KvSession) {
        if session.ttl == 0 {
            return;
        }
        let end = Instant::now() + 2 * Duration::from_millis(session.ttl);
        self.with(|times| times.insert(session.id.clone(), end));
        self.changed.send_replace(());
    }

    fn forget(&self, id: &str) {
        self.with(|times| times.remove(id));
    }

    fn next(&self) -> Option<Instant> {
        self.with(|times| times.values().min().copied())
    }

    fn over(&self, now: Instant) -> Vec<String> {
        self.with(|times| {
            let over = times.iter().filter(|(_, end)| **end <= now);
            over.map(|(id, _)| id.clone()).collect()
        })
    }

    fn with<T>(&self, with: impl FnOnce(&mut HashMap<String, Instant>) -> T) -> T {
        with(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends sessions whose time is over or whose checks fail, until shutdown.
pub(crate) async fn keep(api: &Api) {
    let mut catalog = api.catalog_changes();
    let mut deadlines = api.deadlines().changed.subscribe();
    loop {
        let over = doomed(api).await;
        if !over.is_empty()
            && let Err(error) = end(api, &over).await
        {
            tracing::warn!(%error, "sessions that are over could not be ended");
        }
        let next = api.deadlines().next();
        let next = next.unwrap_or_else(|| Instant::now() + LONGEST);
        // A moment between two attempts, should the store refuse.
        let next = next.max(Instant::now() + Duration::from_millis(100));
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            _ = catalog.changed() => {}
            _ = deadlines.changed() => {}
            () = api.settings().shutdown.cancelled() => return,
        }
    }
}

/// The sessions that cannot go on.
async fn doomed(api: &Api) -> Vec<String> {
    let mut over = api.deadlines().over(Instant::now());
    let catalog = api.catalog();
    let sessions: Vec<_> = api.keys().await.sessions().cloned().collect();
    let failing = sessions.into_iter();
    let failing = failing.filter(|session| failing_check(api, &catalog, session).is_some());
    over.extend(failing.map(|session| session.id));
    over
}

async fn end(api: &Api, ids: &[String]) -> Result<(), StoreError> {
    api.change(|change| {
        for id in ids {
            change.end_session(id);
        }
        Ok::<_, StoreError>(())
    })
    .await?;
    for id in ids {
        api.deadlines().forget(id);
    }
    Ok(())
}

/// What keeps a session from being, in Consul's words.
fn failing_check(api: &Api, catalog: &Catalog, session: &KvSession) -> Option<String> {
    let checks = session.node_checks.iter().chain(&session.service_checks);
    for id in checks.filter(|id| *id != SERF_HEALTH) {
        let node = (session.node != api.node()).then_some(session.node.as_str());
        let mut found = catalog.checks();
        match found.find(|check| check.spec.id == *id && check.node.as_deref() == node) {
            None => return Some(format!("Missing check '{id}' registration")),
            Some(check) if check.status == CheckStatus::Critical => {
                return Some(format!("Check '{id}' is in critical state"));
            }
            Some(_) => {}
        }
    }
    None
}

fn shape(session: &KvSession) -> Value {
    let delay = u128::from(session.lock_delay) * 1_000_000;
    let service_checks = (!session.service_checks.is_empty()).then(|| {
        session
            .service_checks
            .iter()
            .map(|id| json!({"ID": id, "Namespace": ""}))
    });
    json!({
        "ID": session.id,
        "Name": session.name,
        "Node": session.node,
        "LockDelay": u64::try_from(delay).unwrap_or(u64::MAX),
        "Behavior": if session.deletes { "delete" } else { "release" },
        "TTL": written(session.ttl),
        "NodeChecks": session.node_checks,
        "ServiceChecks": service_checks.map(Iterator::collect::<Vec<_>>),
        "CreateIndex": session.create_index,
        "ModifyIndex": session.modify_index,
    })
}

/// A TTL as clients write it.
fn written(milliseconds: u64) -> String {
    match (milliseconds, milliseconds % 1000) {
        (0, _) => String::new(),
        (_, 0) => format!("{}s", milliseconds / 1000),
        (_, _) => format!("{milliseconds}ms"),
    }
}

/// PUT create
pub(crate) async fn create(State(api): State<Api>, _: Ask, body: Bytes) -> Result<Response, Fault> {
    let value = if body.is_empty() {
        Value::Null
    } else {
        body::parse(&body)?
    };
    let session = wanted(&api, &Fields::of(&value)?)?;
    if let Some(problem) = failing_check(&api, &api.catalog(), &session) {
        return Err(Fault::refused(problem));
    }
    let id = session.id.clone();
    let kept = session.clone();
    api.change::<_, Fault>(|change| {
        change.begin_session(session);
        Ok(())
    })
    .await?;
    api.deadlines().renew(&kept);
    Ok(Json(json!({ "ID": id })).into_response())
}

fn wanted(api: &Api, fields: &Fields<'_>) -> Result<KvSession, Fault> {
    let ttl = fields.duration("TTL")?;
    if !ttl.is_zero() && !(SHORTEST..=LONGEST).contains(&ttl) {
        return Err(Fault::refused(format!(
            "Invalid Session TTL '{}', must be between [10s=24h0m0s]",
            ttl.as_nanos()
        )));
    }
    let delay = if fields.has("LockDelay") {
        fields.duration("LockDelay")?
    } else {
        LOCK_DELAY
    };
    // A bare number below a thousand has always meant seconds.
    let delay = match delay.as_nanos() {
        bare @ 1..1000 => Duration::from_secs(u64::try_from(bare).unwrap_or_default()),
        _ => delay,
    };
    let deletes = match fields.text("Behavior")?.as_str() {
        "" | "release" => false,
        "delete" => true,
        other => {
            return Err(Fault::refused(format!(
                "Invalid Behavior setting '{other}'"
            )));
        }
    };
    let node = fields.text("Node")?;
    let node = if node.is_empty() {
        api.node().to_owned()
    } else {
        node
    };
    if node != api.node() && !api.catalog().nodes().contains_key(&node) {
        return Err(Fault::refused("Missing node registration"));
    }
    let (node_checks, service_checks) =
        checks(fields, (node == api.node()).then_some(SERF_HEALTH))?;
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Ok(KvSession {
        id: uuid(&rand::random::<[u8; 16]>()),
        name: fields.text("Name")?,
        node,
        ttl: milliseconds(ttl),
        lock_delay: milliseconds(delay.min(LONGEST_DELAY)),
        deletes,
        node_checks,
        service_checks,
        create_index: 0,
        modify_index: 0,
    })
}

/// The checks that a session depends on: said for nodes and services apart, or together as before.
fn checks(fields: &Fields<'_>, usual: Option<&str>) -> Result<(Vec<String>, Vec<String>), Fault> {
    let mut node = fields.texts("Checks")?;
    if fields.has("NodeChecks") {
        node.extend(fields.texts("NodeChecks")?);
    } else if !fields.has("Checks") {
        node.extend(usual.map(str::to_owned));
    }
    let services = fields.objects("ServiceChecks")?;
    let services = services.iter().map(|check| check.text("ID"));
    Ok((node, services.collect::<Result<_, _>>()?))
}

/// PUT destroy/:id
pub(crate) async fn destroy(
    State(api): State<Api>,
    Path(id): Path<String>,
    _: Ask,
) -> Result<Response, Fault> {
    end(&api, &[id]).await?;
    Ok(Json(true).into_response())
}

/// PUT renew/:id
pub(crate) async fn renew(
    State(api): State<Api>,
    Path(id): Path<String>,
    _: Ask,
) -> Result<Response, Fault> {
    let session = api.keys().await.session(&id).cloned();
    let session =
        session.ok_or_else(|| Fault::not_found(format!("Session id '{id}' not found")))?;
    api.deadlines().renew(&session);
    Ok(Json([shape(&session)]).into_response())
}

/// GET info/:id
pub(crate) async fn info(
    State(api): State<Api>,
    Path(id): Path<String>,
    ask: Ask,
) -> Result<Response, Fault> {
    list_those(&api, &ask, |session| session.id == id).await
}

/// GET list
pub(crate) async fn list(State(api): State<Api>, ask: Ask) -> Result<Response, Fault> {
    list_those(&api, &ask, |_| true).await
}

/// GET node/:node
pub(crate) async fn of_node(
    State(api): State<Api>,
    Path(node): Path<String>,
    ask: Ask,
) -> Result<Response, Fault> {
    list_those(&api, &ask, |session| session.node == node).await
}

async fn list_those(
    api: &Api,
    ask: &Ask,
    is_one: impl Fn(&KvSession) -> bool,
) -> Result<Response, Fault> {
    let found = api
        .watch_keys(ask, |keys| {
            let sessions = keys.sessions().filter(|session| is_one(session));
            Found::at(
                keys.sessions_touched(),
                sessions.map(shape).collect::<Vec<_>>(),
            )
        })
        .await?;
    Ok(answer::json(found, ask))
}
