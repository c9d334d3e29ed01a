//! Looking after certificates without being asked: new apps get one, old ones are renewed, failures are tried again
//! later. Level-triggered: what is due follows from the store.

use std::time::Duration;

use sarsen_domain::AppName;
use sarsen_store::{AcmeState, CertificateSource, Wanted};
use tokio_util::sync::CancellationToken;

use crate::acme::Obtained;
use crate::acme::names::hopeless;
use crate::acme::settings::CONCERN;
use crate::certificates::uncovered;
use crate::control::Control;
use crate::failure::Outcome;
use crate::time::now;

/// Between two looks. A new domain waits no longer for its certificate.
const PAUSE: Duration = Duration::from_secs(30);

/// Names that could not be proved are tried again after so long, in seconds.
const WIDEN_AFTER: i64 = 3600;

/// What one look came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    pub renewed: Vec<AppName>,
    /// With the reason.
    pub failed: Vec<(AppName, String)>,
}

/// Which apps to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Those whose time to be tried again has come.
    BackOff,
    /// Also those that failed a moment ago: a person asks.
    None,
}

impl Control {
    /// Looks after certificates until the daemon ends.
    pub async fn keep_certificates(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = shutdown.cancelled() => return,
            }
            // A proof that is cut short is put up again at the next start.
            let look = self.renew_certificates(None, Patience::BackOff);
            let looked = tokio::select! {
                looked = Box::pin(look) => looked,
                () = shutdown.cancelled() => return,
            };
            if let Err(failure) = looked {
                tracing::error!(error = %failure, "cannot look after certificates: {failure}");
            }
        }
    }

    /// Gets what is due for all apps, or for one.
    pub(crate) async fn renew_certificates(
        &self,
        only: Option<&AppName>,
        patience: Patience,
    ) -> Outcome<Kept> {
        self.enable_new_apps().await?;
        let mut kept = Kept::default();
        for (app, state) in self.store.acme().all().await? {
            let is_meant = only.is_none_or(|only| *only == app);
            let may = patience == Patience::None || state.retry_at <= now();
            if !is_meant || !state.is_enabled || !may || !self.is_due(&app, &state).await? {
                continue;
            }
            match self.obtain_certificate(&app).await {
                Ok(obtained) => {
                    self.tell_of_certificate(&app, &obtained).await?;
                    kept.renewed.push(app);
                }
                Err(failure) => {
                    let text = format!("No certificate: {}", failure.message);
                    self.note("certificate", &app, &text, 1).await;
                    tracing::warn!(app.name = %app, error = %failure, "{app} gets no certificate: {failure}");
                    kept.failed.push((app, failure.message));
                }
            }
        }
        Ok(kept)
    }

    async fn tell_of_certificate(&self, app: &AppName, obtained: &Obtained) -> Outcome {
        let names: Vec<_> = obtained.hosts.iter().map(ToString::to_string).collect();
        let text = format!("Got a certificate for {}", names.join(", "));
        self.note("certificate", app, &text, 0).await;
        if obtained.left_out.is_empty() {
            return Ok(());
        }
        let left_out = obtained.left_out.join("; ");
        tracing::warn!(app.name = %app, "names of {app} without a certificate: {left_out}");
        Ok(self
            .store
            .acme()
            .wait_until(app, now() + WIDEN_AFTER)
            .await?)
    }

    /// Whether an app needs another certificate than it has.
    async fn is_due(&self, app: &AppName, state: &AcmeState) -> Outcome<bool> {
        let Some((stored, pair)) = self.certificate(app).await? else {
            return Ok(true);
        };
        // Somebody brought a certificate of their own: it is not for us to replace it.
        if stored.source == CertificateSource::Imported {
            return Ok(false);
        }
        if stored.source == CertificateSource::Generated
            || state.renew_at.is_none_or(|at| at <= now())
        {
            return Ok(true);
        }
        let setup = self.acme_setup(app).await?;
        let missing = uncovered(pair.facts(), self.app_domains(app).await?);
        Ok(missing
            .iter()
            .any(|domain| hopeless(domain, &setup).is_none()))
    }

    /// With `automatic` on, apps about which nobody said anything get certificates as soon as they have a name for it.
    async fn enable_new_apps(&self) -> Outcome {
        if CONCERN.global(self, "automatic").await? != "true" {
            return Ok(());
        }
        let known = self.store.acme().all().await?;
        for app in self.store.apps().list().await? {
            if known.contains_key(&app) || self.store.certificates().exists(&app).await? {
                continue;
            }
            let Ok(setup) = self.acme_setup(&app).await else {
                continue;
            };
            let domains = self.app_domains(&app).await?;
            if domains
                .iter()
                .any(|domain| hopeless(domain, &setup).is_none())
            {
                self.store.acme().enable(&app, Wanted::Yes).await?;
                tracing::info!(app.name = %app, "{app} gets a certificate by itself");
            }
        }
        Ok(())
    }
}
