//! Submodules: which may be fetched, from where, and how they get into the tree.

pub(crate) mod fetch;
mod gitmodules;
pub(crate) mod url;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sarsen_domain::{AppName, CommitId, Progress};
use tokio_util::sync::CancellationToken;

pub(crate) use self::fetch::Cache;
use self::gitmodules::Module;
use self::url::{Base, Target, redacted};
use crate::error::GitError;
use crate::repos::Repos;
use crate::tree::{Entry, Mount, Place, SourceTree, Store, Survey, Visit, to_oid, walk};

/// More left-out links than this are counted only.
const LINKS_SHOWN: usize = 10;
const MODULES_MAX: u64 = 1024 * 1024;

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
    /// More variables for the fetch: proxies, certificates.
    pub env: Vec<(String, String)>,
}

impl SubmodulePolicy {
    /// Whether a proxy stands between us and this server.
    pub(crate) fn is_proxied(&self, remote: &url::Remote) -> bool {
        let wanted: &[&str] = if remote.url.to_ascii_lowercase().starts_with("https") {
            &["https_proxy", "all_proxy"]
        } else {
            &["http_proxy", "all_proxy"]
        };
        let set = |(key, value): &(String, String)| {
            !value.is_empty() && wanted.contains(&key.to_ascii_lowercase().as_str())
        };
        remote.web && self.env.iter().any(set)
    }
}

impl Default for SubmodulePolicy {
    fn default() -> Self {
        Self {
            allow_private_hosts: false,
            timeout: Duration::from_secs(300),
            max_depth: 8,
            max_count: 200,
            env: Vec::new(),
        }
    }
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

/// A repository that may hold submodules: the app's, or one of its submodules.
#[derive(Debug, Clone)]
struct Layer {
    base: Base,
    modules: Vec<Module>,
    depth: usize,
}

/// A place for a submodule in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Gap {
    /// The path from the root of the outermost repository.
    path: String,
    commit: CommitId,
}

impl SourceTree {
    /// Fetches the submodules of this source, so that [`SourceTree::tar`] holds them.
    ///
    /// Looks through the whole source on the way: what is too large is refused here, and links that a tar leaves
    /// out are told of.
    pub async fn prepare_submodules(
        &mut self,
        context: &SubmoduleContext<'_>,
    ) -> Result<(), GitError> {
        let base = match context.origin {
            Some(origin) => Base::Url(origin.to_owned()),
            None => Base::App(context.app.clone()),
        };
        let root = Layer {
            base,
            modules: modules(self.place(), self.commit())?,
            depth: 0,
        };
        let mut layers = BTreeMap::from([(String::new(), root)]);
        let mut seen = BTreeSet::new();
        // Each round finds what the last one's submodules hold.
        loop {
            let (mut gaps, survey) = self.gaps().await?;
            gaps.retain(|gap| seen.insert(gap.path.clone()));
            if gaps.is_empty() {
                warn_of_links(&survey.left_out, context.progress);
                return Ok(());
            }
            if seen.len() == gaps.len() {
                context.progress.header("Fetching submodules");
            }
            let limit = context.repos.settings().submodules.max_count;
            if seen.len() > limit {
                return Err(GitError::Refused(format!(
                    "it has more than {limit} submodules"
                )));
            }
            for gap in &gaps {
                self.fill(gap, &mut layers, context)
                    .await
                    .map_err(|error| of_submodule(&gap.path, error))?;
            }
        }
    }

    /// The places of submodules that are not filled in, and what else there is.
    async fn gaps(&self) -> Result<(Vec<Gap>, Survey), GitError> {
        let source = self.clone();
        let look = move || {
            let mut gaps = Gaps {
                prefix: source.hidden(),
                found: Vec::new(),
            };
            let survey = walk(&source, &mut gaps)?;
            Ok((gaps.found, survey))
        };
        let looked = self.tasks().spawn_blocking(look).await;
        looked.map_err(|error| GitError::io("look for submodules")(error.into()))?
    }

