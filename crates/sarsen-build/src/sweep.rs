//! What a daemon that was killed in the middle of a build leaves behind.

use sarsen_domain::ImageRef;
use sarsen_domain::container::label;
use sarsen_runtime::{ContainerInfo, RuntimeError};

use crate::helper::NAME_PREFIX;
use crate::image::HELPER_TAG;
use crate::{BuildError, Builder};

impl Builder {
    /// Removes containers and helper tags of builds of this owner; says how many. Call it while no build runs.
    pub async fn sweep(&self) -> Result<usize, BuildError> {
        let mut removed = 0;
        for helper in self.own_helpers().await? {
            self.runtime.remove(&helper.id).await?;
            removed += 1;
        }
        for image in self.runtime.images(&[self.owner_label()]).await? {
            for tag in image.tags.iter().filter(|tag| is_helper_tag(tag)) {
                match self.runtime.remove_image(&ImageRef::parse(tag)?).await {
                    Ok(()) => removed += 1,
                    // A container of somebody's uses it: it goes when that one is gone.
                    Err(RuntimeError::Conflict(_) | RuntimeError::NotFound(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(removed)
    }

    /// All helper containers of this installation.
    pub(crate) async fn own_helpers(&self) -> Result<Vec<ContainerInfo>, BuildError> {
        let mut helpers = self.runtime.list(&[self.owner_label()]).await?;
        helpers.retain(|container| container.name.starts_with(NAME_PREFIX));
        Ok(helpers)
    }

    fn owner_label(&self) -> String {
        format!("{}={}", label::OWNER, self.settings.owner)
    }
}

/// `dokku/APP:build-0123456789abcd`
fn is_helper_tag(tag: &str) -> bool {
    tag.rsplit_once(':').is_some_and(|(repository, tag)| {
        repository.starts_with("dokku/")
            && tag
                .strip_prefix(HELPER_TAG)
                .is_some_and(|id| id.len() == 14)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_helper_tags_are_swept() {
        assert!(is_helper_tag("dokku/app:build-0123456789abcd"));
        for other in [
            "dokku/app:latest",
            "dokku/app:v3",
            "dokku/app:build-1",
            "x/app:build-0123456789abcd",
        ] {
            assert!(!is_helper_tag(other), "{other}");
        }
    }
}
