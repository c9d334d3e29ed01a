//! How a request came: from where, by which host name, inside TLS or not.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use sarsen_control::is_same_secret;

use crate::Web;

/// Our own router proves with this that it speaks the truth about the client.
const FROM_ROUTER: &str = "x-sarsen-router";

/// How a request came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) source: Option<IpAddr>,
    pub(crate) https: bool,
    /// The `Host` that was asked for.
    pub(crate) host: String,
}

impl Arrival {
    /// What a browser calls the place that it is at.
    pub(crate) fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.host)
    }
}

/// Finds out how a request came, and refuses names that are not ours: a page elsewhere may have its own name lead here.
pub(crate) async fn arrive(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip());
    let secret = web.control.router_secret();
    let arrival = read(request.headers(), peer, secret);
    let own = web.control.dashboard_host();
    // Health is nobody's secret, and who watches it may know us by any name.
    let is_open = request.uri().path() == "/healthz";
    if web.on_loopback && !is_open && !is_ours(&arrival.host, own) {
        let say = "This is Sarsen's dashboard, which does not answer to that name.\n";
        return (StatusCode::MISDIRECTED_REQUEST, say).into_response();
    }
    request.extensions_mut().insert(arrival);
    next.run(request).await
}

fn read(headers: &HeaderMap, peer: Option<IpAddr>, secret: &str) -> Arrival {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(HOST.as_str()).unwrap_or_default().to_ascii_lowercase();
    let routed = text(FROM_ROUTER).is_some_and(|shown| is_same_secret(shown, secret));
    if !routed {
        return Arrival {
            source: peer,
            https: false,
            host,
        };
    }
    // The last one is what the router has seen itself.
    let chain = text("x-forwarded-for").unwrap_or_default();
    let source = chain
        .rsplit(',')
        .next()
        .and_then(|last| last.trim().parse().ok());
    Arrival {
        source,
        https: text("x-forwarded-proto") == Some("https"),
        host,
    }
}

fn is_ours(host: &str, own: Option<&str>) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.is_empty()
        || name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok()
        || own.is_some_and(|own| own == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_router_is_believed() {
        let mut headers = HeaderMap::new();
        headers.insert("host", "dash.example".parse().unwrap());
        headers.insert(
            "x-forwarded-for",
            "203.0.113.9, 198.51.100.1".parse().unwrap(),
        );
        headers.insert("x-forwarded-proto", "https".parse().unwrap());
        let peer = Some([127, 0, 0, 1].into());
        let plain = read(&headers, peer, "s");
        assert_eq!((plain.source, plain.https), (peer, false));
        headers.insert(FROM_ROUTER, "wrong".parse().unwrap());
        assert_eq!(read(&headers, peer, "s"), plain);
        headers.insert(FROM_ROUTER, "s".parse().unwrap());
        let routed = read(&headers, peer, "s");
        assert_eq!(routed.source, Some([198, 51, 100, 1].into()));
        assert_eq!(routed.origin(), "https://dash.example");
    }

    #[test]
    fn foreign_names_are_not_answered() {
        for ours in [
            "127.0.0.1:8180",
            "localhost",
            "x.localhost:1",
            "[::1]:8180",
            "d.example",
            "",
        ] {
            assert!(is_ours(ours, Some("d.example")), "{ours}");
        }
        for foreign in ["evil.example:8180", "localhost.evil.example", "xd.example"] {
            assert!(!is_ours(foreign, Some("d.example")), "{foreign}");
        }
    }
}
