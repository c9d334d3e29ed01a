//! `/v1/txn`: operations on keys that happen together or not at all.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sarsen_store::StoreError;
use serde_json::{Value, json};

use crate::answer::{Fault, Json};
use crate::api::Api;
use crate::ask::Ask;
use crate::body::{self, Fields};
use crate::keyspace::{Change, MAX_VALUE, Refused};
use crate::kv::{outline, shape};

/// How many operations one transaction can have.
const MAX_OPERATIONS: usize = 128;

/// One operation on keys.
struct Operation {
    verb: String,
    key: String,
    value: Vec<u8>,
    flags: u64,
    index: u64,
    session: String,
}

/// Why nothing was done.
enum Failed {
    /// Operations, by their place, and what was wrong with each.
    Operations(Vec<(usize, String)>),
    Store(StoreError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// PUT
pub(crate) async fn run(State(api): State<Api>, _: Ask, body: Bytes) -> Result<Response, Fault> {
    let value = body::parse(&body)?;
    let Value::Array(list) = &value else {
        return Err(Fault::bad("Request decode failed: a list is expected"));
    };
    if list.len() > MAX_OPERATIONS {
        let text = format!(
            "Transaction contains too many operations ({} > {MAX_OPERATIONS})",
            list.len()
        );
        return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let operations: Vec<_> = list.iter().map(operation).collect::<Result<_, _>>()?;
    let outcome = api
        .change(|change| {
            let (mut results, mut errors) = (Vec::new(), Vec::new());
            for (place, operation) in operations.iter().enumerate() {
                match operate(change, operation) {
                    Ok(found) => results.extend(found),
                    Err(what) => errors.push((place, what)),
                }
            }
            if errors.is_empty() {
                Ok(results)
            } else {
                Err(Failed::Operations(errors))
            }
        })
        .await;
    match outcome {
        Ok(results) => {
            let results: Vec<_> = results.iter().map(|found| json!({ "KV": found })).collect();
            Ok(Json(json!({ "Results": results, "Errors": null })).into_response())
        }
        Err(Failed::Operations(errors)) => {
            let errors: Vec<_> = errors
                .iter()
                .map(|(place, what)| json!({ "OpIndex": place, "What": what }))
                .collect();
            let body = Json(json!({ "Results": null, "Errors": errors }));
            Ok((StatusCode::CONFLICT, body).into_response())
        }
        Err(Failed::Store(error)) => Err(error.into()),
    }
}

fn operation(value: &Value) -> Result<Operation, Fault> {
    let fields = Fields::of(value)?;
    let Some(kv) = fields.object("KV")? else {
        return Err(Fault::bad(
            "Only operations on KV can be part of a transaction here",
        ));
    };
    let value = STANDARD
        .decode(kv.text("Value")?)
        .map_err(|_| Fault::bad("Request decode failed: Value must be base64"))?;
    let key = kv.text("Key")?;
    if value.len() > MAX_VALUE {
        let text = format!(
            "Value for key {key:?} is too large ({} > {MAX_VALUE} bytes)",
            value.len()
        );
        return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(Operation {
        verb: kv.text("Verb")?,
        key,
        value,
        flags: kv.number("Flags")?,
        index: kv.number("Index")?,
        session: kv.text("Session")?,
    })
}

/// What an operation gives back: nothing for a removal.
fn operate(change: &mut Change<'_>, operation: &Operation) -> Result<Vec<Value>, String> {
    let key = operation.key.as_str();
    let held = (operation.value.as_slice(), operation.flags);
    let said = |refused: Refused| refused.to_string();
    if key.is_empty() && operation.verb != "delete-tree" && operation.verb != "get-tree" {
        return Err("Must provide key".to_owned());
    }
    if operation.session.is_empty() && matches!(operation.verb.as_str(), "lock" | "unlock") {
        return Err("missing session".to_owned());
    }
    match operation.verb.as_str() {
        "set" => change.set(key, held.0, held.1),
        "cas" => change
            .set_if(key, held, operation.index)
            .then_some(())
            .ok_or_else(|| format!("failed to set key {key:?}, index is stale"))?,
        "lock" => change
            .lock(key, held, &operation.session)
            .map_err(said)?
            .then_some(())
            .ok_or_else(|| format!("failed to lock key {key:?}, lock is already held"))?,
        "unlock" => change
            .unlock(key, held, &operation.session)
            .map_err(said)?
            .then_some(())
            .ok_or_else(|| {
                format!(
                    "failed to unlock key {key:?}, lock isn't held, or is held by another session"
                )
            })?,
        "delete" => change.delete(key),
        "delete-cas" => change
            .delete_if(key, operation.index)
            .then_some(())
            .ok_or_else(|| format!("failed to delete key {key:?}, index is stale"))?,
        "delete-tree" => change.delete_under(key),
        "get-tree" => {
            let entries = change.space().under(key);
            return Ok(entries.map(shape).collect());
        }
        verb => return look(change, verb, operation),
    }
    // A write gives back everything but the value.
    let entry = change.space().get(key);
    Ok(entry.map(outline).into_iter().collect())
}

/// The operations that only look.
fn look(change: &Change<'_>, verb: &str, operation: &Operation) -> Result<Vec<Value>, String> {
    let key = operation.key.as_str();
    let entry = change.space().get(key);
    let there = entry.ok_or_else(|| format!("key {key:?} doesn't exist"));
    match verb {
        "get" => Ok(vec![shape(there?)]),
        "check-index" => {
            let entry = there?;
            (entry.modify_index == operation.index)
                .then_some(())
                .ok_or_else(|| {
                    let (now, wanted) = (entry.modify_index, operation.index);
                    format!("key {key:?} has index {now}, not {wanted}")
                })?;
            Ok(vec![outline(entry)])
        }
        "check-session" => {
            let entry = there?;
            let holder = entry.session.as_deref().unwrap_or_default();
            (holder == operation.session).then_some(()).ok_or_else(|| {
                format!("current session {holder:?} is not {:?}", operation.session)
            })?;
            Ok(vec![outline(entry)])
        }
        "check-not-exists" => {
            entry
                .is_none()
                .then_some(())
                .ok_or_else(|| format!("key {key:?} exists"))?;
            Ok(Vec::new())
        }
        other => Err(format!("unknown KV verb {other:?}")),
    }
}
