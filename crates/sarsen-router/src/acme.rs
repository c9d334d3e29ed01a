//! Certificates from an ACME authority: proving that a name leads here, and getting a certificate for it.

mod challenges;
mod client;
#[cfg(any(test, feature = "fake"))]
mod fake;
mod hook;
mod issuer;
mod probe;

pub use challenges::{Challenges, TokenGuard};
pub use client::AcmeIssuer;
#[cfg(any(test, feature = "fake"))]
pub use fake::{Away, FakeIssuer};
pub use hook::DnsHook;
pub use issuer::{Authority, CertIssuer, CertOrder, IssueError, Issued, Proof};

#[cfg(test)]
mod tests;
