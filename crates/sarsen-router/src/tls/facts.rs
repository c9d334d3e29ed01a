//! What a certificate says about itself.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::tls::CertificateError;

/// What a certificate says. Times are Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The names it is for, lower case: the subject's common name, then the alternative names.
    pub hosts: Vec<String>,
    /// `CN=example.com`, parts separated by `; `.
    pub subject: String,
    /// Who vouches for it, parts separated by `, `.
    pub issuer: String,
    /// Valid from.
    pub starts_at: i64,
    /// Valid until.
    pub expires_at: i64,
    /// Whether subject and issuer are the same.
    pub is_self_signed: bool,
}

impl CertificateFacts {
    pub(crate) fn read(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let unreadable =
            |error: &dyn std::fmt::Display| CertificateError::Unreadable(error.to_string());
        let (_, certificate) =
            X509Certificate::from_der(der).map_err(|error| unreadable(&error))?;
        if certificate.is_ca() && !is_self_signed(&certificate) {
            return Err(CertificateError::Authority);
        }
        Ok(Self {
            hosts: hosts(&certificate),
            subject: name(certificate.subject(), "; "),
            issuer: name(certificate.issuer(), ", "),
            starts_at: certificate.validity().not_before.timestamp(),
            expires_at: certificate.validity().not_after.timestamp(),
            is_self_signed: is_self_signed(&certificate),
        })
    }

    /// Whether clients take the certificate for this host: its name, or a wildcard in place of its first label.
    pub fn covers(&self, host: &str) -> bool {
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.hosts.iter().any(|name| {
            name.eq_ignore_ascii_case(host)
                || name
                    .strip_prefix("*.")
                    .zip(parent)
                    .is_some_and(|(suffix, parent)| suffix.eq_ignore_ascii_case(parent))
        })
    }
}

fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    certificate.subject().as_raw() == certificate.issuer().as_raw()
}

fn hosts(certificate: &X509Certificate<'_>) -> Vec<String> {
    let common = certificate
        .subject()
        .iter_common_name()
        .filter_map(|name| name.as_str().ok());
    let alternative = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|names| names.value.general_names.as_slice())
        .unwrap_or_default();
    let alternative = alternative.iter().filter_map(|name| {
        if let GeneralName::DNSName(name) = name {
            Some(*name)
        } else {
            None
        }
    });
    let mut hosts: Vec<String> = Vec::new();
    for host in common.chain(alternative).map(str::to_ascii_lowercase) {
        if is_host(&host) && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

// A common name can be anything, such as a company's.
fn is_host(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'*');
    !name.is_empty() && name.bytes().all(legal)
}

fn name(name: &X509Name<'_>, separator: &str) -> String {
    let parts = name.iter_attributes().map(|attribute| {
        let oid = attribute.attr_type();
        let key = x509_parser::objects::oid2abbrev(oid, x509_parser::objects::oid_registry())
            .map_or_else(|_| oid.to_id_string(), str::to_owned);
        // A certificate's text is somebody else's: it must not move the cursor of who reads a report.
        let value = attribute.as_str().unwrap_or("?");
        let value: String = value.chars().filter(|c| !c.is_control()).collect();
        format!("{key}={value}")
    });
    parts.collect::<Vec<_>>().join(separator)
}
