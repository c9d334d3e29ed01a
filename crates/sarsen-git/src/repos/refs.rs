//! Branches and commits of a repository.

use git2::{BranchType, ErrorCode, Repository};
use sarsen_domain::{AppName, Branch, CommitId};
use time::OffsetDateTime;

use super::{Repos, SHORT};
use crate::error::GitError;
use crate::tree::{Store, to_oid};

/// A commit, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The first line of its message.
    pub summary: String,
    /// `Name <mail>`
    pub author: String,
    /// When it was committed.
    pub time: OffsetDateTime,
}

impl Repos {
    /// The commit of a branch, or else of a tag of that name.
    pub fn head(&self, app: &AppName, branch: &Branch) -> Result<Option<CommitId>, GitError> {
        if !self.exists(app) {
            return Ok(None);
        }
        let repository = Repository::open_bare(self.path(app))?;
        for folder in ["refs/heads", "refs/tags"] {
            match repository.find_reference(&format!("{folder}/{branch}")) {
                Ok(reference) => {
                    let id = reference.peel_to_commit()?.id().to_string();
                    return Ok(CommitId::parse(&id).ok());
                }
                Err(error) if error.code() == ErrorCode::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The names of the branches that there are, in order.
    pub fn branches(&self, app: &AppName) -> Result<Vec<String>, GitError> {
        if !self.exists(app) {
            return Ok(Vec::new());
        }
        let repository = Repository::open_bare(self.path(app))?;
        let mut names = Vec::new();
        for branch in repository.branches(Some(BranchType::Local))? {
            names.extend(branch?.0.name()?.map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// Makes a branch point to a commit that the repository holds.
    pub async fn set_branch(
        &self,
        app: &AppName,
        branch: &Branch,
        commit: &CommitId,
    ) -> Result<(), GitError> {
        self.git("move the branch", "update-ref")
            .in_repo(&self.needed(app)?)
            .arg("--no-deref")
            .arg("--")
            .arg(format!("refs/heads/{branch}"))
            .arg(commit.as_str())
            .run(SHORT)
            .await
    }

    /// Makes a branch the one that a clone checks out.
    pub async fn set_default_branch(&self, app: &AppName, branch: &Branch) -> Result<(), GitError> {
        self.git("set the default branch", "symbolic-ref")
            .in_repo(&self.needed(app)?)
            .arg("--")
            .arg("HEAD")
            .arg(format!("refs/heads/{branch}"))
            .run(SHORT)
            .await
    }

    /// What to show of a commit.
    pub fn commit_info(&self, app: &AppName, commit: &CommitId) -> Result<CommitInfo, GitError> {
        let store = Store::open(&self.needed(app)?, None)?;
        let found = store
            .repository()
            .find_commit(to_oid(commit)?)
            .map_err(|_| GitError::NoCommit(commit.clone()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let author = found.author();
        Ok(CommitInfo {
            summary: text(found.summary_bytes().unwrap_or_default()),
            author: format!(
                "{} <{}>",
                text(author.name_bytes()),
                text(author.email_bytes())
            ),
            time: OffsetDateTime::from_unix_timestamp(found.time().seconds())
                .unwrap_or(OffsetDateTime::UNIX_EPOCH),
        })
    }
}
