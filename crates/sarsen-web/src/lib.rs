//! The dashboard and the API: who is let in, one table of routes, pages, live streams, health and metrics. It holds no
//! rules: what may be done is control's to say, and whatever is done is a command of its table.

mod ansi;
mod api;
mod arrival;
mod deeds;
mod door;
mod guard;
mod headers;
mod live;
mod metrics;
mod pages;
mod process;
mod runs;
mod table;
#[cfg(test)]
mod tests;
mod visit;
mod words;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use sarsen_control::Control;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Web {
    control: Control,
    /// On loopback whoever can connect is on this machine already, and may see health and metrics without a session.
    on_loopback: bool,
    streams: Arc<live::Limits>,
}

/// Serves until `shutdown`; pages under way are finished.
pub async fn run(listener: TcpListener, control: Control, shutdown: CancellationToken) {
    let address = listener.local_addr().ok();
    let routes = routes(control, address);
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the dashboard cannot serve");
    }
}

/// The description of the API in OpenAPI's terms, made from the table of routes.
pub fn openapi() -> String {
    api::openapi::document()
}

fn routes(control: Control, address: Option<SocketAddr>) -> Router {
    let on_loopback = address.is_some_and(|address| address.ip().is_loopback());
    if !on_loopback {
        tracing::warn!(
            "the dashboard listens beyond loopback, without TLS: whoever can read along can use it"
        );
    }
    let web = Web {
        control,
        on_loopback,
        streams: Arc::default(),
    };
    let mut router = Router::new();
    for route in table::all() {
        let path = route.path.clone();
        let needed = guard::Guarded {
            web: web.clone(),
            need: route.need,
            kind: route.kind,
        };
        let handler = route
            .handler()
            .layer(from_fn_with_state(needed, guard::guard));
        router = router.route(&path, handler);
    }
    let nowhere = |kind| guard::Guarded {
        web: web.clone(),
        need: table::Need::May(sarsen_control::Action::List),
        kind,
    };
    let no_page = axum::routing::any(pages::nowhere)
        .layer(from_fn_with_state(nowhere(table::Kind::Page), guard::guard));
    let no_answer = axum::routing::any(api::nowhere)
        .layer(from_fn_with_state(nowhere(table::Kind::Api), guard::guard));
    router
        .route("/api/{*rest}", no_answer)
        .fallback_service(no_page.with_state(web.clone()))
        .method_not_allowed_fallback(api::not_so)
        .layer(DefaultBodyLimit::max(guard::BODY_MAX))
        .layer(from_fn_with_state(web.clone(), arrival::arrive))
        .layer(from_fn(headers::protect))
        .with_state(web)
}
