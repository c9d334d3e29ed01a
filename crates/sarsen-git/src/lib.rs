//! Git on this host: bare repositories, the wire protocol, and source trees as tar streams.
//!
//! The protocol is spoken by the `git` program, started with argv, an explicit environment and its own process
//! group. Refs and trees are read in process, so that a deploy never needs a checkout on disk.

mod child;
mod error;
mod hooks;
mod import;
mod plan;
mod quarantine;
mod remote;
mod repos;
mod serve;
mod submodules;
mod tree;
mod workbench;

pub use error::GitError;
pub use import::{ArchiveType, Import, Imported};
pub use plan::{Accepted, Deploy, DeployBranch, PushPlan, RefUpdate, plan_push};
pub use repos::{CommitInfo, RepoSettings, Repos, is_whole as is_repository};
pub use serve::{GitIo, ReceiveOptions};
pub use submodules::{SubmoduleContext, SubmodulePolicy};
pub use tree::{ExtraFile, Quarantine, SourceTree, Survey, TarOptions, TarStream, TreeLimits};
pub use workbench::Workbench;
