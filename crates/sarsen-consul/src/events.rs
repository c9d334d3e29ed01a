//! `/v1/event`: messages to whoever looks for them, remembered for a while and not longer than the daemon runs.

use std::collections::VecDeque;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::sync::watch;

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
    count: watch::Sender<u64>,
}

#[derive(Debug, Clone)]
struct Event {
    name: String,
    shape: Value,
    /// Half of its id upon the other, as Consul's clients work it out, too.
    index: u64,
}

impl Events {
    /// Tells of each event.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.count.subscribe()
    }

    fn add(&mut self, event: Event) {
        self.last.push_back(event);
        if self.last.len() > KEPT {
            self.last.pop_front();
        }
        self.count.send_modify(|count| *count += 1);
    }
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
    let id = rand::random::<[u8; 16]>();
    let shape = |time: u64| {
        json!({
            "ID": uuid(&id),
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
        let shape = shape(*events.count.borrow() + 1);
        events.add(Event {
            name: name.clone(),
            shape: shape.clone(),
            index: index_of(&id),
        });
        shape
    });
    Ok(Json(shape).into_response())
}

fn index_of(id: &[u8; 16]) -> u64 {
    let halves = id.chunks_exact(8).map(|half| {
        let digits = half.iter();
        digits.fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    });
    halves.fold(0, |index, half| index ^ half)
}

/// GET list
pub(crate) async fn list(State(api): State<Api>, ask: Ask) -> Result<Response, Fault> {
    let found = api
        .watch_events(&ask, |events| {
            let name = ask.get("name");
            let wanted = events.last.iter();
            let mut wanted = wanted.filter(|event| name.is_none_or(|name| event.name == name));
            let rows: Vec<_> = wanted.clone().map(|event| event.shape.clone()).collect();
            let last = wanted.next_back();
            Found::at(last.map_or(1, |event| event.index), rows)
        })
        .await?;
    Ok(answer::json(found, &ask))
}
