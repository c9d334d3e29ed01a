//! One look: a connection, a request, or a command in a container.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use sarsen_domain::ContainerId;
use sarsen_runtime::{ExecSpec, Runtime, RuntimeError};
use tokio::net::TcpStream;

use super::Said;
use super::http::{HttpClient, short};
use crate::check::{CheckStatus, Probe};

/// An attempt to connect that is not answered is given up; the check's own limit usually comes first.
const CONNECT_LIMIT: Duration = Duration::from_secs(60);

/// What looks are made with. Cheap to clone.
#[derive(Clone)]
pub(super) struct Looker {
    runtime: Runtime,
    http: HttpClient,
}

impl Looker {
    pub(super) fn new(runtime: Runtime) -> Self {
        Self {
            runtime,
            http: HttpClient::default(),
        }
    }

    /// Looks once.
    pub(super) fn look(&self, probe: Probe) -> BoxFuture<'static, Said> {
        let looker = self.clone();
        async move {
            match probe {
                Probe::Http(probe) => looker.http.look(&probe).await,
                Probe::Tcp(address) => connect(&address).await,
                Probe::Command {
                    container,
                    argv,
                    env,
                } => looker.command(&container, argv, env).await,
                // Nothing to be looked at.
                Probe::Ttl(_) | Probe::Engine | Probe::Set => (CheckStatus::Passing, String::new()),
            }
        }
        .boxed()
    }

    async fn command(&self, container: &str, argv: Vec<String>, env: Vec<String>) -> Said {
        match self.exec(container, argv, env).await {
            Ok((code, output)) => {
                let status = match code {
                    0 => CheckStatus::Passing,
                    1 => CheckStatus::Warning,
                    _ => CheckStatus::Critical,
                };
                (
                    status,
                    short(&format!("exit code {code}: {}", output.trim())),
                )
            }
            Err(error) => (CheckStatus::Critical, short(&error.to_string())),
        }
    }

    async fn exec(
        &self,
        container: &str,
        command: Vec<String>,
        env: Vec<String>,
    ) -> Result<(i64, String), RuntimeError> {
        let id = ContainerId::parse(container)
            .map_err(|_| RuntimeError::NotFound(format!("No such container: {container}")))?;
        let spec = ExecSpec {
            command,
            env,
            ..ExecSpec::default()
        };
        let exec = self.runtime.exec(&id, &spec).await?;
        let mut chunks = exec.streams.output;
        let mut output = Vec::new();
        while let Some(chunk) = chunks.try_next().await? {
            let room = super::http::OUTPUT_MAX.saturating_sub(output.len());
            output.extend(chunk.bytes.iter().take(room));
        }
        let code = self.runtime.exec_exit_code(&exec.id).await?;
        Ok((code, String::from_utf8_lossy(&output).into_owned()))
    }
}

async fn connect(address: &str) -> Said {
    let connecting = tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address));
    match connecting.await {
        Ok(Ok(_)) => (
            CheckStatus::Passing,
            format!("TCP connect {address}: Success"),
        ),
        Ok(Err(error)) => (
            CheckStatus::Critical,
            format!("TCP connect {address}: {error}"),
        ),
        Err(_) => (
            CheckStatus::Critical,
            format!("TCP connect {address}: no answer"),
        ),
    }
}
