//! Backups: an export as a file, compressed and encrypted, and the places where such files are kept.

mod parcel;
mod place;
mod s3;

pub use parcel::{Key, Packing, pack, test, unpack};
pub use place::{Destination, Place};
pub use s3::{S3Access, S3Storage};

/// Whether a text is a public key that backups can be encrypted for; says so when it is not.
pub fn check_recipient(text: &str) -> Result<(), String> {
    parcel::recipient(text).map(|_| ())
}
