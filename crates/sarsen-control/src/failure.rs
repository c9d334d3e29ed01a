//! What a command says when it cannot do as asked: one sentence and an exit code. Every error of the crates below
//! becomes one of these here, and nowhere else.

use sarsen_domain::Invalid;

/// Said to who follows something when the daemon ends.
pub(crate) const STOPPING: &str = "The daemon is stopping: try again in a moment";

/// App does not exist (Dokku's code for it).
pub(crate) const NO_SUCH_APP: u8 = 20;

/// A command's failure, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What is wrong and what to do; empty when everything was said already.
    pub message: String,
}

/// What a command comes to.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// Exit code 1 with this sentence.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            code: 1,
            message: message.into(),
        }
    }

    /// An exit code that needs no words.
    pub fn silent(code: u8) -> Self {
        Self {
            code,
            message: String::new(),
        }
    }

    /// The same sentence with another exit code.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Invalid> for Failure {
    fn from(error: Invalid) -> Self {
        Self::new(error.0)
    }
}

impl From<sarsen_store::StoreError> for Failure {
    fn from(error: sarsen_store::StoreError) -> Self {
        let code = if matches!(error, sarsen_store::StoreError::NoSuchApp(_)) {
            NO_SUCH_APP
        } else {
            1
        };
        Self::new(error.to_string()).with_code(code)
    }
}

macro_rules! plain_errors {
    ($($error:ty),* $(,)?) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::new(error.to_string())
            }
        })*
    };
}
plain_errors!(
    sarsen_runtime::RuntimeError,
    sarsen_git::GitError,
    sarsen_build::BuildError,
    sarsen_deploy::DeployError,
    sarsen_addons::AddonError,
    std::io::Error,
);
