//! Secrets that open a door: made here, shown once, kept as hashes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sarsen_store::SecretHash;
use sha2::{Digest, Sha256};

/// 256 random bits as text that fits into a cookie, a header and a link.
pub(crate) fn make() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What of a secret is kept. It is random through and through, so that a plain hash is enough.
pub(crate) fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret).into()
}

/// Whether two secrets are the same. Takes as long for a near miss as for any other.
pub fn is_same(left: &str, right: &str) -> bool {
    let (left, right) = (hash(left), hash(right));
    left.iter()
        .zip(right)
        .fold(0, |difference, (left, right)| difference | (left ^ right))
        == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_long_and_never_the_same() {
        let (one, two) = (make(), make());
        assert!(one.len() == 43 && one != two);
        assert!(is_same(&one, &one) && !is_same(&one, &two) && !is_same(&one, ""));
    }
}
