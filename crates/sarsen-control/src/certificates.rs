//! Certificates: from the store to the router, live at once; and what people are told about them.

mod mappings;
mod upload;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use sarsen_domain::{AppName, Domain, Secret};
use sarsen_router::{CertificateFacts, CertificateSet, HostCertificates, KeyPair};
use sarsen_store::{CertificateSource, NewCertificate, StoredCertificate};

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::time::now;

pub(crate) use mappings::with_https;
pub(crate) use upload::{Upload, read_file, read_tar};

/// From so long before its end a certificate is spoken of as expiring.
const EXPIRES_SOON: i64 = 14 * 24 * 3600;

/// Certificates that were read, by their id in the store: a row's certificate never changes.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadCertificates(Arc<Mutex<HashMap<i64, Arc<KeyPair>>>>);

/// An app's certificate, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateView {
    /// The app.
    pub app: AppName,
    /// `imported`, `generated` or `acme`.
    pub source: &'static str,
    /// What it says.
    pub facts: CertificateFacts,
    /// Domains of the app that it is not for.
    pub uncovered: Vec<Domain>,
    /// What is wrong with it, or soon will be.
    pub warning: Option<String>,
}

impl Control {
    /// Every certificate in use, the one that ends first in front.
    pub async fn certificates(&self) -> Outcome<Vec<CertificateView>> {
        let mut views = Vec::new();
        for (app, id) in self.store.certificates().current().await? {
            // One that was replaced a moment ago is not missed.
            let (Some(pair), Some(stored)) = (
                self.certificate_pair(id).await?,
                self.store.certificates().by_id(id).await?,
            ) else {
                continue;
            };
            let domains = self.app_domains(&app).await?;
            views.push(view(app, stored.source, pair.facts().clone(), domains));
        }
        views.sort_by_key(|view| view.facts.expires_at);
        Ok(views)
    }

    /// The certificate of an app, and what it says.
    pub(crate) async fn certificate(
        &self,
        app: &AppName,
    ) -> Outcome<Option<(StoredCertificate, Arc<KeyPair>)>> {
        let Some(stored) = self.store.certificates().get(app).await? else {
            return Ok(None);
        };
        let pair = self.certificate_pair(stored.id).await?;
        Ok(pair.map(|pair| (stored, pair)))
    }

    /// Gives an app a certificate; from the next handshake on it is shown.
    pub(crate) async fn install_certificate(
        &self,
        app: &AppName,
        upload: &Upload,
        source: CertificateSource,
    ) -> Outcome<CertificateFacts> {
        let pair = KeyPair::from_pem(&upload.chain, upload.key.expose())
            .map_err(|error| Failure::new(error.to_string()))?;
        let new = NewCertificate {
            source,
            chain: upload.chain.clone(),
            key: Secret::new(upload.key.expose().clone()),
        };
        self.store.certificates().set(app, &new).await?;
        self.map_https(app).await?;
        self.refresh_routes().await?;
        // A renewal comes without a command.
        self.refresh_views(app).await;
        Ok(pair.facts().clone())
    }

    /// Goes back to the certificate before, if there is one.
    pub(crate) async fn roll_back_certificate(
        &self,
        app: &AppName,
    ) -> Outcome<Option<CertificateFacts>> {
        let Some(previous) = self.store.certificates().rollback(app).await? else {
            return Ok(None);
        };
        self.map_https(app).await?;
        self.refresh_routes().await?;
        let pair = self.certificate_pair(previous.id).await?;
        Ok(pair.map(|pair| pair.facts().clone()))
    }

    /// Takes an app's certificate away; whether there was one.
    pub(crate) async fn remove_certificate(&self, app: &AppName) -> Outcome<bool> {
        let removed = self.store.certificates().remove(app).await?;
        if removed {
            self.unmap_https(app).await?;
            self.refresh_routes().await?;
        }
        Ok(removed)
    }

    /// What the router is to show for these hosts. Called with the routes, so that names and certificates change
    /// together.
    pub(crate) async fn certificate_set(
        &self,
        hosts: &BTreeMap<AppName, Vec<Domain>>,
    ) -> Outcome<CertificateSet> {
        let current = self.store.certificates().current().await?;
        let mut all = Vec::with_capacity(current.len());
        for (app, id) in &current {
            let hosts = hosts.get(app).cloned().unwrap_or_default();
            match self.certificate_pair(*id).await {
                Ok(Some(pair)) => all.push(HostCertificates {
                    hosts,
                    pairs: vec![pair],
                }),
                Ok(None) => {}
                // The other apps are not to suffer for it.
                Err(error) => tracing::error!(
                    app.name = %app, %error,
                    "the certificate of {app} cannot be used: {error}"
                ),
            }
        }
        all.extend(self.dashboard_certificate());
        self.read_certificates.keep_only(&current);
        Ok(CertificateSet::new(all))
    }

    async fn certificate_pair(&self, id: i64) -> Outcome<Option<Arc<KeyPair>>> {
        if let Some(pair) = self.read_certificates.get(id) {
            return Ok(Some(pair));
        }
        let Some(stored) = self.store.certificates().by_id(id).await? else {
            return Ok(None);
        };
        let pair = KeyPair::from_pem(&stored.chain, stored.key.expose())
            .map_err(|error| Failure::new(error.to_string()))?;
        let pair = Arc::new(pair);
        self.read_certificates.put(id, Arc::clone(&pair));
        Ok(Some(pair))
    }
}

impl ReadCertificates {
    fn get(&self, id: i64) -> Option<Arc<KeyPair>> {
        self.lock().get(&id).cloned()
    }

    fn put(&self, id: i64, pair: Arc<KeyPair>) {
        self.lock().insert(id, pair);
    }

    fn keep_only(&self, current: &[(AppName, i64)]) {
        self.lock()
            .retain(|id, _| current.iter().any(|(_, kept)| kept == id));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Arc<KeyPair>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn view(
    app: AppName,
    source: CertificateSource,
    facts: CertificateFacts,
    domains: Vec<Domain>,
) -> CertificateView {
    let uncovered = uncovered(&facts, domains);
    CertificateView {
        warning: warning(&facts, &uncovered, now()),
        app,
        source: source.as_str(),
        facts,
        uncovered,
    }
}

/// The domains that a certificate is not for.
pub(crate) fn uncovered(facts: &CertificateFacts, domains: Vec<Domain>) -> Vec<Domain> {
    domains
        .into_iter()
        .filter(|domain| !domain.is_catch_all() && !facts.covers(domain.as_str()))
        .collect()
}

/// What a person should know before visitors do.
pub(crate) fn warning(facts: &CertificateFacts, uncovered: &[Domain], now: i64) -> Option<String> {
    let days = (facts.expires_at - now) / (24 * 3600);
    if facts.expires_at <= now {
        return Some("The certificate has expired: visitors are warned off".to_owned());
    }
    if facts.starts_at > now {
        return Some("The certificate is not valid yet: visitors are warned off".to_owned());
    }
    if facts.expires_at - now < EXPIRES_SOON {
        return Some(format!("The certificate expires in {days} days"));
    }
    let names: Vec<&str> = uncovered.iter().map(Domain::as_str).collect();
    (!names.is_empty()).then(|| format!("The certificate is not for {}", names.join(", ")))
}

#[cfg(test)]
mod tests;
