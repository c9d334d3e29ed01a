//! What can be tuned, with the reasons for the defaults.

use std::time::Duration;

use crate::{AccessLog, TrustedProxies};

/// How the router behaves. The defaults are for apps that moved here from Dokku or Heroku.
#[derive(Debug, Clone)]
pub struct RouterSettings {
    /// From the first byte of a request to the end of its head; then 408. 30 s.
    pub head_timeout: Duration,
    /// For a TLS handshake. 10 s.
    pub handshake_timeout: Duration,
    /// What a client sees that names a host in the handshake which has no certificate. Nothing: the handshake is refused.
    pub unknown_name: UnknownName,
    /// How long a client's connection may rest between two requests. 75 s.
    pub keep_alive_timeout: Duration,
    /// For one attempt to connect to an upstream. 5 s.
    pub connect_timeout: Duration,
    /// From the end of the request to the first byte of the response; then 504. 60 s.
    pub first_byte_timeout: Duration,
    /// The longest silence inside a request's or a response's body, and the longest a client may leave sent bytes
    /// unread. 60 s.
    pub idle_timeout: Duration,
    /// The longest silence on a websocket or another upgraded connection. 60 s: clients ping more often than that.
    pub tunnel_idle_timeout: Duration,
    /// How long websockets may go on after their container was retired, or the router told to stop. 10 s.
    pub tunnel_patience: Duration,
    /// How long requests may go on after the router was told to stop. 30 s.
    pub shutdown_deadline: Duration,
    /// The largest request head; above it 431. 32 KiB.
    pub max_head_bytes: usize,
    /// Clients' connections and tunnels at any time; more wait in the kernel's queue. 8192.
    pub max_connections: usize,
    /// The same for one address, or a /64 of IPv6; its further ones are closed at once. Trusted proxies are not counted. 4096.
    pub max_connections_per_ip: usize,
    /// Idle connections kept per upstream and serving thread. 128.
    pub pool_size: usize,
    /// How long an idle connection to an upstream is kept. 55 s, a little below the usual 60 s of servers.
    pub pool_idle_timeout: Duration,
    /// Names this router in `Via`. Off by default, because web servers inside containers stop compressing when they see it.
    pub via: Option<String>,
    /// Proxies in front whose `X-Forwarded-*` headers are believed. None.
    pub trusted_proxies: TrustedProxies,
    /// Load balancers in front that begin every connection with a PROXY protocol header. None.
    pub proxy_protocol: TrustedProxies,
    /// The longest silence on a raw TCP connection. 1 h: databases and brokers rest for long.
    pub tcp_idle_timeout: Duration,
    /// How long the answers to a UDP client's datagrams find their way back. 60 s.
    pub udp_idle_timeout: Duration,
    /// Clients of one UDP port at a time; beyond, the one silent for longest makes way. 4096.
    pub udp_sessions: usize,
    /// Where a line per request goes. Nowhere.
    pub access_log: AccessLog,
}

/// What becomes of a TLS handshake for a host without certificate, or for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownName {
    /// There is no handshake.
    #[default]
    Refused,
    /// A certificate of the router's own is shown, and a page behind it that says that there is no such app.
    SelfSigned,
}

impl Default for RouterSettings {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            unknown_name: UnknownName::default(),
            keep_alive_timeout: Duration::from_secs(75),
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            tunnel_idle_timeout: Duration::from_secs(60),
            tunnel_patience: Duration::from_secs(10),
            shutdown_deadline: Duration::from_secs(30),
            max_head_bytes: 32 * 1024,
            max_connections: 8192,
            max_connections_per_ip: 4096,
            pool_size: 128,
            pool_idle_timeout: Duration::from_secs(55),
            via: None,
            trusted_proxies: TrustedProxies::none(),
            proxy_protocol: TrustedProxies::none(),
            tcp_idle_timeout: Duration::from_secs(3600),
            udp_idle_timeout: Duration::from_secs(60),
            udp_sessions: 4096,
            access_log: AccessLog::none(),
        }
    }
}
