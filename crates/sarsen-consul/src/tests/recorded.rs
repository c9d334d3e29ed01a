//! What a real Consul (1.8.7) answered, request by request, against what we answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Reply, World};

/// What was recorded: the requests built upon each other.
const RECORDED: &str = include_str!("recorded.json");

/// Answers that are other on purpose, and why.
const OTHER: &[(&str, &str)] = &[
    ("GET /v1/status/leader", "another address"),
    ("GET /v1/status/peers", "another address"),
    ("GET /v1/agent/self", "what a cluster would say of itself"),
    (
        "GET /v1/agent/members",
        "what a cluster would say of itself",
    ),
    ("GET /v1/event/list", "numbers of ours"),
    ("PUT /v1/event/fire/deploy?service=web", "an id and a time"),
    ("GET /v1/agent/service/w1", "the hash is ours"),
    (
        "GET /v1/agent/health/service/name/web",
        "sorted; checks tell their type",
    ),
    (
        "GET /v1/agent/health/service/id/w1",
        "checks tell their type",
    ),
    (
        "GET /v1/health/service/web?passing",
        "others of its instances were failing by then",
    ),
    (
        "GET /v1/health/service/web?passing&index=738&wait=5s",
        "others of its instances were failing by then",
    ),
];

/// Numbers and ids of the recording, and what they are here.
#[derive(Default)]
struct Names {
    indexes: BTreeMap<u64, u64>,
    ids: BTreeMap<String, String>,
}

impl Names {
    /// Learns from two answers that should be the same.
    fn learn(&mut self, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::Object(theirs), Value::Object(ours)) => {
                for (key, their) in theirs {
                    let Some(our) = ours.get(key) else { continue };
                    match (key.as_str(), their, our) {
                        ("ModifyIndex" | "CreateIndex", Value::Number(a), Value::Number(b)) => {
                            self.indexes
                                .insert(a.as_u64().unwrap(), b.as_u64().unwrap());
                        }
                        ("ID", Value::String(a), Value::String(b)) if a.len() == 36 => {
                            self.ids.insert(a.clone(), b.clone());
                        }
                        _ => self.learn(their, our),
                    }
                }
            }
            (Value::Array(theirs), Value::Array(ours)) => {
                for (their, our) in theirs.iter().zip(ours) {
                    self.learn(their, our);
                }
            }
            _ => {}
        }
    }

    /// A request in our numbers.
    fn translated(&self, request: &str) -> String {
        let mut text = request.to_owned();
        for (theirs, ours) in &self.ids {
            text = text.replace(theirs, ours);
        }
        for key in ["cas=", "index="] {
            let Some((before, rest)) = text.split_once(key) else {
                continue;
            };
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (number, rest) = rest.split_at(end);
            // 0 means that there is none, there and here.
            let index = number.parse().ok().filter(|index| *index != 0);
            let known = index.and_then(|index: u64| self.indexes.get(&index));
            let number = known.map_or(number.to_owned(), ToString::to_string);
            text = format!("{before}{key}{number}{rest}");
        }
        text
    }
}

/// Without what differs from run to run, and with `null` for what is empty.
fn plain(value: &Value) -> Value {
    full(match value {
        Value::Object(map) => map
            .iter()
            .filter(|(key, _)| !matches!(key.as_str(), "CreateIndex" | "ModifyIndex"))
            // A service of Consul's own; ours is described in the manual.
            .filter(|(key, _)| key.as_str() != "consul")
            .map(|(key, value)| {
                let value = match (key.as_str(), value) {
                    ("ID" | "Session", Value::String(id)) if id.len() == 36 => json!("an id"),
                    _ => plain(value),
                };
                (key.clone(), value)
            })
            .filter(|(_, value)| !value.is_null())
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(plain).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            other.clone()
        }
    })
}

/// `null` for what is empty.
fn full(value: Value) -> Value {
    let is_empty = value.as_object().is_some_and(serde_json::Map::is_empty)
        || value.as_array().is_some_and(Vec::is_empty);
    if is_empty { Value::Null } else { value }
}

