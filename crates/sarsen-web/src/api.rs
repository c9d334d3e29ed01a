//! The API: the numbers of the pages as JSON.

pub(crate) mod apps;
pub(crate) mod host;
pub(crate) mod openapi;
pub(crate) mod runs;

use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use sarsen_control::{Failure, Outcome};
use serde::Serialize;
use serde_json::Value;

/// How long a program waits for a command unless it says otherwise, and at most.
const WAIT: u64 = 30;
const WAIT_MAX: u64 = 300;

/// A value as JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_string(value) {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => {
            tracing::error!(%error, "an answer of the API cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// `{"error": "…"}`
pub(crate) fn error(status: StatusCode, text: &str) -> Response {
    (status, json(&serde_json::json!({ "error": text }))).into_response()
}

/// What programs find where nothing is.
pub(crate) async fn nowhere(uri: Uri) -> Response {
    let text = format!("There is nothing at {}", uri.path());
    error(StatusCode::NOT_FOUND, &text)
}

/// The place is there, but not to be used that way.
pub(crate) async fn not_so(method: Method, uri: Uri) -> Response {
    let text = format!("{} does not take {method}", uri.path());
    error(StatusCode::METHOD_NOT_ALLOWED, &text)
}

/// What control found, or that it could not look.
pub(crate) fn found(outcome: Outcome<impl Serialize>) -> Response {
    match outcome {
        Ok(value) => json(&value),
        Err(failure) => failed(&failure),
    }
}

/// The same for what may not be there.
pub(crate) fn found_or_not(outcome: Outcome<Option<impl Serialize>>, what: &str) -> Response {
    match outcome {
        Ok(Some(value)) => json(&value),
        Ok(None) => error(StatusCode::NOT_FOUND, &format!("There is no such {what}")),
        Err(failure) => failed(&failure),
    }
}

pub(crate) fn failed(failure: &Failure) -> Response {
    error(StatusCode::UNPROCESSABLE_ENTITY, &failure.message)
}

/// The fields of a deed out of a JSON object, and how long to wait: `wait` in seconds.
pub(crate) fn fields(body: &[u8]) -> Result<(Vec<(String, String)>, Duration), String> {
    let object = object(body)?;
    let mut fields = Vec::new();
    let mut wait = WAIT;
    for (name, value) in object {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Number(number) if name == "wait" => {
                wait = number.as_u64().unwrap_or(WAIT).min(WAIT_MAX);
                continue;
            }
            Value::Number(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(format!("The field {name} must be text or a number"));
            }
        };
        fields.push((name, text));
    }
    Ok((fields, Duration::from_secs(wait)))
}

fn object(body: &[u8]) -> Result<serde_json::Map<String, Value>, String> {
    if body.is_empty() {
        return Ok(serde_json::Map::new());
    }
    serde_json::from_slice(body).map_err(|error| format!("A JSON object is needed: {error}"))
}
