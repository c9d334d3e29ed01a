//! What a push means: which commit deploys, what becomes the deploy branch, what is refused.

use sarsen_domain::{Branch, CommitId, Invalid};

/// One ref that a push wants to change: a line of what git hands to `pre-receive`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefUpdate {
    /// What it points to now; zeros when it is new.
    pub old: CommitId,
    /// What it shall point to (perhaps an annotated tag: peel it); zeros when it goes away.
    pub new: CommitId,
    /// The full name: `refs/heads/main`.
    pub name: String,
}

/// The app's setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeployBranch {
    /// Neither the app nor the host has one: the first branch pushed becomes it.
    Unset,
    /// This one deploys.
    Set(Branch),
}

/// The verdict on a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushPlan {
    /// Nothing of it is taken, for this reason.
    Refuse(String),
    /// It is taken.
    Accept(Accepted),
}

/// A push that is taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// What to deploy, if anything; only when that succeeds is the push taken.
    pub deploy: Option<Deploy>,
    /// Becomes the app's deploy branch before the deploy: `-----> Set main as deploy-branch`.
    pub set_branch: Option<Branch>,
    /// Lines to warn the pusher with.
    pub warnings: Vec<String>,
}

/// What a push deploys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deploy {
    /// What the ref shall point to; [`crate::SourceTree::open`] peels it when it is an annotated tag.
    pub object: CommitId,
    /// The full name of the ref.
    pub name: String,
    /// The branch (or tag) without `refs/heads/`.
    pub branch: Branch,
}

impl RefUpdate {
    /// Parses the lines `OLD NEW NAME` that git writes to `pre-receive`.
    pub fn parse_lines(_text: &str) -> Result<Vec<Self>, Invalid> {
        Ok(Vec::new())
    }
}

/// Decides what a push means.
pub fn plan_push(_updates: &[RefUpdate], _deploy_branch: &DeployBranch) -> PushPlan {
    PushPlan::Accept(Accepted::default())
}
