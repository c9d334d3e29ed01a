//! `/v1/event`: messages to whoever looks for them, remembered for a while and not longer than the daemon runs.

use std::collections::VecDeque;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::answer::{self, Fault, Found, Json};
use crate::api::{Api, uuid};
use crate::ask::Ask;

/// How many are remembered.
const KEPT: usize = 256;
/// The largest message.
const MAX_PAYLOAD: usize = 512;

/// The last events, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Events {
    last: VecDeque<Event>,
    count: u64,
}

#[derive(Debug, Clone)]
struct Event {
    name: String,
    shape: Value,
    number: u64,
}

/// PUT fire/:name
pub(crate) async fn fire(
    State(api): State<Api>,
    Path(name): Path<String>,
    ask: Ask,
    body: Bytes,
) -> Result<Response, Fault> {
    if body.len() > MAX_PAYLOAD {
        return Err(Fault::bad(format!(
            "The payload is larger than {MAX_PAYLOAD} bytes"
        )));
    }
    let payload = (!body.is_empty()).then(|| STANDARD.encode(&body));
    let shape = |time: u64| {
        json!({
            "ID": uuid(&rand::random::<[u8; 16]>()),
            "Name": name,
            "Payload": payload,
            "NodeFilter": ask.get("node").unwrap_or_default(),
            "ServiceFilter": ask.get("service").unwrap_or_default(),
            "TagFilter": ask.get("tag").unwrap_or_default(),
            "Version": 1,
            "LTime": time,
        })
    };
    let shape = api.events(|events| {
        events.count += 1;
        let shape = shape(events.count);
        events.last.push_back(Event {
            name: name.clone(),
            shape: shape.clone(),
            number: events.count,
        });
        if events.last.len() > KEPT {
            events.last.pop_front();
        }
        shape
    });
    Ok(Json(shape).into_response())
}

/// GET list
pub(crate) async fn list(State(api): State<Api>, ask: Ask) -> Result<Response, Fault> {
    let (rows, index) = api.events(|events| {
        let name = ask.get("name");
        let wanted = events.last.iter();
        let mut wanted = wanted.filter(|event| name.is_none_or(|name| event.name == name));
        let rows: Vec<_> = wanted.clone().map(|event| event.shape.clone()).collect();
        (rows, wanted.next_back().map_or(1, |event| event.number + 1))
    });
    Ok(answer::json(Found::at(index, rows), ask.consistency))
}
