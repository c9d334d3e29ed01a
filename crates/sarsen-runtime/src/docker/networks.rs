//! Networks between containers.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{
    EndpointSettings, Network, NetworkConnectRequest, NetworkCreateRequest,
    NetworkDisconnectRequest,
};
use bollard::query_parameters::{
    InspectNetworkOptions, ListContainersOptionsBuilder, ListNetworksOptions,
};
use sarsen_domain::ContainerId;

use super::DockerRuntime;
use super::error::{engine_error, gone_is_fine};
use super::read::date;
use crate::{NetworkInfo, Result, RuntimeError};

/// How often, and after which pause, a network is tried that a container is about to leave.
const LEAVING_TRIES: u32 = 100;
const LEAVING_PAUSE: Duration = Duration::from_millis(100);

impl DockerRuntime {
    pub(super) async fn create_network(
        &self,
        name: &str,
        labels: &[(String, String)],
    ) -> Result<()> {
        let client = self.client().await?;
        let found = client.inspect_network(name, None::<InspectNetworkOptions>);
        match found.await.map_err(engine_error) {
            Ok(_) => return Ok(()),
            Err(RuntimeError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        let request = NetworkCreateRequest {
            name: name.to_owned(),
            driver: Some("bridge".to_owned()),
            labels: Some(labels.iter().cloned().collect()),
            ..NetworkCreateRequest::default()
        };
        match client.create_network(request).await.map_err(engine_error) {
            // Somebody else was faster.
            Err(RuntimeError::Conflict(_)) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    pub(super) async fn list_networks(&self) -> Result<Vec<NetworkInfo>> {
        let client = self.client().await?;
        let answer = client.list_networks(None::<ListNetworksOptions>).await;
        let found = answer.map_err(engine_error)?.into_iter();
        let mut networks: Vec<_> = found.map(info).collect();
        networks.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(networks)
    }

    pub(super) async fn delete_network(&self, name: &str) -> Result<()> {
        let client = self.client().await?;
        let mut tries = 0;
        loop {
            match empty_and_remove(&client, name).await {
                Err(error) if tries < LEAVING_TRIES && is_being_left(&error) => {
                    tries += 1;
                    tokio::time::sleep(LEAVING_PAUSE).await;
                }
                ended => return ended,
            }
        }
    }

    pub(super) async fn join_network(
        &self,
        id: &ContainerId,
        network: &str,
        aliases: &[String],
    ) -> Result<()> {
        let request = NetworkConnectRequest {
            container: id.to_string(),
            endpoint_config: Some(endpoint(aliases)),
        };
        let client = self.client().await?;
        let joined = client.connect_network(network, request).await;
        match joined.map_err(engine_error) {
            Err(RuntimeError::Engine(words)) if words.contains("already exists in network") => {
                Ok(())
            }
            other => other,
        }
    }
}

async fn empty_and_remove(client: &Docker, name: &str) -> Result<()> {
    for container in containers_on(client, name).await? {
        let request = NetworkDisconnectRequest {
            container,
            force: Some(true),
        };
        let left = client.disconnect_network(name, request).await;
        gone_is_fine(left.map_err(engine_error))?;
    }
    gone_is_fine(client.remove_network(name).await.map_err(engine_error))
}

/// A container that is being removed holds its networks until it is gone, and cannot be taken off them.
fn is_being_left(error: &RuntimeError) -> bool {
    let words = error.to_string();
    ["marked for removal", "has active endpoints"]
        .iter()
        .any(|sign| words.contains(sign))
}

fn info(network: Network) -> NetworkInfo {
    let ranges = network.ipam.and_then(|ipam| ipam.config);
    let mut gateways = ranges.into_iter().flatten().filter_map(|range| {
        let gateway = range.gateway?;
        // With a prefix length on some engines.
        gateway.split('/').next()?.parse().ok()
    });
    NetworkInfo {
        gateway: gateways.next(),
        id: network.id.unwrap_or_default(),
        name: network.name.unwrap_or_default(),
        driver: network.driver.unwrap_or_default(),
        scope: network.scope.unwrap_or_default(),
        internal: network.internal.unwrap_or_default(),
        ipv6: network.enable_ipv6.unwrap_or_default(),
        labels: network.labels.unwrap_or_default().into_iter().collect(),
        created_at: date(network.created),
    }
}

/// A container's place on a network, as requests have it.
pub(super) fn endpoint(aliases: &[String]) -> EndpointSettings {
    EndpointSettings {
        aliases: (!aliases.is_empty()).then(|| aliases.to_vec()),
        ..EndpointSettings::default()
    }
}

/// The stopped ones too: they would not start again on a network that is gone.
async fn containers_on(client: &Docker, network: &str) -> Result<Vec<String>> {
    let filter = HashMap::from([("network".to_owned(), vec![network.to_owned()])]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filter)
        .build();
    let rows = client.list_containers(Some(options)).await;
    let rows = rows.map_err(engine_error)?.into_iter();
    Ok(rows.filter_map(|row| row.id).collect())
}
