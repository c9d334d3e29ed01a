//! What an app's owner wants of the router beyond its routes: who may come in, how much, how fast, and what is said
//! in the app's place. A value like the table; what must outlive a swap is in [`state`].

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

pub(crate) mod admit;
mod auth;
mod headers;
mod network;
mod path;
mod rate;
mod redirect;
pub(crate) mod shape;
pub(crate) mod squeeze;
pub(crate) mod state;

pub use auth::{AuthUser, BasicAuth, PasswordHash};
pub use headers::{HeaderChange, HeaderRule};
pub use network::Network;
pub(crate) use path::rest_below;
pub use path::{PathPrefix, PrefixFate};
pub use rate::Rate;
pub(crate) use rate::household;
pub use redirect::{Redirect, RedirectSource};

/// One app's wishes. The default wishes nothing but what every app gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The app answers below this path only, so that several apps can share a host name.
    pub path: Option<PathPrefix>,
    /// The one name to be known by: requests for the app's other names are redirected there.
    pub canonical_host: Option<String>,
    /// Redirects by name or path, looked at first.
    pub redirects: Vec<Redirect>,
    /// What to answer instead of asking the app.
    pub maintenance: Option<Page>,
    /// Pages in place of the router's own, by status.
    pub error_pages: BTreeMap<u16, Page>,
    /// Who must give a password.
    pub auth: Option<BasicAuth>,
    /// Addresses that may come in; when there are any, the others may not.
    pub allow: Vec<Network>,
    /// Addresses that may not come in.
    pub deny: Vec<Network>,
    /// The largest body of a request.
    pub max_body: Option<u64>,
    /// Requests per client.
    pub rate: Option<Rate>,
    /// Whether answers are compressed.
    pub compression: Compression,
    /// Changes to the headers that the app sees.
    pub request_headers: Vec<HeaderRule>,
    /// Changes to the headers that the client sees.
    pub response_headers: Vec<HeaderRule>,
    /// What holds where there is TLS.
    pub https: HttpsPolicy,
    /// How a request is logged.
    pub log: LogForm,
    /// Limits of time other than the router's own.
    pub timeouts: Timeouts,
    /// How requests are spread over the containers.
    pub balance: Balance,
}

/// A page that somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// HTML.
    pub html: Bytes,
}

/// Whether answers are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// As the app sends them.
    #[default]
    Off,
    /// With gzip, where the client takes it and the content gains by it.
    Gzip,
}

/// What holds where there is TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpsPolicy {
    /// Whether plain requests are redirected. Only for apps with a certificate.
    pub redirect: Option<HttpsRedirect>,
    /// Sent as `Strict-Transport-Security` on TLS.
    pub hsts: Option<Hsts>,
}

/// Requests in the clear on one port go to another port, inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// The port of this host that they come in on.
    pub from: u16,
    /// The port as clients see it.
    pub to: u16,
}

/// How long browsers shall insist on TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// In seconds.
    pub max_age: u64,
    /// What else it says.
    pub reach: HstsReach,
    /// Whether it asks to be built into browsers.
    pub preload: HstsPreload,
}

/// Which names a promise of TLS holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HstsReach {
    /// The very name.
    Name,
    /// It and everything below.
    Subdomains,
}

/// Whether a promise of TLS may be built into browsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HstsPreload {
    /// It may.
    Yes,
    /// It may not.
    No,
}

/// How a request is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogForm {
    /// The line of Heroku's router.
    #[default]
    Heroku,
    /// An object of JSON.
    Json,
    /// Not at all.
    Off,
}

/// Limits of time in place of the router's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// See [`crate::RouterSettings::connect_timeout`].
    pub connect: Option<Duration>,
    /// See [`crate::RouterSettings::first_byte_timeout`].
    pub first_byte: Option<Duration>,
    /// See [`crate::RouterSettings::idle_timeout`].
    pub idle: Option<Duration>,
    /// See [`crate::RouterSettings::tunnel_idle_timeout`].
    pub tunnel_idle: Option<Duration>,
}

/// How requests are spread over the containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// Who is next.
    pub by: BalanceBy,
    /// How long a container that has just come gets fewer requests than the others.
    pub slow_start: Duration,
    /// Passing over containers that fail.
    pub eject: Option<Eject>,
    /// Whether a client stays with its container.
    pub sticky: Sticky,
}

/// Who is next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BalanceBy {
    /// The one after the last.
    #[default]
    Turn,
    /// The one with the fewest requests under way.
    LeastRequests,
}

/// Passing over containers that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eject {
    /// So many failures one after the other.
    pub after: u32,
    /// For so long.
    pub rest: Duration,
}

/// Whether a client stays with its container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sticky {
    /// No.
    #[default]
    No,
    /// By a cookie, as long as the container is there.
    Cookie,
}

impl Policy {
    /// Whether the app sees another path than the client asked for.
    pub(crate) fn strips_path(&self) -> bool {
        let path = self.path.as_ref();
        path.is_some_and(|path| path.fate == PrefixFate::Stripped)
    }
}

impl Hsts {
    /// The header's value.
    pub(crate) fn value(self) -> String {
        let mut value = format!("max-age={}", self.max_age);
        if self.reach == HstsReach::Subdomains {
            value.push_str("; includeSubDomains");
        }
        if self.preload == HstsPreload::Yes {
            value.push_str("; preload");
        }
        value
    }
}
