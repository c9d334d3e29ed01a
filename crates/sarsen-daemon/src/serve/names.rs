//! DNS: the ports that answer, and which name servers containers of apps are given.

use std::net::{IpAddr, SocketAddr};

use sarsen_registry::{Dns, DnsListener, DnsSettings, Registry, Upstreams, fallbacks};
use sarsen_runtime::Runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::dns_ports::DnsPorts;
use super::machine;
use crate::config::{DnsConfig, DnsPlace};

/// The engine's default network, and the only port that containers can ask.
const BRIDGE: &str = "bridge";
const PORT: u16 = 53;
/// The C library asks no more than three.
const FALLBACKS: usize = 2;

/// Name service, ready to run.
pub(super) struct Names {
    dns: Dns,
    registry: Registry,
    runtime: Runtime,
    config: DnsConfig,
    upstreams: Upstreams,
    ports: DnsPorts,
    for_apps: watch::Sender<Vec<IpAddr>>,
}

impl Names {
    pub(super) fn new(
        registry: Registry,
        config: &DnsConfig,
        ports: DnsPorts,
    ) -> anyhow::Result<Self> {
        let upstreams = match (config.forward, config.upstream.as_slice()) {
            (false, _) => Upstreams::These(Vec::new()),
            (true, []) => Upstreams::Host,
            (true, servers) => Upstreams::These(servers.to_vec()),
        };
        let settings = DnsSettings {
            domain: config.domain.clone(),
            node: machine::name(),
            datacenter: "dc1".to_owned(),
            ttl: config.ttl,
            upstreams: upstreams.clone(),
        };
        Ok(Self {
            dns: Dns::new(registry.clone(), settings)?,
            runtime: registry.runtime().clone(),
            registry,
            config: config.clone(),
            upstreams,
            ports,
            for_apps: watch::Sender::default(),
        })
    }

    /// The name servers of containers that are made from now on.
    pub(super) fn for_apps(&self) -> watch::Receiver<Vec<IpAddr>> {
        self.for_apps.subscribe()
    }

    /// Opens the ports that were named; one that cannot be had ends the start.
    pub(super) async fn open(&self) -> anyhow::Result<Vec<DnsListener>> {
        let places = self.config.listen.iter();
        let addresses = places.filter_map(|place| match place {
            DnsPlace::Address(address) => Some(*address),
            DnsPlace::Bridge(_) => None,
        });
        let opened = self.ports.open(&addresses.collect::<Vec<_>>()).await;
        opened.map_err(|error| anyhow::anyhow!("{error} (dns.listen)"))
    }

    /// Answers until `shutdown`.
    pub(super) async fn run(self, listeners: Vec<DnsListener>, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        let addresses: Vec<_> = listeners.iter().map(DnsListener::address).collect();
        self.tell_apps(&addresses);
        for listener in listeners {
            let (dns, shutdown) = (self.dns.clone(), shutdown.clone());
            tasks.spawn(async move { dns.serve(listener, shutdown).await });
        }
        let bridge = self.config.listen.iter().find_map(|place| match place {
            DnsPlace::Bridge(port) => Some(*port),
            DnsPlace::Address(_) => None,
        });
        if let Some(port) = bridge {
            self.follow_bridge(port, &addresses, &shutdown).await;
        }
        shutdown.cancelled().await;
        tasks.close();
        tasks.wait().await;
    }

    /// Answers on the bridge whenever there is one, and moves along when its address changes. The engine may come
    /// late, and somebody else may have the port at first: the daemon does not depend on either.
    async fn follow_bridge(&self, port: u16, others: &[SocketAddr], shutdown: &CancellationToken) {
        let mut looks = self.registry.comparisons();
        let mut told = String::new();
        while !shutdown.is_cancelled() {
            looks.mark_unchanged();
            match self.bridge(port).await {
                Some(address) => match self.open_bridge(address, others).await {
                    Ok(listener) => {
                        told.clear();
                        self.tell_apps(&[&[address], others].concat());
                        self.serve_bridge(listener, &mut looks, shutdown).await;
                        self.tell_apps(others);
                        continue;
                    }
                    Err(error) => {
                        let text = error.to_string();
                        if told != text {
                            tracing::error!("{text}; apps do without it (dns.listen)");
                            told = text;
                        }
                    }
                },
                None => tracing::debug!(
                    "the engine has no network '{BRIDGE}' with an address of the host"
                ),
            }
            // The sender lives in the registry, which we hold.
            shutdown.run_until_cancelled(looks.changed()).await;
        }
    }

    /// Opens the port on the bridge, and closes those that it had elsewhere.
    async fn open_bridge(
        &self,
        address: SocketAddr,
        others: &[SocketAddr],
    ) -> anyhow::Result<DnsListener> {
        self.ports.keep_only(&[&[address], others].concat());
        let opened = self.ports.open(&[address]).await?;
        let opened = opened.into_iter().next();
        opened.ok_or_else(|| anyhow::anyhow!("cannot answer DNS on {address}"))
    }

    /// Answers until the address is another one.
    async fn serve_bridge(
        &self,
        listener: DnsListener,
        looks: &mut watch::Receiver<u64>,
        shutdown: &CancellationToken,
    ) {
        let address = listener.address();
        let end = shutdown.child_token();
        let moved = async {
            loop {
                looks.changed().await.ok();
                // An engine that is away has not moved.
                let now = self.bridge(address.port()).await;
                if now.is_some_and(|now| now != address) {
                    break;
                }
            }
            end.cancel();
        };
        let serving = self.dns.serve(listener, end.clone());
        tokio::pin!(serving);
        tokio::select! {
            () = &mut serving => return,
            () = moved => {}
        }
        serving.await;
    }

    async fn bridge(&self, port: u16) -> Option<SocketAddr> {
        let networks = self.runtime.networks().await.ok()?;
        let bridge = networks.into_iter().find(|network| network.name == BRIDGE);
        bridge?.gateway.map(|ip| SocketAddr::new(ip, port))
    }

    /// Containers ask us first, and the host's own name servers while we are away.
    fn tell_apps(&self, addresses: &[SocketAddr]) {
        let reachable = addresses.iter().find(|address| {
            address.port() == PORT && !address.ip().is_loopback() && !address.ip().is_unspecified()
        });
        let servers = match reachable {
            Some(address) if self.config.apps => {
                let others = fallbacks(&self.upstreams).into_iter().take(FALLBACKS);
                std::iter::once(address.ip()).chain(others).collect()
            }
            _ => Vec::new(),
        };
        self.for_apps.send_replace(servers);
    }
}
