//! `/v1/kv`: keys, prefixes, check-and-set, and the locks of sessions.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use sarsen_store::KvEntry;
use serde_json::{Value, json};

use crate::answer::{self, Fault, Found, Json};
use crate::api::Api;
use crate::ask::Ask;
use crate::keyspace::{Keyspace, MAX_VALUE};

/// The longest key.
const MAX_KEY: usize = 4096;

/// The path after `/v1/kv/`, as the key it stands for.
fn key(uri: &Uri) -> Result<String, Fault> {
    let path = uri.path().strip_prefix("/v1/kv").unwrap_or_default();
    let path = path.strip_prefix('/').unwrap_or(path);
    let key = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| Fault::bad("Invalid key: it must be UTF-8"))?;
    if key.len() > MAX_KEY {
        return Err(Fault::bad(format!(
            "Invalid key: it is longer than {MAX_KEY} bytes"
        )));
    }
    Ok(key.into_owned())
}

/// One key as clients read it.
pub(crate) fn shape(entry: &KvEntry) -> Value {
    let value = (!entry.value.is_empty()).then(|| STANDARD.encode(&entry.value));
    shaped(entry, value.as_deref())
}

/// The same without its value.
pub(crate) fn outline(entry: &KvEntry) -> Value {
    shaped(entry, None)
}

fn shaped(entry: &KvEntry, value: Option<&str>) -> Value {
    let mut shape = json!({
        "LockIndex": entry.lock_index,
        "Key": entry.key,
        "Flags": entry.flags,
        "Value": value,
    });
    if let Some(map) = shape.as_object_mut() {
        if let Some(session) = &entry.session {
            map.insert("Session".to_owned(), session.as_str().into());
        }
        map.insert("CreateIndex".to_owned(), entry.create_index.into());
        map.insert("ModifyIndex".to_owned(), entry.modify_index.into());
    }
    shape
}

/// GET
pub(crate) async fn read(State(api): State<Api>, uri: Uri, ask: Ask) -> Result<Response, Fault> {
    let key = key(&uri)?;
    if ask.is_on("keys")? {
        return keys(&api, &key, &ask).await;
    }
    if ask.is_on("recurse")? {
        return tree(&api, &key, &ask).await;
    }
    if key.is_empty() {
        return Err(Fault::bad("Missing key name"));
    }
    let found = api
        .watch_keys(&ask, |keys| {
            let entry = keys.get(&key).cloned();
            let index = entry.as_ref().map(|entry| entry.modify_index);
            found(keys, keys.touched(&key), index, entry)
        })
        .await?;
    let index = found.index;
    let response = match found.value {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(entry) if ask.has("raw") => {
            // Whatever somebody stored here is text at most, and never a page of this origin.
            let headers = [
                (header::CONTENT_TYPE, "text/plain"),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (header::CONTENT_SECURITY_POLICY, "sandbox"),
            ];
            (headers, entry.value).into_response()
        }
        Some(entry) => Json([shape(&entry)]).into_response(),
    };
    Ok(answer::with_index(index, &ask, response))
}

async fn tree(api: &Api, prefix: &str, ask: &Ask) -> Result<Response, Fault> {
    let found = api
        .watch_keys(ask, |keys| {
            let entries: Vec<_> = keys.under(prefix).cloned().collect();
            let touched = keys.touched_under(prefix);
            let index = (!entries.is_empty()).then_some(touched);
            found(keys, touched, index, entries)
        })
        .await?;
    let rows: Vec<_> = found.value.iter().map(shape).collect();
    Ok(listed(found.index, rows, ask))
}

