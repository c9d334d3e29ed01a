//! Raw connections to a terminal: the request is upgraded and its bytes are passed on as they are.
//!
//! The client library looks for stream headers even where a terminal sends none, and swallows what begins with a
//! byte below 3; so terminals do without it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio_util::io::ReaderStream;

use super::error::with_causes;
use crate::{Attached, LogChunk, Result, RuntimeError, StdStream};

/// How long the engine may take to answer a plain request: it asks others in turn.
const POST_LIMIT: Duration = Duration::from_secs(60);

/// The largest piece of output handed on at once.
const PIECE: usize = 16 * 1024;

/// Sends a POST that the engine answers by giving the connection over to a terminal.
pub(super) async fn terminal(socket: &Path, path: &str, body: Bytes) -> Result<Attached> {
    let stream = UnixStream::connect(socket).await.map_err(lost)?;
    let request = Request::post(path)
        .header(HOST, "docker")
        .header(CONTENT_TYPE, "application/json")
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "tcp")
        .body(Full::new(body))
        .map_err(|error| RuntimeError::Engine(error.to_string()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(lost)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refusal(response).await);
        }
        hyper::upgrade::on(response).await.map_err(lost)
    };
    // The connection does its work only while it is polled; it ends by handing the stream to the exchange.
    let (upgraded, _ended) = futures_util::join!(exchange, connection.with_upgrades());
    Ok(streams(upgraded?))
}

/// Sends a POST that answers with nothing we need.
pub(super) async fn post(socket: &Path, path: &str, body: Bytes) -> Result<()> {
    let stream = UnixStream::connect(socket).await.map_err(lost)?;
    let request = Request::post(path)
        .header(HOST, "docker")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|error| RuntimeError::Engine(error.to_string()))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let exchange = async move {
        let response = sender.send_request(request).await.map_err(lost)?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(refusal(response).await)
        }
    };
    let both = async { futures_util::join!(exchange, connection).0 };
    match tokio::time::timeout(POST_LIMIT, both).await {
        Ok(answer) => answer,
        Err(_) => Err(RuntimeError::Unreachable(
            "no answer within the time limit".to_owned(),
        )),
    }
}

fn streams(upgraded: Upgraded) -> Attached {
    let (read, write) = tokio::io::split(TokioIo::new(upgraded));
    let output = ReaderStream::with_capacity(read, PIECE).map(|piece| {
        let stream = StdStream::Stdout;
        let chunk = piece.map(|bytes| LogChunk { stream, bytes });
        chunk.map_err(lost)
    });
    Attached {
        stdin: Box::pin(write),
        output: Box::pin(output),
    }
}

async fn refusal(response: Response<Incoming>) -> RuntimeError {
    let status = response.status();
    let body = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return lost(error),
    };
    let json: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let message = json.as_ref().and_then(|json| json.get("message")?.as_str());
    let words = match message {
        Some(message) => message.to_owned(),
        None => format!("the engine answered {status} without a reason"),
    };
    match status {
        StatusCode::NOT_FOUND => RuntimeError::NotFound(words),
        StatusCode::CONFLICT => RuntimeError::Conflict(words),
        _ => RuntimeError::Engine(words),
    }
}

fn lost(error: impl std::error::Error) -> RuntimeError {
    RuntimeError::Unreachable(with_causes(&error))
}
