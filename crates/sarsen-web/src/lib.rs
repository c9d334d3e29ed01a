//! The dashboard: a few pages that look and never touch, health, and metrics. It holds no rules.

mod access;
mod ansi;
mod headers;
mod metrics;
mod pages;
mod process;
#[cfg(test)]
mod tests;
mod words;

use std::net::SocketAddr;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use sarsen_control::Control;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Web {
    control: Control,
    /// On loopback whoever can connect is on this machine already, and may see health and metrics without a session.
    on_loopback: bool,
}

/// Serves until `shutdown`; pages under way are finished.
pub async fn run(listener: TcpListener, control: Control, shutdown: CancellationToken) {
    let address = listener.local_addr().ok();
    let routes = routes(control, address);
    let serving = axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the dashboard cannot serve");
    }
}

fn routes(control: Control, address: Option<SocketAddr>) -> Router {
    let on_loopback = address.is_some_and(|address| address.ip().is_loopback());
    if !on_loopback {
        tracing::warn!(
            "the dashboard listens beyond loopback, without TLS: whoever can read along can use it"
        );
    }
    Router::new()
        .route("/", get(pages::apps))
        .route("/apps/{app}", get(pages::app))
        .route("/apps/{app}/builds/{build}", get(pages::build))
        .route("/login", get(access::login))
        .route("/logout", post(access::logout))
        .route("/healthz", get(metrics::health))
        .route("/metrics", get(metrics::metrics))
        .route("/style.css", get(pages::style))
        .route("/icon.svg", get(pages::icon))
        .fallback(pages::nowhere)
        .layer(from_fn(headers::protect))
        .with_state(Web {
            control,
            on_loopback,
        })
}
