//! Containers that exist for the sake of a build: made, looked into, removed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use futures_util::TryStreamExt;
use sarsen_domain::container::label;
use sarsen_domain::{AppName, ContainerId, ContainerName};
use sarsen_runtime::{ContainerSpec, EngineStream, RuntimeError};

use crate::archive::{First, Rewritten, first_file};
use crate::limits::Limits;
use crate::{BuildError, Builder};

/// Begins the name of every helper container. [`Builder::sweep`] goes by names: labels are inherited from images,
/// so an app's own container can carry all labels of its build.
pub(crate) const NAME_PREFIX: &str = "sarsen-build-";

/// `user:group` of an app, for the engine.
pub(crate) const APP_USER_SPEC: &str = "32767:32767";

/// The largest single file that is read out of a container: a Procfile, a result.
const FILE_LIMIT: usize = 1 << 20;

impl Builder {
    /// A container of the stack image that nobody else can mistake for theirs.
    pub(crate) fn helper_spec(
        &self,
        app: &AppName,
        suffix: &str,
    ) -> Result<ContainerSpec, BuildError> {
        let labels = [
            (label::DOKKU, ""),
            (label::APP, app.as_str()),
            (label::OWNER, self.settings.owner.as_str()),
        ];
        Ok(ContainerSpec {
            name: Some(ContainerName::parse(&format!("{NAME_PREFIX}{suffix}"))?),
            image: self.settings.stack_image.clone(),
            labels: labels
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect::<BTreeMap<_, _>>(),
            drop_capabilities: true,
            no_new_privileges: true,
            ..ContainerSpec::default()
        })
    }

    /// Makes it, in place of one of the same name that an earlier attempt left.
    pub(crate) async fn make_helper(
        &self,
        spec: &ContainerSpec,
    ) -> Result<ContainerId, BuildError> {
        if let Some(name) = &spec.name
            && let Some(stale) = self.runtime.find(name).await?
        {
            self.runtime.remove(&stale.id).await?;
        }
        match self.runtime.create(spec).await {
            Err(RuntimeError::NotFound(_)) => Err(self.no_stack_image()),
            other => Ok(other?),
        }
    }

    pub(crate) fn no_stack_image(&self) -> BuildError {
        BuildError::Failed(format!(
            "The stack image {} is not on this host: build it with deploy/stack/build, or pull it",
            self.settings.stack_image
        ))
    }

    /// Removes it; a failure is only logged, because the build's own outcome matters more.
    pub(crate) async fn remove_helper(&self, id: &ContainerId) {
        if let Err(error) = self.runtime.remove(id).await {
            tracing::warn!(container.id = %id.short(), %error, "could not remove the helper container {}", id.short());
        }
    }

    /// Unpacks into a folder of a container.
    pub(crate) async fn upload(
        &self,
        id: &ContainerId,
        folder: &str,
        tar: Rewritten,
        limits: &Limits,
    ) -> Result<(), BuildError> {
        let Rewritten { stream, failure } = tar;
        let done = limits.run(self.runtime.upload(id, folder, stream)).await?;
        failure.check()?;
        Ok(done?)
    }

    /// A text file in a folder of a container; links are followed as long as they stay in that folder.
    pub(crate) async fn read_file(
        &self,
        id: &ContainerId,
        folder: &str,
        path: &str,
    ) -> Result<Option<String>, BuildError> {
        let mut path = PathBuf::from(path);
        for _ in 0..8 {
            let full = format!("{folder}/{}", path.display());
            let archive = match self.runtime.download(id, &full).await {
                Ok(stream) => small(stream, &full).await?,
                Err(RuntimeError::NotFound(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let unreadable = BuildError::io(format!("Could not read {full} of the build"));
            match first_file(&archive).map_err(unreadable)? {
                First::File(content) => {
                    let text = String::from_utf8(content);
                    return text.map(Some).map_err(|_| {
                        BuildError::Failed(format!("{} is not text in UTF-8", path.display()))
                    });
                }
                First::Link(target) => match follow(&path, &target) {
                    Some(next) => path = next,
                    None => return Ok(None),
                },
                First::Other => return Ok(None),
            }
        }
        Ok(None)
    }
}

/// A stream as one piece, when it is small.
async fn small(mut stream: EngineStream<Bytes>, path: &str) -> Result<Vec<u8>, BuildError> {
    let mut whole = Vec::new();
    while let Some(chunk) = stream.try_next().await? {
        whole.extend_from_slice(&chunk);
        if whole.len() > FILE_LIMIT {
            return Err(BuildError::io(format!(
                "Could not read {path} of the build"
            ))(io::Error::other("it is larger than 1 MB")));
        }
    }
    Ok(whole)
}

/// Where a link leads, when that is inside the folder.
fn follow(path: &Path, target: &Path) -> Option<PathBuf> {
    let mut result = path.parent().map(Path::to_path_buf).unwrap_or_default();
    for component in target.components() {
        match component {
            Component::Normal(name) => result.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !result.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_inside_only() {
        let lead = |path: &str, target: &str| follow(Path::new(path), Path::new(target));
        assert_eq!(lead("Procfile", "p/web"), Some(PathBuf::from("p/web")));
        assert_eq!(lead("a/b", "../c"), Some(PathBuf::from("c")));
        assert_eq!(lead("Procfile", "../x"), None);
        assert_eq!(lead("Procfile", "/etc/passwd"), None);
    }
}
