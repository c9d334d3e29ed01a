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

/// More refs than this in one push are a mistake (`--mirror`) or an attack.
const MAX_UPDATES: usize = 1000;

impl RefUpdate {
    /// Parses the lines `OLD NEW NAME` that git writes to `pre-receive`.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, Invalid> {
        text.lines().map(Self::parse).collect()
    }

    fn parse(line: &str) -> Result<Self, Invalid> {
        let mut words = line.splitn(3, ' ');
        let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
            return Err(Invalid::new(format!(
                "Invalid ref update '{}'",
                line.escape_debug()
            )));
        };
        if !name.starts_with("refs/") || name.chars().any(char::is_control) {
            return Err(Invalid::new(format!(
                "Invalid ref name '{}'",
                name.escape_debug()
            )));
        }
        Ok(Self {
            old: CommitId::parse(old)?,
            new: CommitId::parse(new)?,
            name: name.to_owned(),
        })
    }

    /// Whether the ref goes away.
    pub fn is_delete(&self) -> bool {
        self.new.is_zero()
    }

    fn branch(&self) -> Option<Branch> {
        self.name
            .strip_prefix("refs/heads/")
            .and_then(|name| Branch::parse(name).ok())
    }

    fn tag(&self) -> Option<Branch> {
        self.name
            .strip_prefix("refs/tags/")
            .and_then(|name| Branch::parse(name).ok())
    }
}

/// Decides what a push means.
///
/// The deploy branch, or a tag of its name, deploys; without a deploy branch the first branch pushed becomes it
/// (`main` and `master` first, when several come at once). Other refs are taken without a deploy. At most one
/// commit deploys, and the deploy branch cannot be deleted, for a later rebuild starts there.
pub fn plan_push(updates: &[RefUpdate], deploy_branch: &DeployBranch) -> PushPlan {
    if updates.len() > MAX_UPDATES {
        return PushPlan::Refuse(format!(
            "{} refs in one push are too many (at most {MAX_UPDATES}); push the branch to deploy alone",
            updates.len()
        ));
    }
    match deploy_branch {
        DeployBranch::Set(branch) => plan_for(updates, branch),
        DeployBranch::Unset => PushPlan::Accept(plan_first(updates)),
    }
}

fn plan_for(updates: &[RefUpdate], branch: &Branch) -> PushPlan {
    let is_it = |update: &&RefUpdate| update.branch().as_ref() == Some(branch);
    if updates.iter().filter(is_it).any(RefUpdate::is_delete) {
        return PushPlan::Refuse(format!(
            "{branch} is the deploy branch and cannot be deleted; choose another with git:set deploy-branch first"
        ));
    }
    let tag = |update: &&RefUpdate| update.tag().as_ref() == Some(branch) && !update.is_delete();
    let deploy = updates
        .iter()
        .find(is_it)
        .or_else(|| updates.iter().find(tag))
        .map(|update| Deploy::of(update, branch.clone()));
    let warnings = match deploy {
        Some(_) => Vec::new(),
        None => not_deployed(updates, branch.as_str()),
    };
    PushPlan::Accept(Accepted {
        deploy,
        set_branch: None,
        warnings,
    })
}

fn plan_first(updates: &[RefUpdate]) -> Accepted {
    let candidates = || {
        updates
            .iter()
            .filter(|update| !update.is_delete())
            .filter_map(|update| update.branch().map(|branch| (update, branch)))
    };
    let named = |name: &str| candidates().find(|(_, branch)| branch.as_str() == name);
    let chosen = named("main")
        .or_else(|| named("master"))
        .or_else(|| candidates().next());
    match chosen {
        Some((update, branch)) => Accepted {
            deploy: Some(Deploy::of(update, branch.clone())),
            set_branch: Some(branch),
            warnings: Vec::new(),
        },
        None => Accepted {
            warnings: not_deployed(updates, "main"),
            ..Accepted::default()
        },
    }
}

/// The two lines of advice, once, however many refs were pushed.
fn not_deployed(updates: &[RefUpdate], branch: &str) -> Vec<String> {
    let source = updates
        .iter()
        .filter(|update| !update.is_delete())
        .find_map(|update| {
            let head = update.name.strip_prefix("refs/heads/").map(str::to_owned);
            // A tag may be an object of its own, which a branch cannot point to.
            let tag = || Some(format!("{}^{{}}", update.name.strip_prefix("refs/tags/")?));
            head.or_else(tag)
        });
    let Some(source) = source else {
        return Vec::new();
    };
    vec![
        format!("deploy did not complete, you must push to {branch}."),
        format!("for example, try 'git push <remote> {source}:refs/heads/{branch}'"),
    ]
}

impl Deploy {
    fn of(update: &RefUpdate, branch: Branch) -> Self {
        Self {
            object: update.new.clone(),
            name: update.name.clone(),
            branch,
        }
    }
}

#[cfg(test)]
mod tests;
