//! Sealing of config values: XChaCha20-Poly1305 under a key that is never in the database. What a value is for is
//! part of the seal, so that a value moved to another place does not open there.

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};

use crate::{SealError, StoreError};

const NONCE_BYTES: usize = 24;

/// Seals and opens values.
#[derive(Clone)]
pub(crate) struct Sealer(XChaCha20Poly1305);

/// The place that a value is sealed for.
pub(crate) enum Place<'a> {
    /// Tells whether the key fits.
    Canary,
    /// A config var; no app means global.
    Config { app_id: Option<i64>, key: &'a str },
    /// The whole environment of a release.
    Release { app_id: i64, number: i64 },
    /// The hash of a password that the router asks for.
    HttpAuth { app_id: i64, name: &'a str },
    /// The password for another git server.
    GitCredential { host: &'a str },
    /// The passwords of a service.
    Service { id: i64 },
    /// What people chose for a service.
    ServiceSettings { id: i64 },
    /// The password of a registry; no app means global.
    Registry {
        app_id: Option<i64>,
        server: &'a str,
    },
    /// The key of a certificate.
    Certificate { id: i64 },
    /// The account at an ACME authority.
    AcmeAccount { id: i64 },
    /// What somebody registered in the service catalog.
    Registration {
        kind: &'a str,
        node: &'a str,
        id: &'a str,
    },
    /// A property that holds a password; no app means global.
    Property {
        app_id: Option<i64>,
        plugin: &'a str,
        key: &'a str,
    },
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(Key::from_slice(key)))
    }

    /// The nonce followed by the sealed text. Random nonces of 24 bytes do not meet within any installation's life.
    pub(crate) fn seal(&self, place: &Place<'_>, value: &str) -> Result<Vec<u8>, StoreError> {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let associated = place.to_string();
        let payload = Payload {
            msg: value.as_bytes(),
            aad: associated.as_bytes(),
        };
        let sealed = self
            .0
            .encrypt(XNonce::from_slice(&nonce), payload)
            .map_err(|_| SealError::Refused(place.describe()))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// The text that was sealed for this very place.
    pub(crate) fn open(&self, place: &Place<'_>, stored: &[u8]) -> Result<String, StoreError> {
        self.try_open(place, stored)
            .ok_or_else(|| SealError::Tampered(place.describe()).into())
    }

    fn try_open(&self, place: &Place<'_>, stored: &[u8]) -> Option<String> {
        let (nonce, sealed) = stored.split_at_checked(NONCE_BYTES)?;
        let associated = place.to_string();
        let payload = Payload {
            msg: sealed,
            aad: associated.as_bytes(),
        };
        let opened = self.0.decrypt(XNonce::from_slice(nonce), payload).ok()?;
        String::from_utf8(opened).ok()
    }
}

impl Place<'_> {
    fn describe(&self) -> String {
        match self {
            Self::Canary => "the key check".to_owned(),
            Self::Config { key, .. } => (*key).to_owned(),
            Self::Release { number, .. } => format!("the config of release v{number}"),
            Self::HttpAuth { name, .. } => format!("the password of {name}"),
            Self::GitCredential { host } => format!("the password for {host}"),
            Self::Service { .. } => "the passwords of a service".to_owned(),
            Self::ServiceSettings { .. } => "the settings of a service".to_owned(),
            Self::Registry { server, .. } => format!("the password for {server}"),
            Self::Certificate { .. } => "the key of a certificate".to_owned(),
            Self::AcmeAccount { .. } => "the account at a certificate authority".to_owned(),
            Self::Registration { kind, id, .. } => format!("the registered {kind} {id}"),
            Self::Property { plugin, key, .. } => format!("{plugin} {key}"),
        }
    }
}

/// The associated data. Ids are numbers and keys hold no slash, so no two places read alike.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canary => f.write_str("sarsen/canary"),
            Self::Config { app_id: None, key } => write!(f, "sarsen/config/global/{key}"),
            Self::Config {
                app_id: Some(id),
                key,
            } => write!(f, "sarsen/config/{id}/{key}"),
            Self::Release { app_id, number } => write!(f, "sarsen/release/{app_id}/{number}"),
            Self::HttpAuth { app_id, name } => write!(f, "sarsen/http-auth/{app_id}/{name}"),
            Self::GitCredential { host } => write!(f, "sarsen/git-credential/{host}"),
            Self::Service { id } => write!(f, "sarsen/service/{id}"),
            Self::ServiceSettings { id } => write!(f, "sarsen/service-settings/{id}"),
            Self::Registry {
                app_id: None,
                server,
            } => write!(f, "sarsen/registry/global/{server}"),
            Self::Registry {
                app_id: Some(id),
                server,
            } => write!(f, "sarsen/registry/{id}/{server}"),
            Self::Certificate { id } => write!(f, "sarsen/certificate/{id}"),
            Self::AcmeAccount { id } => write!(f, "sarsen/acme-account/{id}"),
            // Nodes and ids may hold slashes: the length tells where one ends.
            Self::Registration { kind, node, id } => {
                write!(f, "sarsen/registration/{kind}/{}/{node}/{id}", node.len())
            }
            Self::Property {
                app_id: None,
                plugin,
                key,
            } => write!(f, "sarsen/property/global/{plugin}/{key}"),
            Self::Property {
                app_id: Some(id),
                plugin,
                key,
            } => write!(f, "sarsen/property/{id}/{plugin}/{key}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn var(app_id: Option<i64>, key: &str) -> Place<'_> {
        Place::Config { app_id, key }
    }

    #[test]
    fn a_value_opens_in_its_place_only() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal(&var(Some(1), "A"), "s3cret").unwrap();
        assert_eq!(sealer.open(&var(Some(1), "A"), &sealed).unwrap(), "s3cret");
        for elsewhere in [var(Some(2), "A"), var(Some(1), "B"), var(None, "A")] {
            let error = sealer.open(&elsewhere, &sealed).unwrap_err();
            assert!(error.to_string().contains("tampered"), "{error}");
        }
        let release = Place::Release {
            app_id: 1,
            number: 1,
        };
        assert!(sealer.open(&release, &sealed).is_err());
        assert!(
            Sealer::new(&[8; 32])
                .open(&var(Some(1), "A"), &sealed)
                .is_err()
        );
    }

    #[test]
    fn equal_values_do_not_look_equal_and_damage_shows() {
        let sealer = Sealer::new(&[7; 32]);
        let place = var(None, "A");
        let mut sealed = sealer.seal(&place, "x").unwrap();
        assert_ne!(sealed, sealer.seal(&place, "x").unwrap());
        sealed[NONCE_BYTES] ^= 1;
        assert!(sealer.open(&place, &sealed).is_err());
        assert!(sealer.open(&place, b"short").is_err());
    }
}
