//! Names and labels of apps' images.

use std::collections::BTreeMap;

use sarsen_domain::container::label;
use sarsen_domain::{AppName, BuildId, BuilderKind, ImageRef};
use sarsen_runtime::{ImageInfo, RuntimeError};

use crate::{BuildError, BuildRequest, Builder};

/// `dokku/APP`
pub(crate) fn repository(app: &AppName) -> String {
    format!("dokku/{app}")
}

/// Begins the tag that an image has while it is built: an image without any name could be pruned by anybody.
pub(crate) const HELPER_TAG: &str = "build-";

/// The tag of this build.
pub(crate) fn helper_tag(build: &BuildId) -> String {
    format!("{HELPER_TAG}{build}")
}

impl Builder {
    /// The labels of an image, which the containers made from it inherit.
    pub(crate) fn image_labels(
        &self,
        request: &BuildRequest<'_>,
        builder: BuilderKind,
    ) -> BTreeMap<String, String> {
        [
            (label::DOKKU, ""),
            (label::APP, request.app.as_str()),
            // There is no second step that would make a release's image out of a build's.
            (label::IMAGE_STAGE, "release"),
            (label::BUILDER, builder.as_str()),
            (label::BUILD, request.build.as_str()),
            (label::OWNER, self.settings.owner.as_str()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
    }

    /// Moves `dokku/APP:latest` to a finished image and takes the helper tag off.
    pub(crate) async fn publish(
        &self,
        request: &BuildRequest<'_>,
        image: &ImageRef,
    ) -> Result<ImageInfo, BuildError> {
        let repository = repository(request.app);
        let tagged = self.runtime.tag(image, &repository, "latest").await;
        self.drop_helper_tag(request).await;
        tagged?;
        Ok(self.runtime.image(image).await?)
    }

    /// Forgets what a build made so far: the helper tag, and the image when that was its only name.
    pub(crate) async fn drop_helper_tag(&self, request: &BuildRequest<'_>) {
        let name = format!("{}:{}", repository(request.app), helper_tag(request.build));
        let removed = match ImageRef::parse(&name) {
            Ok(image) => self.runtime.remove_image(&image).await,
            Err(error) => Err(RuntimeError::Engine(error.to_string())),
        };
        match removed {
            Ok(()) | Err(RuntimeError::NotFound(_)) => {}
            Err(error) => {
                tracing::warn!(app.name = %request.app, image.name = %name, %error, "could not remove the tag {name}");
            }
        }
    }
}
