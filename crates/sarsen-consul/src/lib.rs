//! The service catalog and a key-value store, spoken to as Consul is: `CONSUL_HTTP_ADDR=127.0.0.1:8500` and the
//! clients that people have go on working. A door like the others; what services there are is the registry's to say.

mod agent;
mod answer;
mod api;
mod ask;
mod body;
mod catalog;
mod events;
mod filter;
mod health;
mod instances;
mod keyspace;
mod kv;
mod routes;
mod sessions;
mod shapes;
#[cfg(test)]
mod tests;
mod txn;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use api::{Api, ConsulSettings};

/// Serves until `shutdown`; whoever waits for a change gets an answer then.
pub async fn run(listener: TcpListener, api: Api, shutdown: CancellationToken) {
    let routes = routes::routes(api);
    let serving = axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the Consul API cannot serve");
    }
}
