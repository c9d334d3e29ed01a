//! Answers in Consul's form: what was found and its index, or a fault in plain words.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sarsen_registry::RegistryError;
use sarsen_store::StoreError;
use serde::Serialize;

use crate::ask::Ask;
use crate::keyspace::Refused;

/// Something that was read.
#[derive(Debug, Clone)]
pub(crate) struct Found<T> {
    /// When it last changed or went: whoever waits since before then is woken.
    pub(crate) touched: u64,
    /// What a caller asks with the next time.
    pub(crate) index: u64,
    pub(crate) value: T,
}

impl<T> Found<T> {
    /// What last changed at this index.
    pub(crate) fn at(index: u64, value: T) -> Self {
        Self {
            touched: index,
            index,
            value,
        }
    }
}

/// A value as JSON.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
            Err(error) => Fault::refused(error.to_string()).into_response(),
        }
    }
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
        }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// Consul answers so to what its servers refuse.
    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    pub(crate) fn too_many() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "Too many blocking queries wait already",
        )
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        (self.status, self.text).into_response()
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::refused(error.to_string())
    }
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        Self::refused(refused.to_string())
    }
}

impl From<RegistryError> for Fault {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Invalid(text) => Self::bad(text),
            RegistryError::NoSuchService(id) => {
                Self::refused(format!("ServiceID {id:?} does not exist"))
            }
            RegistryError::NoSuchCheck(id) | RegistryError::NotReported(id) => {
                Self::refused(format!("CheckID {id:?} does not have associated TTL"))
            }
            RegistryError::OfContainer { .. } => Self::new(StatusCode::CONFLICT, error.to_string()),
            RegistryError::Engine(_) | RegistryError::Store(_) => Self::refused(error.to_string()),
        }
    }
}

/// The headers that tell of an index.
pub(crate) fn with_index(index: u64, ask: &Ask, response: Response) -> Response {
    let mut response = response;
    let headers = response.headers_mut();
    headers.insert("x-consul-index", HeaderValue::from(index.max(1)));
    headers.insert("x-consul-knownleader", HeaderValue::from_static("true"));
    headers.insert("x-consul-lastcontact", HeaderValue::from_static("0"));
    let consistency = HeaderValue::from_static(ask.consistency.as_str());
    headers.insert("x-consul-effective-consistency", consistency);
    if ask.has("cached") {
        // Every answer comes out of memory, and is never older than the question.
        headers.insert("x-cache", HeaderValue::from_static("HIT"));
        headers.insert(header::AGE, HeaderValue::from_static("0"));
    }
    response
}

/// What was read, as JSON.
pub(crate) fn json<T: Serialize>(found: Found<T>, ask: &Ask) -> Response {
    with_index(found.index, ask, Json(found.value).into_response())
}

/// Text that is no error.
pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (status, kind, text.into()).into_response()
}
