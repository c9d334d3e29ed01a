//! An authority in memory, for tests: it signs what can be fetched, and can be told to refuse or to be away.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use http::Request;
use sarsen_domain::{Domain, Secret};

use crate::acme::Challenges;
use crate::acme::issuer::{Authority, CertIssuer, CertOrder, IssueError, Issued, Proof};
use crate::tls::self_signed;

/// The authority. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct FakeIssuer(Arc<State>);

#[derive(Debug, Default)]
struct State {
    challenges: Challenges,
    refused: Mutex<HashSet<Domain>>,
    issued: Mutex<HashMap<String, Life>>,
    accounts: Mutex<HashSet<String>>,
    is_away: AtomicBool,
    orders: AtomicUsize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Valid,
    Revoked,
}

impl FakeIssuer {
    /// Looks for proofs here.
    pub fn new(challenges: Challenges) -> Self {
        Self(Arc::new(State {
            challenges,
            ..State::default()
        }))
    }

    /// Refuses this name from now on.
    pub fn refuse(&self, host: Domain) {
        lock(&self.0.refused).insert(host);
    }

    /// Stops or begins to answer.
    pub fn set_away(&self, away: Away) {
        self.0.is_away.store(away == Away::Yes, Ordering::Release);
    }

    /// Forgets every account, as an authority does that was set up anew.
    pub fn forget_accounts(&self) {
        lock(&self.0.accounts).clear();
    }

    /// How many orders there were.
    pub fn orders(&self) -> usize {
        self.0.orders.load(Ordering::Acquire)
    }

    fn answer(&self) -> Result<(), IssueError> {
        if self.0.is_away.load(Ordering::Acquire) {
            return Err(IssueError::Unreachable("Connection refused".to_owned()));
        }
        Ok(())
    }

    fn check(&self, credentials: &Secret<String>) -> Result<(), IssueError> {
        if lock(&self.0.accounts).contains(credentials.expose()) {
            return Ok(());
        }
        Err(IssueError::UnknownAccount("who is that?".to_owned()))
    }

    fn look(&self, host: &Domain) -> Result<(), IssueError> {
        let token = format!("token-of-{host}");
        let _guard = self.0.challenges.answer_token(&token, "proof");
        let request = Request::get(format!("/.well-known/acme-challenge/{token}"));
        let request = request
            .body(())
            .map_err(|error| IssueError::Proof(error.to_string()))?;
        match self.0.challenges.answer(&request) {
            Some(answer) if answer.body() == "proof" => Ok(()),
            _ => Err(IssueError::Refused(format!(
                "{host}: wrong answer (unauthorized)"
            ))),
        }
    }
}

/// Whether the authority answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Away {
    Yes,
    No,
}

#[async_trait]
impl CertIssuer for FakeIssuer {
    async fn register(&self, authority: &Authority) -> Result<Secret<String>, IssueError> {
        self.answer()?;
        let mut accounts = lock(&self.0.accounts);
        let account = format!("account {} of {}", accounts.len(), authority.email);
        accounts.insert(account.clone());
        drop(accounts);
        Ok(Secret::new(account))
    }

    async fn issue(
        &self,
        _: &Authority,
        credentials: &Secret<String>,
        order: &CertOrder,
    ) -> Result<Issued, IssueError> {
        self.answer()?;
        self.check(credentials)?;
        self.0.orders.fetch_add(1, Ordering::AcqRel);
        let refused = lock(&self.0.refused).clone();
        for host in &order.hosts {
            if refused.contains(host) {
                return Err(IssueError::Refused(format!(
                    "{host} is blocked by policy (rejectedIdentifier)"
                )));
            }
            if host.wildcard_suffix().is_some() && !matches!(order.proof, Proof::Dns01(_)) {
                return Err(IssueError::Proof(format!("{host} needs a DNS hook")));
            }
            self.look(host)?;
        }
        let hosts: Vec<&str> = order.hosts.iter().map(Domain::as_str).collect();
        let made =
            self_signed(&hosts, 90).map_err(|error| IssueError::Refused(error.to_string()))?;
        lock(&self.0.issued).insert(made.certificate.clone(), Life::Valid);
        Ok(Issued {
            chain: made.certificate,
            key: Secret::new(made.key),
        })
    }

    async fn revoke(
        &self,
        _: &Authority,
        credentials: &Secret<String>,
        chain: &str,
    ) -> Result<(), IssueError> {
        self.answer()?;
        self.check(credentials)?;
        match lock(&self.0.issued).insert(chain.to_owned(), Life::Revoked) {
            Some(Life::Valid) => Ok(()),
            Some(Life::Revoked) => Err(IssueError::Refused("already revoked".to_owned())),
            None => Err(IssueError::Refused("no certificate of ours".to_owned())),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
