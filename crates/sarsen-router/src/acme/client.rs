//! The real thing: RFC 8555, spoken by instant-acme.

use async_trait::async_trait;
use instant_acme::{
    Account, AccountBuilder, AccountCredentials, AuthorizationStatus, ChallengeType, Error,
    Identifier, KeyAuthorization, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
    RevocationRequest,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sarsen_domain::{Domain, Secret};

use crate::acme::issuer::{Authority, CertIssuer, CertOrder, IssueError, Issued, Proof};
use crate::acme::{Challenges, DnsHook, TokenGuard};
use crate::tls::{Certificates, ChallengeGuard, challenge_pair};

/// How long an authority may take to look at the proof, or to sign.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(90);

/// Gets certificates from authorities that speak ACME.
#[derive(Debug, Clone)]
pub struct AcmeIssuer {
    challenges: Challenges,
    certificates: Certificates,
}

/// A proof that is up, until it is taken down.
enum Standing {
    Token {
        _guard: TokenGuard,
    },
    Alpn {
        _guard: ChallengeGuard,
    },
    Record {
        hook: DnsHook,
        name: String,
        value: String,
    },
}

impl AcmeIssuer {
    /// Proofs are put up in these two, which the router's listeners show.
    pub fn new(challenges: Challenges, certificates: Certificates) -> Self {
        Self {
            challenges,
            certificates,
        }
    }

    async fn put_up(
        &self,
        host: &str,
        proof: &Proof,
        (token, authorisation): (&str, &KeyAuthorization),
    ) -> Result<Standing, IssueError> {
        match proof {
            Proof::Http01 => Ok(Standing::Token {
                _guard: self.challenges.answer_token(token, authorisation.as_str()),
            }),
            Proof::TlsAlpn01 => {
                let broken = |_| IssueError::Proof("The proof cannot be made".to_owned());
                let digest = authorisation.digest();
                let digest = <&[u8; 32]>::try_from(digest.as_ref()).map_err(broken)?;
                let pair = challenge_pair(host, digest)
                    .map_err(|error| IssueError::Proof(error.to_string()))?;
                Ok(Standing::Alpn {
                    _guard: self.certificates.answer_challenge(host, &pair),
                })
            }
            Proof::Dns01(hook) => {
                let value = authorisation.dns_value();
                hook.present(host, &value)
                    .await
                    .map_err(IssueError::Proof)?;
                Ok(Standing::Record {
                    hook: hook.clone(),
                    name: host.to_owned(),
                    value,
                })
            }
        }
    }

    async fn prove(
        &self,
        order: &mut Order,
        proof: &Proof,
        standing: &mut Vec<Standing>,
    ) -> Result<(), IssueError> {
        let mut authorisations = order.authorizations();
        while let Some(found) = authorisations.next().await {
            let mut authorisation = found.map_err(|error| told(&error))?;
            // Proved for an earlier order.
            if authorisation.status == AuthorizationStatus::Valid {
                continue;
            }
            let host = authorisation.identifier().to_string();
            let host = host.strip_prefix("*.").unwrap_or(&host).to_owned();
            let kind = kind(proof);
            let offered: Vec<String> = authorisation
                .challenges
                .iter()
                .map(|challenge| format!("{:?}", challenge.r#type))
                .collect();
            let Some(mut challenge) = authorisation.challenge(kind.clone()) else {
                return Err(IssueError::Refused(format!(
                    "{host} cannot be proved by {kind:?}; the authority offers {}",
                    offered.join(", ")
                )));
            };
            let text = challenge.key_authorization();
            standing.push(self.put_up(&host, proof, (&challenge.token, &text)).await?);
            // A quick authority has looked already, and says so here.
            let ready = challenge.set_ready().await;
            ready.map_err(|error| match told(&error) {
                IssueError::Refused(why) => IssueError::Refused(format!("{host}: {why}")),
                other @ (IssueError::Unreachable(_)
                | IssueError::UnknownAccount(_)
                | IssueError::Proof(_)) => other,
            })?;
        }
        Ok(())
    }

    async fn complete(
        &self,
        order: &mut Order,
        proof: &Proof,
        standing: &mut Vec<Standing>,
    ) -> Result<Issued, IssueError> {
        self.prove(order, proof, standing).await?;
        let patience = RetryPolicy::new().timeout(PATIENCE);
        match order.poll_ready(&patience).await {
            Ok(OrderStatus::Ready) => {}
            Ok(status) => {
                let reason = format!("the order is {status:?}");
                return Err(IssueError::Refused(verdict(order, reason).await));
            }
            Err(Error::Api(problem)) => {
                return Err(IssueError::Refused(verdict(order, words(&problem)).await));
            }
            Err(error) => return Err(told(&error)),
        }
        let key = order.finalize().await.map_err(|error| told(&error))?;
        let chain = order
            .poll_certificate(&patience)
            .await
            .map_err(|error| told(&error))?;
        Ok(Issued {
            chain,
            key: Secret::new(key),
        })
    }
}

#[async_trait]
impl CertIssuer for AcmeIssuer {
    async fn register(&self, authority: &Authority) -> Result<Secret<String>, IssueError> {
        let contact = format!("mailto:{}", authority.email);
        let contacts: &[&str] = if authority.email.is_empty() {
            &[]
        } else {
            &[&contact]
        };
        let new = NewAccount {
            contact: contacts,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let made = builder(authority)?.create(&new, authority.directory.clone(), None);
        let (_, credentials) = made.await.map_err(|error| told(&error))?;
        let text = serde_json::to_string(&credentials)
            .map_err(|error| IssueError::Refused(error.to_string()))?;
        Ok(Secret::new(text))
    }

    async fn issue(
        &self,
        authority: &Authority,
        credentials: &Secret<String>,
        order: &CertOrder,
    ) -> Result<Issued, IssueError> {
        check(order)?;
        let account = open(authority, credentials).await?;
        let names: Vec<Identifier> = order
            .hosts
            .iter()
            .map(|host| Identifier::Dns(host.to_string()))
            .collect();
        let mut opened = account
            .new_order(&NewOrder::new(&names))
            .await
            .map_err(|error| told(&error))?;
        let mut standing = Vec::new();
        let issued = self
            .complete(&mut opened, &order.proof, &mut standing)
            .await;
        for proof in standing {
            take_down(proof).await;
        }
        issued
    }

    async fn revoke(
        &self,
        authority: &Authority,
        credentials: &Secret<String>,
        chain: &str,
    ) -> Result<(), IssueError> {
        let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).map_err(|error| {
            IssueError::Proof(format!("The certificate is unreadable: {error}"))
        })?;
        let account = open(authority, credentials).await?;
        let request = RevocationRequest {
            certificate: &certificate,
            reason: None,
        };
        account.revoke(&request).await.map_err(|error| told(&error))
    }
}

async fn take_down(proof: Standing) {
    if let Standing::Record { hook, name, value } = proof
        && let Err(error) = hook.clean_up(&name, &value).await
    {
        tracing::warn!(%error, "the proof for {name} was not taken down: {error}");
    }
}

fn check(order: &CertOrder) -> Result<(), IssueError> {
    let wildcard = |host: &&Domain| host.wildcard_suffix().is_some();
    match (order.hosts.iter().find(wildcard), &order.proof) {
        (Some(host), Proof::Http01 | Proof::TlsAlpn01) => Err(IssueError::Proof(format!(
            "{host} can be proved by a DNS record only: a DNS hook is needed"
        ))),
        _ => Ok(()),
    }
}

fn kind(proof: &Proof) -> ChallengeType {
    match proof {
        Proof::Http01 => ChallengeType::Http01,
        Proof::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Proof::Dns01(_) => ChallengeType::Dns01,
    }
}

fn builder(authority: &Authority) -> Result<AccountBuilder, IssueError> {
    let made = match &authority.ca_root {
        Some(file) => Account::builder_with_root(file),
        None => Account::builder(),
    };
    made.map_err(|error| match &authority.ca_root {
        Some(file) => IssueError::Proof(format!(
            "{} holds no certificate that can be used (acme.ca_root): {error}",
            file.display()
        )),
        None => told(&error),
    })
}

async fn open(authority: &Authority, credentials: &Secret<String>) -> Result<Account, IssueError> {
    let credentials: AccountCredentials = serde_json::from_str(credentials.expose())
        .map_err(|_| IssueError::Proof("The stored account is damaged".to_owned()))?;
    let account = builder(authority)?.from_credentials(credentials).await;
    account.map_err(|error| told(&error))
}

// What the authority found when it looked at the proofs; else what it says about the whole.
async fn verdict(order: &mut Order, of_the_whole: String) -> String {
    let mut reasons = Vec::new();
    let mut authorisations = order.authorizations();
    while let Some(Ok(mut authorisation)) = authorisations.next().await {
        // What is remembered is from before the authority looked.
        if authorisation.refresh().await.is_err() {
            continue;
        }
        let host = authorisation.identifier().to_string();
        let errors = authorisation
            .challenges
            .iter()
            .filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(errors.map(|problem| format!("{host}: {}", words(problem))));
    }
    if reasons.is_empty() {
        return of_the_whole;
    }
    reasons.join("; ")
}

fn words(problem: &Problem) -> String {
    let mut text = problem
        .detail
        .clone()
        .unwrap_or_else(|| problem.to_string());
    for part in &problem.subproblems {
        text.push_str("; ");
        text.push_str(&part.to_string());
    }
    if let Some(kind) = &problem.r#type {
        let kind = kind.rsplit(':').next().unwrap_or(kind);
        text.push_str(&format!(" ({kind})"));
    }
    // It ends up in terminals.
    text.chars()
        .filter(|c| !c.is_control())
        .take(2000)
        .collect()
}

fn told(error: &Error) -> IssueError {
    if let Error::Api(problem) = error {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        return if kind.ends_with(":accountDoesNotExist") {
            IssueError::UnknownAccount(words(problem))
        } else {
            IssueError::Refused(words(problem))
        };
    }
    if let Error::Timeout(_) = error {
        return IssueError::Unreachable("it took too long to answer".to_owned());
    }
    IssueError::Unreachable(chain_of(error))
}

// The outermost error of an HTTP client says next to nothing.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        next = inner.source();
    }
    text
}
