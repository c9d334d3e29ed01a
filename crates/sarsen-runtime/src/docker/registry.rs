//! Registries: who we are there, and images that go there.

use std::collections::HashMap;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::PushImageOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;
use sarsen_domain::ImageRef;

use super::error::engine_error;
use super::images::name_and_tag;
use super::{DockerRuntime, progress};
use crate::{EngineStream, RegistryLogin, Result, RuntimeError};

/// What the engine calls Docker's own registry in a login.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

impl DockerRuntime {
    pub(super) async fn push_stream(
        &self,
        image: &ImageRef,
        login: Option<&RegistryLogin>,
    ) -> Result<EngineStream<String>> {
        let client = self.patient_client().await?;
        let (name, tag) = name_and_tag(image.as_str());
        let options = PushImageOptionsBuilder::new().tag(tag).build();
        let items = client.push_image(name, Some(options), login.map(credentials));
        Ok(Box::pin(items.filter_map(async |item| match item {
            Ok(item) => {
                let fault = item.error_detail.and_then(|detail| detail.message);
                match fault {
                    Some(message) => Some(Err(RuntimeError::Engine(message))),
                    None => progress::calm(None, item.status.as_deref()).map(Ok),
                }
            }
            Err(error) => Some(Err(engine_error(error))),
        })))
    }
}

/// A login in the form that the client library passes on.
pub(super) fn credentials(login: &RegistryLogin) -> DockerCredentials {
    DockerCredentials {
        username: Some(login.username.clone()),
        password: Some(login.password.expose().clone()),
        serveraddress: Some(server(login).to_owned()),
        ..DockerCredentials::default()
    }
}

/// Logins by server, for builds.
pub(super) fn by_server(logins: &[RegistryLogin]) -> HashMap<String, DockerCredentials> {
    let pairs = logins
        .iter()
        .map(|login| (server(login).to_owned(), credentials(login)));
    pairs.collect()
}

/// The body of a request that asks whether a login is good.
pub(super) fn body(login: &RegistryLogin) -> Bytes {
    let json = serde_json::json!({
        "username": login.username,
        "password": login.password.expose(),
        "serveraddress": server(login),
    });
    json.to_string().into()
}

fn server(login: &RegistryLogin) -> &str {
    match login.server.as_str() {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" => DOCKER_HUB,
        other => other,
    }
}