    async fn fill(
        &mut self,
        gap: &Gap,
        layers: &mut BTreeMap<String, Layer>,
        context: &SubmoduleContext<'_>,
    ) -> Result<(), GitError> {
        let Some((layer, inside)) = around(layers, &gap.path) else {
            return Ok(());
        };
        let Some(module) = layer.modules.iter().find(|module| module.path == inside) else {
            context.progress.warn(&format!(
                "{} is not in .gitmodules; its folder stays empty",
                gap.path.escape_debug()
            ));
            return Ok(());
        };
        if module.skip {
            return Ok(());
        }
        let depth = layer.depth + 1;
        if depth > context.repos.settings().submodules.max_depth {
            return Err(GitError::Refused(
                "submodules are nested too deeply".to_owned(),
            ));
        }
        let target = Target::resolve(&layer.base, &module.url).map_err(GitError::Refused)?;
        context.progress.body(&format!(
            "{} from {}",
            gap.path.escape_debug(),
            redacted(&module.url).escape_debug()
        ));
        let place = obtain(&target, &gap.commit, context).await?;
        let base = match target {
            Target::App(app) => Base::App(app),
            Target::Remote(remote) => Base::Url(remote.url),
        };
        let modules = modules(&place, &gap.commit)?;
        layers.insert(
            gap.path.clone(),
            Layer {
                base,
                modules,
                depth,
            },
        );
        self.mount(
            gap.path.clone().into_bytes(),
            Mount::new(place, &gap.commit)?,
        );
        Ok(())
    }
}

/// Says what the tar will not hold.
fn warn_of_links(left_out: &[String], progress: &dyn Progress) {
    for link in left_out.iter().take(LINKS_SHOWN) {
        progress.warn(&format!(
            "{link} is left out: it is a link out of the source"
        ));
    }
    if let Some(more) = left_out
        .len()
        .checked_sub(LINKS_SHOWN)
        .filter(|&more| more > 0)
    {
        progress.warn(&format!("and so are {more} other links"));
    }
}

fn of_submodule(path: &str, error: GitError) -> GitError {
    if matches!(error, GitError::Gone) {
        return error;
    }
    let path = path.escape_debug().to_string();
    if let GitError::Refused(reason) = error {
        return GitError::Submodule { path, reason };
    }
    let reason = error.to_string();
    GitError::Submodule { path, reason }
}

/// The innermost repository around a path, and the rest of the path.
fn around<'a, 'p>(
    layers: &'a BTreeMap<String, Layer>,
    path: &'p str,
) -> Option<(&'a Layer, &'p str)> {
    layers
        .iter()
        .filter_map(|(root, layer)| {
            let inside = match root.as_str() {
                "" => Some(path),
                root => path.strip_prefix(root)?.strip_prefix('/'),
            };
            Some((layer, inside?))
        })
        .min_by_key(|(_, inside)| inside.len())
}

/// Finds out where the objects of a submodule's commit are, fetching them if need be.
async fn obtain(
    target: &Target,
    commit: &CommitId,
    context: &SubmoduleContext<'_>,
) -> Result<Place, GitError> {
    let app = match target {
        Target::Remote(remote) => {
            return fetch::fetch(context.repos, remote, commit, context.cancel).await;
        }
        Target::App(app) => app,
    };
    // The same words whether there is no such app or it is none of the pusher's business.
    let unknown = || GitError::Refused(format!("there is no app {app} that you may read"));
    if !(context.may_read)(app) || !context.repos.exists(app) {
        return Err(unknown());
    }
    let place = Place::new(&context.repos.path(app), None)?;
    if fetch::has(&place, commit)? {
        return Ok(place);
    }
    Err(GitError::Refused(format!(
        "the app {app} does not have commit {commit}; push it there first"
    )))
}

/// What the `.gitmodules` of a commit says.
fn modules(place: &Place, commit: &CommitId) -> Result<Vec<Module>, GitError> {
    let store = Store::at(place)?;
    let tree = store.repository().find_commit(to_oid(commit)?)?.tree()?;
    match tree.get_name(".gitmodules") {
        Some(entry) if entry.filemode_raw() & 0o170_000 == 0o100_000 => {
            let content = store.blob(entry.id(), MODULES_MAX, ".gitmodules")?;
            Ok(gitmodules::parse(&String::from_utf8_lossy(&content)))
        }
        _ => Ok(Vec::new()),
    }
}

struct Gaps {
    prefix: String,
    found: Vec<Gap>,
}

impl Visit for Gaps {
    fn visit(&mut self, _: &Store, path: &[u8], entry: Entry<'_>) -> Result<(), GitError> {
        if let Entry::Submodule { id } = entry
            // .gitmodules could not name any other.
            && let (Ok(path), Ok(commit)) = (std::str::from_utf8(path), CommitId::parse(&id.to_string()))
        {
            self.found.push(Gap {
                path: format!("{}{path}", self.prefix),
                commit,
            });
        }
        Ok(())
    }
}
