//! Certificates from an ACME authority for apps: asked for by a person or by themselves, renewed in good time, and
//! never asked for more often than an authority likes.

mod budget;
mod keeper;
mod names;
pub(crate) mod own_name;
pub(crate) mod settings;

use std::sync::Arc;
use std::time::Duration;

use sarsen_domain::{AppName, Domain, Secret};
use sarsen_router::{Authority, CertIssuer, CertOrder, IssueError, Issued};
use sarsen_store::{CertificateSource, OrderOutcome, StoreError, Wanted};

use crate::certificates::Upload;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::time::now;

pub(crate) use keeper::Patience;
pub(crate) use settings::AcmeSetup;

/// The longest that one certificate may take, hooks included.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// Who issues certificates, and the turn to ask: one order at a time.
#[derive(Clone)]
pub(crate) struct Acme {
    pub(crate) issuer: Arc<dyn CertIssuer>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Acme {
    pub(crate) fn new(issuer: Arc<dyn CertIssuer>) -> Self {
        Self {
            issuer,
            turn: Arc::default(),
        }
    }
}

/// A certificate that was got.
#[derive(Debug)]
pub(crate) struct Obtained {
    /// Its names.
    pub hosts: Vec<Domain>,
    /// Names of the app that were left out, each with the reason.
    pub left_out: Vec<String>,
    /// Unix seconds.
    pub expires_at: i64,
}

impl Control {
    /// Gets a certificate for an app now, and writes down how it went.
    pub(crate) async fn obtain_certificate(&self, app: &AppName) -> Outcome<Obtained> {
        let _turn = self.acme.turn.lock().await;
        let setup = self.acme_setup(app).await?;
        let result = tokio::time::timeout(PATIENCE, self.obtain(app, &setup)).await;
        let result = result.unwrap_or_else(|_| {
            Err(Failure::new(
                "Getting a certificate took longer than 10 minutes and was given up",
            ))
        });
        match &result {
            Ok(obtained) => {
                let renew_at = settings::renew_at(&setup, obtained.expires_at, now());
                self.store.acme().succeeded(app, renew_at).await?;
            }
            Err(failure) => {
                let failures = self.store.acme().state(app).await?;
                let before = failures.map_or(0, |state| state.failures);
                let retry_at = now() + budget::back_off(before);
                self.store
                    .acme()
                    .failed(app, &failure.message, retry_at)
                    .await?;
            }
        }
        result
    }

    async fn obtain(&self, app: &AppName, setup: &AcmeSetup) -> Outcome<Obtained> {
        let (hosts, left_out) = self.provable_names(app, setup).await?;
        let order = CertOrder {
            hosts: hosts.clone(),
            proof: setup.proof.clone(),
        };
        let issued = self.ask_within_budget(&setup.authority, &order).await?;
        let Issued { chain, key } = issued;
        let upload = Upload { chain, key };
        let facts = self
            .install_certificate(app, &upload, CertificateSource::Acme)
            .await?;
        tracing::info!(app.name = %app, "{app} has a certificate for {}", budget::key(&hosts));
        Ok(Obtained {
            hosts,
            left_out,
            expires_at: facts.expires_at,
        })
    }

    /// Asks, unless the authority has been asked too often, and counts it.
    async fn ask_within_budget(&self, authority: &Authority, order: &CertOrder) -> Outcome<Issued> {
        let (key, directory) = (budget::key(&order.hosts), &authority.directory);
        let acme = self.store.acme();
        budget::check(&acme.orders_lately(directory, &key).await?, now())?;
        let id = acme.begin_order(directory, &key).await?;
        let issued = self.ask(authority, order).await;
        // An authority that was not reached has counted nothing either.
        let outcome = match &issued {
            Ok(_) => OrderOutcome::Issued,
            Err(IssueError::Refused(_)) => OrderOutcome::Failed,
            Err(_) => OrderOutcome::Unasked,
        };
        acme.end_order(id, outcome).await?;
        Ok(issued?)
    }

    /// Has the app's certificate declared invalid, and takes it away.
    pub(crate) async fn revoke_certificate(&self, app: &AppName) -> Outcome {
        let stored = self.store.certificates().get(app).await?;
        let stored = stored.filter(|stored| stored.source == CertificateSource::Acme);
        let stored = stored.ok_or_else(|| {
            Failure::new(format!("{app} has no certificate of an ACME authority"))
        })?;
        let setup = self.acme_setup(app).await?;
        let credentials = self.acme_account(&setup.authority).await?;
        let _turn = self.acme.turn.lock().await;
        let issuer = &self.acme.issuer;
        issuer
            .revoke(&setup.authority, &credentials, &stored.chain)
            .await?;
        // It would be back within a minute.
        self.store.acme().enable(app, Wanted::No).await?;
        self.remove_certificate(app).await?;
        Ok(())
    }

    /// Asks with our account, and once more with another if the authority does not know it any more.
    async fn ask(&self, authority: &Authority, order: &CertOrder) -> Result<Issued, IssueError> {
        let issuer = &self.acme.issuer;
        let credentials = self.acme_account(authority).await?;
        match issuer.issue(authority, &credentials, order).await {
            Err(IssueError::UnknownAccount(_)) => {
                let credentials = self.new_acme_account(authority).await?;
                issuer.issue(authority, &credentials, order).await
            }
            asked => asked,
        }
    }

    async fn acme_account(&self, authority: &Authority) -> Result<Secret<String>, IssueError> {
        let (directory, email) = (&authority.directory, &authority.email);
        let known = self.store.acme().account(directory, email).await;
        match known.map_err(own)? {
            Some(known) => Ok(known),
            None => self.new_acme_account(authority).await,
        }
    }

    async fn new_acme_account(&self, authority: &Authority) -> Result<Secret<String>, IssueError> {
        let credentials = self.acme.issuer.register(authority).await?;
        let (directory, email) = (&authority.directory, &authority.email);
        let acme = self.store.acme();
        let kept = acme.keep_account(directory, email, &credentials).await;
        kept.map_err(own)?;
        Ok(credentials)
    }
}

// A failure on our side, before anything is asked.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn own(error: StoreError) -> IssueError {
    IssueError::Proof(error.to_string())
}

impl From<IssueError> for Failure {
    fn from(error: IssueError) -> Self {
        Self::new(error.to_string())
    }
}

#[cfg(test)]
mod tests;
