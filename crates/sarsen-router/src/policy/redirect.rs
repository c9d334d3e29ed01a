//! Redirects: one name to another, or one path to another place.

use std::fmt;
use std::str::FromStr;

use http::{HeaderValue, Uri};
use sarsen_domain::{Domain, Invalid};

/// One redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    source: RedirectSource,
    destination: String,
    code: u16,
}

/// What is redirected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectSource {
    /// Every request for this name.
    Host(Domain),
    /// This path of the app's own names.
    Path(String),
}

impl Redirect {
    /// A redirect from a host name (`old.example.com`) or a path (`/old`) to a host name, a path or a whole URL.
    pub fn new(source: &str, destination: &str, code: u16) -> Result<Self, Invalid> {
        if !matches!(code, 301 | 302 | 303 | 307 | 308) {
            return Err(Invalid::new(format!(
                "Invalid code {code}: use 301, 302, 303, 307 or 308"
            )));
        }
        let source: RedirectSource = source.parse()?;
        let invalid = || {
            Invalid::new(format!(
                "Invalid destination '{}': write a host name, a path or an http:// or https:// URL",
                destination.escape_debug()
            ))
        };
        let is_url = destination
            .split_once("://")
            .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && !rest.is_empty());
        let fits = if destination.starts_with('/') {
            !destination.starts_with("//") && destination.parse::<Uri>().is_ok()
        } else if is_url {
            destination.parse::<Uri>().is_ok()
        } else {
            let plain = Domain::parse(destination).map_err(|_| invalid())?;
            !plain.is_catch_all() && plain.wildcard_suffix().is_none()
        };
        if !fits || HeaderValue::from_str(destination).is_err() {
            return Err(invalid());
        }
        if source.to_string() == destination {
            return Err(Invalid::new(format!(
                "'{destination}' would be redirected to itself"
            )));
        }
        Ok(Self {
            source,
            destination: destination.to_owned(),
            code,
        })
    }

    /// What is redirected.
    pub fn source(&self) -> &RedirectSource {
        &self.source
    }

    /// Where to.
    pub fn destination(&self) -> &str {
        &self.destination
    }

    /// With which status.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// Where a request goes, if this is about it. A host's redirect keeps path and query; a path's keeps the query.
    pub(crate) fn apply(&self, scheme: &str, host: &str, target: &Uri) -> Option<String> {
        let whole = target.path_and_query().map_or("/", |t| t.as_str());
        match &self.source {
            RedirectSource::Host(source) => {
                let hit = match source.wildcard_suffix() {
                    Some(suffix) => host.strip_suffix(suffix).is_some_and(|h| h.ends_with('.')),
                    None => source.as_str() == host,
                };
                // A wildcard may hold its own destination.
                let (hit, to) = (hit && host != self.destination, &self.destination);
                hit.then(|| match to.starts_with('/') {
                    true => to.clone(),
                    false if to.contains("://") => format!("{}{whole}", to.trim_end_matches('/')),
                    false => format!("{scheme}://{to}{whole}"),
                })
            }
            RedirectSource::Path(source) => (source == target.path()).then(|| {
                let to = match self.destination.starts_with('/') || self.destination.contains("://")
                {
                    true => self.destination.clone(),
                    false => format!("{scheme}://{}{source}", self.destination),
                };
                match target.query().filter(|_| !to.contains('?')) {
                    Some(query) => format!("{to}?{query}"),
                    None => to,
                }
            }),
        }
    }
}

impl FromStr for RedirectSource {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.starts_with('/') {
            let target: Option<Uri> = text.parse().ok().filter(|u: &Uri| u.query().is_none());
            return match target {
                Some(target) if target.path() == text => Ok(Self::Path(text.to_owned())),
                _ => Err(Invalid::new(format!(
                    "Invalid path '{}': write it as in the address line, without a query",
                    text.escape_debug()
                ))),
            };
        }
        let domain = Domain::parse(text)?;
        if domain.is_catch_all() {
            return Err(Invalid::new(
                "A redirect needs a name: _ stands for all of them",
            ));
        }
        Ok(Self::Host(domain))
    }
}

impl fmt::Display for RedirectSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(domain) => f.pad(domain.as_str()),
            Self::Path(path) => f.pad(path),
        }
    }
}
