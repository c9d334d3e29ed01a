//! Who gives certificates: the seam between what we want and the authority that has to be convinced.

use std::path::PathBuf;

use async_trait::async_trait;
use sarsen_domain::{Domain, Secret};

use crate::acme::DnsHook;

/// An authority, and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// The URL of its ACME directory.
    pub directory: String,
    /// Whom it writes to when something is wrong; empty for nobody.
    pub email: String,
    /// A file with the certificate that the authority's own website is vouched for by; the system's roots without.
    pub ca_root: Option<PathBuf>,
}

/// A certificate to be.
#[derive(Debug, Clone)]
pub struct CertOrder {
    /// The names; wildcards only with [`Proof::Dns01`].
    pub hosts: Vec<Domain>,
    /// How to prove that they lead here.
    pub proof: Proof,
}

/// How to prove that a name is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// A text under a path, fetched from port 80.
    Http01,
    /// A certificate shown on port 443.
    TlsAlpn01,
    /// A TXT record, set by a hook.
    Dns01(DnsHook),
}

/// What an authority gave.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate and its intermediates, PEM.
    pub chain: String,
    /// Its key, PEM.
    pub key: Secret<String>,
}

/// Why there is no certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The authority does not answer, or not as an authority would.
    #[error("The certificate authority cannot be reached: {0}")]
    Unreachable(String),
    /// The authority says no, in its own words.
    #[error("The certificate authority refused: {0}")]
    Refused(String),
    /// The authority does not know the account, any more: open another one.
    #[error("The certificate authority does not know the account: {0}")]
    UnknownAccount(String),
    /// The proof could not be put up.
    #[error("{0}")]
    Proof(String),
}

/// An authority that certificates are got from.
#[async_trait]
pub trait CertIssuer: Send + Sync {
    /// Opens an account; what comes back is to be kept, and shown with every order.
    async fn register(&self, authority: &Authority) -> Result<Secret<String>, IssueError>;

    /// Proves that the names are ours and gets a certificate for them.
    async fn issue(
        &self,
        authority: &Authority,
        credentials: &Secret<String>,
        order: &CertOrder,
    ) -> Result<Issued, IssueError>;

    /// Has a certificate declared invalid.
    async fn revoke(
        &self,
        authority: &Authority,
        credentials: &Secret<String>,
        chain: &str,
    ) -> Result<(), IssueError>;
}