/// The beginning of a complaint; what a parser says of a place in a text is its own.
fn complaint(text: &str) -> &str {
    match text.split_once("Request decode failed") {
        Some(_) => "Request decode failed",
        None => text.trim(),
    }
}

async fn send(world: &World, request: &str, body: &Value) -> Reply {
    let (method, path) = request.split_once(' ').unwrap();
    let body = match body.as_str() {
        Some(text) => text.to_owned(),
        None if body.is_null() => String::new(),
        None => body.to_string(),
    };
    world.ask(method, path, body).await
}

/// What the recorded host had before.
async fn prepare(world: &World) {
    let service = json!({
        "ID": "vm:web.1:5000", "Name": "web", "Tags": ["v1"], "Address": "127.0.0.1", "Port": 18080,
        "Meta": {"region": "us2"}, "Check": {"TTL": "60s", "Status": "passing"},
    });
    let reply = world.put("/v1/agent/service/register", service.to_string());
    assert_eq!(reply.await.status, 200);
    world.put("/v1/kv/app/k", "v1").await;
}

fn compare(request: &str, theirs: &Value, reply: &Reply, names: &mut Names) -> Result<(), String> {
    let status = theirs["status"].as_u64().unwrap();
    if u64::from(reply.status.as_u16()) != status {
        return Err(format!(
            "{request}: {status} there, {} here: {}",
            reply.status, reply.body
        ));
    }
    if let (Some(their), Ok(our)) = (
        theirs["headers"]["X-Consul-Index"].as_str(),
        reply.header("x-consul-index").parse(),
    ) {
        names.indexes.insert(their.parse().unwrap_or_default(), our);
    }
    for name in [
        "X-Consul-Index",
        "X-Consul-Knownleader",
        "X-Consul-Effective-Consistency",
    ] {
        if !theirs["headers"][name].is_null() && reply.header(name).is_empty() {
            return Err(format!("{request}: {name} is missing"));
        }
    }
    let ours: Value = serde_json::from_str(&reply.body)
        .unwrap_or_else(|_| Value::String(complaint(&reply.body).to_owned()));
    names.learn(&theirs["resp"], &ours);
    let expected = theirs["resp"].as_str();
    let expected = expected.map_or_else(|| plain(&theirs["resp"]), |text| complaint(text).into());
    let found = plain(&ours);
    if OTHER.iter().any(|(other, _)| *other == request) || expected == found {
        return Ok(());
    }
    Err(format!("{request}\n  there {expected}\n  here  {found}"))
}

#[tokio::test]
async fn answers_are_those_of_a_real_consul() {
    let world = World::new().await;
    prepare(&world).await;
    let recorded: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    assert_eq!(recorded.len(), 120);
    let (mut names, mut differences) = (Names::default(), Vec::new());
    let mut waiting = None;
    for theirs in &recorded {
        let recorded = theirs["req"].as_str().unwrap();
        let request = names.translated(recorded);
        // Who is released by what comes next has to wait for it.
        if theirs["note"] == "released after 0.5 s by a write" {
            waiting = Some((theirs, request));
            continue;
        }
        let body = names.translated(&theirs["body"].to_string());
        let body = serde_json::from_str(&body).unwrap();
        let reply = match waiting.take() {
            None => send(&world, &request, &body).await,
            Some((blocked, blocked_request)) => {
                let blocking = send(&world, &blocked_request, &Value::Null);
                let writing = async {
                    tokio::task::yield_now().await;
                    send(&world, &request, &body).await
                };
                let (blocking, writing) = tokio::join!(blocking, writing);
                let outcome = compare(&blocked_request, blocked, &blocking, &mut names);
                differences.extend(outcome.err());
                writing
            }
        };
        let outcome = compare(recorded, theirs, &reply, &mut names);
        differences.extend(outcome.err());
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
