//! What can go wrong in the store. Each error reads as a sentence for the person who gave the command.

use std::path::PathBuf;

use sarsen_domain::{AppName, BuildId, KeyName, ReleaseNumber, ServiceName};

/// Any failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No app has this name.
    #[error("App {0} does not exist")]
    NoSuchApp(AppName),
    /// Another app has the name that was asked for.
    #[error("Name is already taken")]
    AppExists,
    /// Something else than an app is not there: `Release v3 of app x`.
    #[error("{what} does not exist")]
    NoSuch {
        /// What was looked for.
        what: String,
    },
    /// The change contradicts what is stored.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// A sealed value or its key is unusable.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// The database file cannot be made private.
    #[error("Cannot use {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// There is no room for the change.
    #[error(
        "Nothing was changed, because the disk of the database is full: make room on it, then try again"
    )]
    Full,
    /// SQLite refused.
    #[error("The database cannot be used: {0}")]
    Database(sqlx::Error),
    /// A stored value does not have the form that its type demands.
    #[error("The database holds a damaged value: {0}")]
    Corrupt(String),
}

/// SQLite's code for it.
const SQLITE_FULL: &str = "13";

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        if code.as_deref() == Some(SQLITE_FULL) {
            return Self::Full;
        }
        Self::Database(error)
    }
}

impl StoreError {
    pub(crate) fn no_such(what: impl Into<String>) -> Self {
        Self::NoSuch { what: what.into() }
    }

    pub(crate) fn corrupt(column: &str, why: impl std::fmt::Display) -> Self {
        Self::Corrupt(format!("{column}: {why}"))
    }
}

/// Changes that contradict what is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Another key has the name.
    #[error("Duplicate SSH key name: {0} exists already")]
    KeyName(KeyName),
    /// The same key was added under this name before.
    #[error("Duplicate SSH public key: it was added as {0}")]
    PublicKey(KeyName),
    /// Only a release that waits can fail.
    #[error("Release {0} is live or was live and cannot be marked as failed")]
    ReleaseServed(ReleaseNumber),
    /// A failed release never becomes live.
    #[error("Release {0} has failed and cannot go live")]
    ReleaseFailed(ReleaseNumber),
    /// The promotion would leave two live containers in one place of the formation.
    #[error("A container of build {0} would take a place that another one still holds")]
    PlaceTaken(BuildId),
    /// Another service of the addon has the name.
    #[error("Service {0} already exists")]
    ServiceExists(ServiceName),
    /// Apps use the service.
    #[error("Cannot delete linked service {0}: unlink it from its apps first")]
    ServiceLinked(ServiceName),
    /// Another storage entry has the name.
    #[error("Storage entry {0} already exists")]
    StorageExists(String),
    /// Apps mount the entry.
    #[error("Storage entry {0} is mounted by {1}: unmount it first")]
    StorageMounted(String, String),
    /// Something is mounted there already.
    #[error("Mount path already exists.")]
    MountExists,
    /// Another token has the name.
    #[error("There is a token {0} already: revoke it first, or choose another name")]
    TokenName(String),
    /// The app uses the service already.
    #[error("Service {0} is linked to {1} already")]
    LinkExists(ServiceName, AppName),
}

/// Why a value cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There are sealed values, and the file that opens them is gone.
    #[error(
        "The key file {} is missing, and without it the stored config values cannot be read. Restore it from a backup.",
        .0.display()
    )]
    KeyMissing(PathBuf),
    /// The key file is another installation's.
    #[error(
        "The key file {} does not fit this database: it belongs to another installation or was replaced. Restore the right one from a backup.",
        .0.display()
    )]
    KeyForeign(PathBuf),
    /// The key file does not hold a key.
    #[error("The key file {} is damaged: it must hold exactly 32 bytes", .0.display())]
    KeyDamaged(PathBuf),
    /// The key file cannot be read or made.
    #[error("Cannot use the key file {}: {source}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The value was altered, or moved from another place.
    #[error("The stored value of {0} was tampered with or damaged: it does not open")]
    Tampered(String),
    /// The cipher refused (a value beyond its limit).
    #[error("The value of {0} cannot be sealed")]
    Refused(String),
}
