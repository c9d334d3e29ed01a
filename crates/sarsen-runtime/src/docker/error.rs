//! The client library's errors in the words of the trait.

use std::error::Error as StdError;

use bollard::errors::Error;

use crate::{Result, RuntimeError};

/// Which of our errors this is; the engine's own sentence is kept.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "all the others are faults in a request or an answer, told alike"
)]
pub(super) fn engine_error(error: Error) -> RuntimeError {
    match error {
        Error::DockerResponseServerError {
            status_code: 404,
            message,
        } => RuntimeError::NotFound(message),
        Error::DockerResponseServerError {
            status_code: 409,
            message,
        } => RuntimeError::Conflict(message),
        Error::DockerResponseServerError { message, .. } => RuntimeError::Engine(message),
        Error::DockerStreamError { error } => RuntimeError::Engine(error),
        Error::RequestTimeoutError => {
            RuntimeError::Unreachable("no answer within the time limit".to_owned())
        }
        Error::SocketNotFoundError(path) => {
            RuntimeError::Unreachable(format!("{path} does not exist"))
        }
        Error::IOError { .. }
        | Error::HyperResponseError { .. }
        | Error::HyperLegacyError { .. } => RuntimeError::Unreachable(last_cause(&error)),
        other => RuntimeError::Engine(with_causes(&other)),
    }
}

/// What was to be taken away is away when it never was there.
pub(super) fn gone_is_fine(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(RuntimeError::NotFound(_)) => Ok(()),
        other => other,
    }
}

/// What is at the bottom of a connection error: `Connection refused (os error 111)`. What lies above it names libraries.
fn last_cause(error: &dyn StdError) -> String {
    let mut last = error;
    while let Some(inner) = last.source() {
        last = inner;
    }
    last.to_string()
}

/// The error and everything below it, which is where connection errors tell what happened.
pub(super) fn with_causes(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let sentence = inner.to_string();
        if !text.contains(&sentence) {
            text = format!("{text}: {sentence}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status_code: u16) -> RuntimeError {
        engine_error(Error::DockerResponseServerError {
            status_code,
            message: "its words".to_owned(),
        })
    }

    #[test]
    fn statuses_have_their_kinds_and_keep_the_words() {
        assert!(matches!(response(404), RuntimeError::NotFound(m) if m == "its words"));
        assert!(matches!(response(409), RuntimeError::Conflict(m) if m == "its words"));
        assert!(matches!(response(500), RuntimeError::Engine(m) if m == "its words"));
    }

    #[test]
    fn lost_connections_are_unreachable_with_their_cause() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let RuntimeError::Unreachable(text) = engine_error(Error::from(refused)) else {
            panic!("not unreachable");
        };
        assert_eq!(text, "connection refused");
        let timeout = engine_error(Error::RequestTimeoutError);
        assert!(matches!(timeout, RuntimeError::Unreachable(_)));
    }
}
