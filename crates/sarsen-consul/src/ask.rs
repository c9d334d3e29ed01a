//! What a caller asks with, whatever it asks for: the token, the consistency, and what it waits for.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use sarsen_registry::duration;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::answer::{Fault, Found};
use crate::api::Api;
use crate::filter::Filter;

/// The name of the one datacenter.
pub(crate) const DATACENTER: &str = "dc1";
/// How long a caller waits that does not say it.
const WAIT: Duration = Duration::from_secs(300);
/// The longest that one may wait.
const LONGEST: Duration = Duration::from_secs(600);

/// The parameters of one request, checked.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    params: Vec<(String, String)>,
    pub(crate) consistency: Consistency,
    /// 0: an answer at once.
    pub(crate) index: u64,
    pub(crate) wait: Duration,
}

/// How fresh the answer must be. One host is always its own leader, so all are the same; it is told back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consistency {
    Leader,
    Consistent,
    Stale,
}

impl Consistency {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Consistent => "consistent",
            Self::Stale => "stale",
        }
    }
}

impl Ask {
    fn new(params: Vec<(String, String)>) -> Result<Self, Fault> {
        let mut ask = Self {
            params,
            consistency: Consistency::Leader,
            index: 0,
            wait: WAIT,
        };
        ask.consistency = match (ask.has("stale"), ask.has("consistent")) {
            (true, true) => {
                return Err(Fault::bad(
                    "Cannot specify ?stale with ?consistent, conflicting semantics.",
                ));
            }
            (true, false) => Consistency::Stale,
            (false, true) => Consistency::Consistent,
            (false, false) => Consistency::Leader,
        };
        if let Some(index) = ask.get("index") {
            ask.index = index.parse().map_err(|_| Fault::bad("Invalid index"))?;
        }
        if let Some(wait) = ask.get("wait") {
            let wait = duration(wait).ok_or_else(|| Fault::bad("Invalid wait time"))?;
            ask.wait = wait.min(LONGEST);
            if ask.wait.is_zero() {
                ask.wait = WAIT;
            }
        }
        match ask.get("dc") {
            None | Some("" | DATACENTER) => {}
            Some(_) => return Err(Fault::refused("No path to datacenter")),
        }
        Ok(ask)
    }

    /// A parameter that is not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.params.iter().filter(|(key, _)| key == name);
        found
            .next()
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Every value of a parameter.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let of_name = self.params.iter().filter(move |(key, _)| key == name);
        of_name
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Whether a parameter is there, empty or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.params.iter().any(|(key, _)| key == name)
    }

    /// Whether a node with these attributes has all that the caller wants of it.
    pub(crate) fn takes_node(&self, meta: &BTreeMap<String, String>) -> bool {
        self.all("node-meta").all(|wanted| {
            let (key, value) = wanted.split_once(':').unwrap_or((wanted, ""));
            meta.get(key).is_some_and(|own| own == value)
        })
    }

    /// Whether a switch is on: `?passing`, `?passing=1`, `?passing=true`.
    pub(crate) fn is_on(&self, name: &str) -> Result<bool, Fault> {
        if !self.has(name) {
            return Ok(false);
        }
        match self.get(name) {
            None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(_) => Err(Fault::bad(format!("Invalid value for ?{name}"))),
        }
    }
}

impl FromRequestParts<Api> for Ask {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Fault> {
        let ask = checked(parts, api).await?;
        // Better no answer than one that was not filtered.
        if ask.get("filter").is_some() {
            return Err(Fault::bad("This answer cannot be filtered here"));
        }
        Ok(ask)
    }
}

/// The parameters of a request whose answer may be sifted by `filter`.
#[derive(Debug, Clone)]
pub(crate) struct Sieve {
    ask: Ask,
    filter: Option<Filter>,
}

impl Deref for Sieve {
    type Target = Ask;

    fn deref(&self) -> &Ask {
        &self.ask
    }
}

impl Sieve {
    /// The rows that the caller wants.
    pub(crate) fn rows(&self, found: Found<Vec<Value>>) -> Result<Found<Vec<Value>>, Fault> {
        let Some(filter) = &self.filter else {
            return Ok(found);
        };
        let value = filter.rows(found.value).map_err(unfit)?;
        Ok(Found { value, ..found })
    }

    /// The entries that the caller wants.
    pub(crate) fn entries(&self, all: Map<String, Value>) -> Result<Map<String, Value>, Fault> {
        match &self.filter {
            Some(filter) => filter.entries(all).map_err(unfit),
            None => Ok(all),
        }
    }
}

impl FromRequestParts<Api> for Sieve {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Fault> {
        let ask = checked(parts, api).await?;
        let filter = ask.get("filter").map(Filter::parse).transpose();
        let filter = filter.map_err(unfit)?;
        Ok(Self { ask, filter })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of `map_err`")]
fn unfit(why: String) -> Fault {
    Fault::bad(format!(
        "Failed to create boolean expression evaluator: {why}"
    ))
}

/// What a request asks for, when its token is right.
async fn checked(parts: &mut Parts, api: &Api) -> Result<Ask, Fault> {
    let Query(params) = Query::<Vec<(String, String)>>::from_request_parts(parts, api)
        .await
        .map_err(|error| Fault::bad(error.body_text()))?;
    let ask = Ask::new(params)?;
    if let Some(expected) = &api.settings().token
        && !token(&parts.headers, &ask).is_some_and(|shown| is_same(shown, expected.expose()))
    {
        return Err(Fault::new(StatusCode::FORBIDDEN, "Permission denied"));
    }
    Ok(ask)
}

fn token<'a>(headers: &'a HeaderMap, ask: &'a Ask) -> Option<&'a str> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    header("x-consul-token")
        .or_else(|| header("authorization").and_then(|value| value.strip_prefix("Bearer ")))
        .or_else(|| ask.get("token"))
}

/// In a time that tells nothing of where they differ.
fn is_same(shown: &str, expected: &str) -> bool {
    Sha256::digest(shown) == Sha256::digest(expected)
}
