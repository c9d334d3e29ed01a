//! The dashboard's own name: a route of our own router that leads to it, and the certificate for that.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sarsen_domain::{AppName, Domain};
use sarsen_router::{
    AppRoute, AppState, CertOrder, CertificateFacts, HostCertificates, HttpsPolicy, HttpsRedirect,
    Issued, KeyPair, LogForm, Policy, RoutePort, Upstream, self_signed,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::names::hopeless;
use super::{PATIENCE, budget};
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::time::now;

/// What the route is called in the router's table; no app can be made under this name.
pub(crate) const NAME: &str = "sarsen-dashboard";
/// Between two looks at the certificate.
const PAUSE: Duration = Duration::from_secs(30);
/// A certificate that was made here lasts so many days.
const DAYS: u16 = 365;
/// A certificate is replaced when the last third of its life begins, and no earlier than so many seconds before its end.
const EARLY: i64 = 30 * 24 * 3600;
/// No container's row in the store has this number.
const INSTANCE: i64 = -1;

/// The certificate in use, and when to try for a better one.
#[derive(Debug, Default)]
pub(crate) struct OwnCertificate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    pair: Option<Arc<KeyPair>>,
    /// What the pair was read from.
    text: String,
    failures: u32,
    retry_at: i64,
}

impl OwnCertificate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_from(&self, text: &str) -> bool {
        self.lock().text == text
    }

    fn put(&self, pair: KeyPair, text: String) {
        let mut state = self.lock();
        state.pair = Some(Arc::new(pair));
        state.text = text;
    }

    fn may_be_ordered(&self) -> bool {
        self.lock().retry_at <= now()
    }

    fn came(&self) {
        let mut state = self.lock();
        (state.failures, state.retry_at) = (0, 0);
    }

    fn failed(&self) {
        let mut state = self.lock();
        state.retry_at = now() + budget::back_off(state.failures);
        state.failures += 1;
    }
}

impl Control {
    /// The route to the dashboard, when it has a name of its own.
    pub(crate) fn dashboard_route(&self) -> Option<AppRoute> {
        let host = self.settings.dashboard_host.clone()?;
        let address = self.settings.dashboard_address?;
        let https = self.settings.https_port?;
        let ip = match (address.ip(), address.ip().is_unspecified()) {
            (IpAddr::V4(_), true) => Ipv4Addr::LOCALHOST.into(),
            (IpAddr::V6(_), true) => Ipv6Addr::LOCALHOST.into(),
            (ip, false) => ip,
        };
        let proof = format!("X-Sarsen-Router: {}", self.router_secret());
        let policy = Policy {
            request_headers: proof.parse().into_iter().collect(),
            https: HttpsPolicy {
                redirect: Some(HttpsRedirect {
                    from: self.settings.http_port,
                    to: self.settings.https_public_port.unwrap_or(https),
                }),
                hsts: None,
            },
            // Links that let people in stand in its requests.
            log: LogForm::Off,
            ..Policy::default()
        };
        let port = |port| RoutePort::http(port, address.port());
        Some(AppRoute {
            app: AppName::parse(NAME).ok()?,
            hosts: vec![host],
            ports: vec![port(self.settings.http_port), port(https)],
            upstreams: vec![Upstream {
                instance: INSTANCE,
                dyno: "dashboard.1".to_owned(),
                ip,
            }],
            state: AppState::Serving,
            policy: Arc::new(policy),
        })
    }

    /// The certificate of the dashboard's name.
    pub(crate) fn dashboard_certificate(&self) -> Option<HostCertificates> {
        let host = self.settings.dashboard_host.clone()?;
        let pair = self.own_certificate.lock().pair.clone()?;
        Some(HostCertificates {
            hosts: vec![host],
            pairs: vec![pair],
        })
    }

