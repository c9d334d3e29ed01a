//! Certificates that we make ourselves: self-signed ones, and those that answer a challenge.

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair as Key, SerialNumber,
};
use rustls::pki_types::PrivateKeyDer;
use time::{Duration, OffsetDateTime};

use crate::tls::{CertificateError, KeyPair};

/// A certificate that was made here.
pub struct Generated {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
    /// A request for a certificate authority to sign the same, PEM.
    pub request: String,
}

/// Makes a self-signed certificate for these hosts: P-256, valid from a day ago, for clocks that are behind.
pub fn self_signed(hosts: &[&str], days: u16) -> Result<Generated, CertificateError> {
    let key = Key::generate().map_err(failed)?;
    let mut params = named(hosts)?;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::DAY;
    params.not_after = now + Duration::days(days.into());
    params.serial_number = Some(SerialNumber::from_slice(&rand::random::<[u8; 16]>()));
    let certificate = params.self_signed(&key).map_err(failed)?;
    let request = named(hosts)?.serialize_request(&key).map_err(failed)?;
    Ok(Generated {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
        request: request.pem().map_err(failed)?,
    })
}

/// The certificate that answers TLS-ALPN-01: `digest` is the SHA-256 of the key authorisation.
pub fn challenge_pair(host: &str, digest: &[u8; 32]) -> Result<KeyPair, CertificateError> {
    let key = Key::generate().map_err(failed)?;
    let mut params = named(&[host])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(failed)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| CertificateError::NoKey)?;
    KeyPair::from_der(vec![certificate.der().clone()], &key)
}

fn named(hosts: &[&str]) -> Result<CertificateParams, CertificateError> {
    let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(names).map_err(failed)?;
    // A common name holds 64 characters at most; the alternative name is what counts.
    let mut subject = DistinguishedName::new();
    if let Some(host) = hosts.iter().find(|host| host.len() <= 64) {
        subject.push(DnType::CommonName, *host);
    }
    params.distinguished_name = subject;
    Ok(params)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: rcgen::Error) -> CertificateError {
    CertificateError::Unreadable(error.to_string())
}