async fn keys(api: &Api, prefix: &str, ask: &Ask) -> Result<Response, Fault> {
    let separator = ask.get("separator");
    let found = api
        .watch_keys(ask, |keys| {
            let mut names: Vec<String> = Vec::new();
            for entry in keys.under(prefix) {
                let rest = entry.key.get(prefix.len()..).unwrap_or_default();
                let cut = separator.and_then(|s| rest.find(s).map(|at| at + s.len()));
                let end = cut.map_or(entry.key.len(), |cut| prefix.len() + cut);
                let name = entry.key.get(..end).unwrap_or(&entry.key);
                if names.last().is_none_or(|last| last != name) {
                    names.push(name.to_owned());
                }
            }
            let touched = keys.touched_under(prefix);
            let index = (!names.is_empty()).then_some(touched);
            found(keys, touched, index, names)
        })
        .await?;
    Ok(listed(found.index, found.value, ask))
}

/// A list, which is not found when it is empty.
fn listed<T: serde::Serialize>(index: u64, rows: Vec<T>, ask: &Ask) -> Response {
    let response = if rows.is_empty() {
        StatusCode::NOT_FOUND.into_response()
    } else {
        Json(rows).into_response()
    };
    answer::with_index(index, ask, response)
}

/// What is not there gets the index of the last change anywhere, so that a caller who waits with it hears of its coming.
fn found<T>(keys: &Keyspace, touched: u64, index: Option<u64>, value: T) -> Found<T> {
    Found {
        touched,
        index: index.unwrap_or(keys.index()),
        value,
    }
}

/// What a PUT is to do.
enum Put<'a> {
    Set,
    SetIf(u64),
    Lock(&'a str),
    Unlock(&'a str),
}

fn put<'a>(ask: &'a Ask) -> Result<Put<'a>, Fault> {
    let mut wishes = Vec::new();
    if let Some(index) = ask.get("cas") {
        let index = index.parse().map_err(|_| Fault::bad("Invalid cas index"))?;
        wishes.push(Put::SetIf(index));
    }
    wishes.extend(ask.get("acquire").map(Put::Lock));
    wishes.extend(ask.get("release").map(Put::Unlock));
    match (wishes.pop(), wishes.is_empty()) {
        (None, _) => Ok(Put::Set),
        (Some(wish), true) => Ok(wish),
        (Some(_), false) => Err(Fault::bad("Conflicting flags: cas, acquire, release")),
    }
}

/// PUT
pub(crate) async fn write(
    State(api): State<Api>,
    uri: Uri,
    ask: Ask,
    body: Bytes,
) -> Result<Response, Fault> {
    let key = key(&uri)?;
    if key.is_empty() {
        return Err(Fault::bad("Missing key name"));
    }
    if body.len() > MAX_VALUE {
        let text = format!(
            "Request body({} bytes) too large, max size: {MAX_VALUE} bytes.",
            body.len()
        );
        return Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let flags = ask.get("flags").map(str::parse).transpose();
    let flags = flags.map_err(|_| Fault::bad("Invalid flags"))?.unwrap_or(0);
    let put = put(&ask)?;
    let done = api
        .change::<_, Fault>(|change| {
            Ok(match put {
                Put::Set => {
                    change.set(&key, &body, flags);
                    true
                }
                Put::SetIf(index) => change.set_if(&key, (&body, flags), index),
                Put::Lock(session) => change.lock(&key, (&body, flags), session)?,
                Put::Unlock(session) => change.unlock(&key, (&body, flags), session)?,
            })
        })
        .await?;
    Ok(Json(done).into_response())
}

/// DELETE
pub(crate) async fn remove(State(api): State<Api>, uri: Uri, ask: Ask) -> Result<Response, Fault> {
    let key = key(&uri)?;
    let index = ask.get("cas").map(str::parse::<u64>).transpose();
    let index = index.map_err(|_| Fault::bad("Invalid cas index"))?;
    let recurse = ask.is_on("recurse")?;
    if recurse && index.is_some() {
        return Err(Fault::bad("Conflicting flags: recurse, cas"));
    }
    if key.is_empty() && !recurse {
        return Err(Fault::bad("Missing key name"));
    }
    let done = api
        .change::<_, Fault>(|change| {
            match index {
                Some(index) => return Ok(change.delete_if(&key, index)),
                None if recurse => change.delete_under(&key),
                None => change.delete(&key),
            }
            Ok(true)
        })
        .await?;
    Ok(Json(done).into_response())
}