    /// Looks after the certificate of the dashboard's name until the daemon ends.
    pub async fn keep_own_name(self, shutdown: CancellationToken) {
        let Some(host) = self.settings.dashboard_host.clone() else {
            return shutdown.cancelled().await;
        };
        loop {
            let looked = tokio::select! {
                looked = Box::pin(self.look_after_own_name(&host)) => looked,
                () = shutdown.cancelled() => return,
            };
            if let Err(failure) = looked {
                tracing::error!(error = %failure, "the dashboard's name {host} has no certificate as it should: {failure}");
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn look_after_own_name(&self, host: &Domain) -> Outcome {
        if let Some((certificate, key)) = &self.settings.dashboard_pair {
            return self.use_pair(certificate, key).await;
        }
        let (certificate, key) = self.own_files();
        if !certificate.exists() || !key.exists() {
            self.make_pair(host)?;
        }
        self.use_pair(&certificate, &key).await?;
        let pair = self.own_certificate.lock().pair.clone();
        let facts = pair.map(|pair| pair.facts().clone());
        let Some(facts) = facts else { return Ok(()) };
        let (left, early) = (facts.expires_at - now(), early(&facts));
        let is_due = !facts.covers(host.as_str()) || facts.is_self_signed || left < early;
        if !is_due {
            return Ok(());
        }
        if self.own_certificate.may_be_ordered() && self.order_pair(host).await? {
            return self.use_pair(&certificate, &key).await;
        }
        if !facts.covers(host.as_str()) || left < early / 4 {
            self.make_pair(host)?;
            return self.use_pair(&certificate, &key).await;
        }
        Ok(())
    }

    fn own_files(&self) -> (PathBuf, PathBuf) {
        let folder = self.settings.data_dir.join("dashboard");
        (folder.join("certificate.pem"), folder.join("key.pem"))
    }

    /// Takes the certificate of the dashboard's name from where the last run left it, so that it is there with the first
    /// routes. Whatever is wrong with it, the daemon starts.
    pub fn recall_own_name(&self) {
        if self.settings.dashboard_host.is_none() {
            return;
        }
        let (certificate, key) = match &self.settings.dashboard_pair {
            Some(pair) => pair.clone(),
            None => self.own_files(),
        };
        if certificate.exists()
            && let Err(failure) = self.take_pair(&certificate, &key)
        {
            tracing::warn!(error = %failure, "the dashboard's name has no certificate yet: {failure}");
        }
    }

    /// Shows the pair in these files from the next handshake on.
    async fn use_pair(&self, certificate: &Path, key: &Path) -> Outcome {
        if self.take_pair(certificate, key)? {
            return self.refresh_routes().await;
        }
        Ok(())
    }

    /// Reads the pair in these files; whether it is another one than before.
    fn take_pair(&self, certificate: &Path, key: &Path) -> Outcome<bool> {
        let read = |path: &Path| {
            fs::read_to_string(path)
                .map_err(|error| Failure::new(format!("Cannot read {}: {error}", path.display())))
        };
        let (chain, key) = (read(certificate)?, read(key)?);
        if self.own_certificate.is_from(&chain) {
            return Ok(false);
        }
        let pair = KeyPair::from_pem(&chain, &key);
        let pair = pair.map_err(|error| Failure::new(error.to_string()))?;
        self.own_certificate.put(pair, chain);
        Ok(true)
    }

    fn make_pair(&self, host: &Domain) -> Outcome {
        let made = self_signed(&[host.as_str()], DAYS);
        let made = made.map_err(|error| Failure::new(error.to_string()))?;
        Ok(self.keep_pair(&made.certificate, &made.key)?)
    }

    fn keep_pair(&self, certificate: &str, key: &str) -> io::Result<()> {
        let (certificate_file, key_file) = self.own_files();
        if let Some(folder) = key_file.parent() {
            fs::create_dir_all(folder)?;
        }
        // The key first: a certificate with the key of another is of no use.
        put(&key_file, key)?;
        put(&certificate_file, certificate)
    }

    /// Gets a certificate from the authority, when there is an address to give it; whether one was got.
    async fn order_pair(&self, host: &Domain) -> Outcome<bool> {
        let setup = self.acme_setup_of(None).await?;
        if setup.authority.email.is_empty() || hopeless(host, &setup).is_some() {
            return Ok(false);
        }
        let order = CertOrder {
            hosts: vec![host.clone()],
            proof: setup.proof.clone(),
        };
        let _turn = self.acme.turn.lock().await;
        let asking = self.ask_within_budget(&setup.authority, &order);
        let asked = timeout(PATIENCE, asking).await;
        let slow = |_| Err(Failure::new("The authority took longer than 10 minutes"));
        match asked.unwrap_or_else(slow) {
            Ok(Issued { chain, key }) => {
                self.keep_pair(&chain, key.expose())?;
                self.own_certificate.came();
                Ok(true)
            }
            Err(error) => {
                self.own_certificate.failed();
                tracing::warn!(%error, "the dashboard's name {host} gets no certificate: {error}");
                Ok(false)
            }
        }
    }
}

/// So many seconds before its end a certificate is to be replaced.
fn early(facts: &CertificateFacts) -> i64 {
    EARLY.min((facts.expires_at - facts.starts_at) / 3)
}

/// Writes a file whole or not at all; nobody else may read it.
fn put(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(fresh, path)
}

#[cfg(test)]
mod tests {
    use sarsen_runtime::fake::Behaviour;

    use super::*;
    use crate::testing::World;

    #[tokio::test]
    async fn the_name_is_ours_and_has_a_certificate_of_its_own() {
        let world = World::new(Behaviour::default()).await;
        assert!(world.control.dashboard_route().is_none());
        let host = "dash.example.com".parse().unwrap();
        world.control.look_after_own_name(&host).await.unwrap();
        let first = world.control.own_certificate.lock().text.clone();
        let pair = world.control.own_certificate.lock().pair.clone().unwrap();
        assert!(pair.facts().covers("dash.example.com") && pair.facts().is_self_signed);
        world.control.look_after_own_name(&host).await.unwrap();
        assert_eq!(
            world.control.own_certificate.lock().text,
            first,
            "it is kept"
        );
        let other = "other.example.com".parse().unwrap();
        world.control.look_after_own_name(&other).await.unwrap();
        assert_ne!(world.control.own_certificate.lock().text, first);
        assert!(
            world
                .refused("apps:create sarsen-dashboard")
                .await
                .contains("ours")
        );
    }

    #[tokio::test]
    async fn the_authority_is_not_asked_for_ever() {
        let world = World::new(Behaviour::default()).await;
        for words in ["server https://ca.test/dir", "email ops@example.com"] {
            world.ok(&format!("letsencrypt:set --global {words}")).await;
        }
        let host = "dash.example.com".parse().unwrap();
        // This authority's certificates are never good enough: they vouch for themselves.
        for _ in 0..7 {
            world.control.look_after_own_name(&host).await.unwrap();
        }
        assert_eq!(world.issuer.orders(), 4);
        assert!(!world.control.own_certificate.may_be_ordered());
    }

    #[test]
    fn a_short_life_is_not_all_renewal() {
        let facts = |days: i64| CertificateFacts {
            hosts: Vec::new(),
            subject: String::new(),
            issuer: String::new(),
            starts_at: 0,
            expires_at: days * 24 * 3600,
            is_self_signed: false,
        };
        for (life, left) in [(365, 30), (90, 30), (6, 2)] {
            assert_eq!(early(&facts(life)), left * 24 * 3600, "{life} days");
        }
    }
}
