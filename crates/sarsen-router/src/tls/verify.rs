//! Whether browsers would believe a certificate, going by this machine's list of authorities.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};

use crate::tls::pair::certificates;

/// Whether a chain (PEM) leads to an authority that this machine knows, and is for this host. Reads files.
pub fn is_vouched_for(chain: &str, host: &str) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    // A wildcard stands for any name.
    let name = ServerName::try_from(host.replacen('*', "any", 1));
    let (Ok(certificates), Ok(name)) = (certificates(chain), name) else {
        return false;
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
    let (Ok(verifier), Some((first, rest))) = (verifier, certificates.split_first()) else {
        return false;
    };
    verifier
        .verify_server_cert(first, rest, &name, &[], UnixTime::now())
        .is_ok()
}
