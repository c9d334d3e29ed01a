//! The router: requests come in, the route table names the app, the request goes to one of the app's containers.
//!
//! [`RouteTable`] is a value; [`Router`] swaps it whole and keeps what belongs to a container (its pooled connections,
//! its requests in flight) for as long as the container is in the table or a request is under way there.
//! One task on one thread serves one client connection and also drives the upstream connection it is using, so that a
//! request crosses no queue and wakes no other thread.

mod access_log;
mod acme;
mod balance;
mod body;
mod client_body;
mod client_io;
mod connection;
mod crowd;
mod exchange;
mod failure;
mod flat;
mod greet;
mod head;
mod host;
mod http2;
mod link;
mod listener;
mod live;
mod page;
mod policy;
mod proxy;
mod proxy_protocol;
mod router;
mod settings;
mod spare;
mod stats;
mod stream;
mod table;
mod tcp;
mod timer;
mod tls;
mod trust;
mod tunnel;
mod udp;
mod upstream;
mod workers;

pub use access_log::AccessLog;
pub use acme::{
    AcmeIssuer, Authority, CertIssuer, CertOrder, Challenges, DnsHook, IssueError, Issued, Proof,
    TokenGuard,
};
#[cfg(any(test, feature = "fake"))]
pub use acme::{Away, FakeIssuer};
pub use policy::{
    AuthUser, Balance, BalanceBy, BasicAuth, Compression, Eject, HeaderChange, HeaderRule, Hsts,
    HstsPreload, HstsReach, HttpsPolicy, HttpsRedirect, LogForm, Network, Page, PasswordHash,
    PathPrefix, Policy, PrefixFate, Rate, Redirect, RedirectSource, Sticky, Timeouts,
};
pub use router::{Departure, Drained, Router};
pub use settings::{RouterSettings, UnknownName};
pub use stats::{AppStats, LATENCY_MS, RouterStats};
pub use table::{AppRoute, AppState, PortKind, Route, RoutePort, RouteTable, Upstream};
pub use tls::{
    ACME_ALPN, CertificateError, CertificateFacts, CertificateSet, Certificates, ChallengeGuard,
    Generated, HostCertificates, KeyPair, challenge_pair, is_vouched_for, order_chain, self_signed,
};
pub use trust::TrustedProxies;
