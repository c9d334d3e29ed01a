//! Buildpacks from outside the stack image: git repositories, tarballs over HTTP, folders of this host.

mod address;
mod child;
mod git;
mod local;
mod tarball;

use std::collections::HashMap;
use std::io::Seek;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sarsen_domain::builder::BuildpackLocation;
use sarsen_domain::{BuildpackRef, Progress};

use crate::archive::Input;
use crate::limits::Limits;
use crate::{BuildError, BuildSettings};

/// More than anybody needs, and two digits.
const MOST: usize = 50;

/// A buildpack, ready to be put into a container.
pub(crate) struct Pack {
    /// One path segment of harmless characters.
    pub(crate) name: String,
    pub(crate) files: PackFiles,
}

pub(crate) enum PackFiles {
    /// In the stack image already.
    Bundled,
    /// An archive, and how many folders its files lie too deep.
    Tree { input: Input, strip: usize },
}

/// Fetches buildpacks, and keeps git repositories for the next time. Clones share what they keep.
#[derive(Clone)]
pub(crate) struct Fetcher {
    cache: PathBuf,
    guard: address::Guard,
    /// git's own locks make a second fetch into the same repository fail instead of wait.
    busy: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

impl Fetcher {
    pub(crate) fn new(settings: &BuildSettings) -> Self {
        Self {
            cache: settings.cache_dir.clone(),
            guard: address::Guard::new(settings),
            busy: Arc::default(),
        }
    }

    /// A URL's content in a file without a name.
    pub(crate) async fn content(&self, url: &str) -> Result<std::fs::File, BuildError> {
        std::fs::create_dir_all(&self.cache).map_err(BuildError::io("Could not make the cache"))?;
        let fetched = self.download(url).await;
        let mut file = fetched.map_err(|why| {
            BuildError::Failed(format!(
                "Could not fetch {}: {why}",
                without_credentials(url)
            ))
        })?;
        file.rewind()
            .map_err(BuildError::io("Could not read what was fetched"))?;
        Ok(file)
    }

    /// All of a list, in order.
    pub(crate) async fn fetch_all(
        &self,
        buildpacks: &[BuildpackRef],
        progress: &dyn Progress,
        limits: &Limits,
    ) -> Result<Vec<Pack>, BuildError> {
        if buildpacks.len() > MOST {
            return Err(BuildError::Failed(format!(
                "An app can have {MOST} buildpacks at most"
            )));
        }
        let mut packs = Vec::new();
        for (place, buildpack) in buildpacks.iter().enumerate() {
            let shown = without_credentials(buildpack.as_str());
            let files = limits
                .run(self.fetch(buildpack, &shown, progress))
                .await?
                .map_err(|why| BuildError::Buildpack {
                    name: shown,
                    place,
                    why,
                })?;
            packs.push(Pack {
                name: short_name(buildpack),
                files,
            });
        }
        Ok(packs)
    }

    /// Errors are the reason, in words.
    async fn fetch(
        &self,
        buildpack: &BuildpackRef,
        shown: &str,
        progress: &dyn Progress,
    ) -> Result<PackFiles, String> {
        if !matches!(buildpack.location(), BuildpackLocation::Bundled(_)) {
            progress.header(&format!("Fetching buildpack {shown}"));
        }
        match buildpack.location() {
            BuildpackLocation::Bundled(_) => Ok(PackFiles::Bundled),
            BuildpackLocation::Git { url, reference } => {
                let source = self.git(url, reference, progress).await?;
                Ok(PackFiles::Tree {
                    input: Input::source(&source),
                    strip: 0,
                })
            }
            BuildpackLocation::Tarball(url) => {
                let file = self.download(url).await?;
                tarball::open(file).await
            }
            BuildpackLocation::Local(path) => local::open(Path::new(path)).await,
        }
    }

    /// Waits until nobody else uses this part of the cache.
    async fn turn(&self, key: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(busy.entry(key.to_owned()).or_default())
        };
        lock.lock_owned().await
    }
}

/// The last segment without its ending: what logs and folders call it.
fn short_name(buildpack: &BuildpackRef) -> String {
    let text = match buildpack.location() {
        BuildpackLocation::Bundled(name) => name,
        BuildpackLocation::Git { url, .. } => url,
        BuildpackLocation::Tarball(text) | BuildpackLocation::Local(text) => text,
    };
    let text = text.trim_end_matches('/');
    let text = [".git", ".tgz", ".tar.gz"]
        .iter()
        .find_map(|ending| text.strip_suffix(ending))
        .unwrap_or(text);
    let last = text.rsplit(['/', ':']).next().unwrap_or_default();
    let harmless: String = last
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c))
        .take(60)
        .collect();
    match harmless.trim_start_matches('.') {
        "" => "buildpack".to_owned(),
        name => name.to_owned(),
    }
}

/// A URL for people: tokens in it are not theirs to see.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, _)) => format!(
            "{scheme}://{}",
            rest.get(user.len() + 1..).unwrap_or_default()
        ),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_harmless_segment() {
        for (reference, name) in [
            ("heroku/python", "python"),
            (
                "https://x.org/a/heroku-buildpack-x.git#v1",
                "heroku-buildpack-x",
            ),
            ("git@x.org:a/b", "b"),
            ("https://x.org/b.tar.gz", "b"),
            ("/srv/packs/mine/", "mine"),
            ("https://x.org/..", "buildpack"),
            ("https://x.org/$(x);y", "xy"),
        ] {
            assert_eq!(short_name(&BuildpackRef::parse(reference).unwrap()), name);
        }
    }

    #[test]
    fn tokens_are_not_shown() {
        assert_eq!(
            without_credentials("https://u:t@x.org/a@b"),
            "https://x.org/a@b"
        );
        assert_eq!(
            without_credentials("https://x.org/a@b"),
            "https://x.org/a@b"
        );
        assert_eq!(without_credentials("git@x.org:a"), "git@x.org:a");
    }
}
