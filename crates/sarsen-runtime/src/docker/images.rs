//! Images and volumes.

use bollard::models::{ContainerConfig, VolumeCreateRequest};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateImageOptionsBuilder, ImportImageOptionsBuilder,
    ListImagesOptionsBuilder, RemoveImageOptions, RemoveVolumeOptions, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sarsen_domain::{ContainerId, ImageRef};

use super::containers::{INSPECTIONS, label_filter};
use super::error::{engine_error, gone_is_fine};
use super::{DockerRuntime, progress, read, registry};
use crate::{CommitSpec, EngineStream, ImageInfo, RegistryLogin, Result, RuntimeError};

impl DockerRuntime {
    pub(super) async fn inspect_image(&self, image: &str) -> Result<ImageInfo> {
        let client = self.client().await?;
        let answer = client.inspect_image(image).await.map_err(engine_error)?;
        read::image_info(answer)
    }

    pub(super) async fn list_images(&self, labels: &[String]) -> Result<Vec<ImageInfo>> {
        let client = self.client().await?;
        let options = ListImagesOptionsBuilder::new()
            .filters(&label_filter(labels))
            .build();
        let rows = client
            .list_images(Some(options))
            .await
            .map_err(engine_error)?;
        let looks = stream::iter(rows).map(|row| async move {
            match self.inspect_image(&row.id).await {
                // Removed since the list was made.
                Err(RuntimeError::NotFound(_)) => Ok(None),
                other => other.map(Some),
            }
        });
        let found = looks
            .buffered(INSPECTIONS)
            .try_filter_map(async |info| Ok(info));
        found.try_collect().await
    }

    pub(super) async fn commit_container(
        &self,
        id: &ContainerId,
        spec: &CommitSpec,
    ) -> Result<ImageRef> {
        // Writing out a large diff takes as long as the disk needs.
        let client = self.patient_client().await?;
        let options = CommitContainerOptionsBuilder::new()
            .container(id.as_str())
            .repo(&spec.repository)
            .tag(&spec.tag)
            .changes(&spec.changes.join("\n"))
            .pause(true)
            .build();
        let answer = client.commit_container(options, ContainerConfig::default());
        let id = answer.await.map_err(engine_error)?.id;
        ImageRef::parse(&id).map_err(read::odd)
    }

    pub(super) async fn pull_stream(
        &self,
        image: &ImageRef,
        login: Option<&RegistryLogin>,
    ) -> Result<EngineStream<String>> {
        let client = self.patient_client().await?;
        // Without a tag the engine would fetch every one there is.
        let (name, tag) = name_and_tag(image.as_str());
        let options = CreateImageOptionsBuilder::new()
            .from_image(name)
            .tag(tag)
            .build();
        let items = client.create_image(Some(options), None, login.map(registry::credentials));
        Ok(Box::pin(items.filter_map(async |item| match item {
            Ok(item) => {
                let fault = item.error_detail.and_then(|detail| detail.message);
                match fault {
                    Some(message) => Some(Err(RuntimeError::Engine(message))),
                    None => progress::calm(item.id.as_deref(), item.status.as_deref()).map(Ok),
                }
            }
            Err(error) => Some(Err(engine_error(error))),
        })))
    }

    pub(super) async fn load_stream(
        &self,
        archive: EngineStream<Bytes>,
    ) -> Result<EngineStream<String>> {
        let client = self.patient_client().await?;
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let items = client.import_image_stream(options, archive, None);
        Ok(Box::pin(items.filter_map(async |item| {
            match item {
                Ok(item) => item
                    .stream
                    .map(|line| Ok(line.trim().to_owned()))
                    .filter(|line| line.as_ref().is_ok_and(|line: &String| !line.is_empty())),
                Err(error) => Some(Err(engine_error(error))),
            }
        })))
    }

    pub(super) async fn tag_image(
        &self,
        image: &ImageRef,
        repository: &str,
        tag: &str,
    ) -> Result<()> {
        let client = self.client().await?;
        let options = TagImageOptionsBuilder::new()
            .repo(repository)
            .tag(tag)
            .build();
        let tagged = client.tag_image(image.as_str(), Some(options));
        tagged.await.map_err(engine_error)
    }

    pub(super) async fn delete_image(&self, image: &ImageRef) -> Result<()> {
        let client = self.patient_client().await?;
        let removed = client.remove_image(image.as_str(), None::<RemoveImageOptions>, None);
        gone_is_fine(removed.await.map(|_| ()).map_err(engine_error))
    }

    pub(super) async fn create_volume(
        &self,
        name: &str,
        labels: &[(String, String)],
    ) -> Result<()> {
        let client = self.client().await?;
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(labels.iter().cloned().collect()),
            ..VolumeCreateRequest::default()
        };
        let made = client.create_volume(request).await;
        made.map(|_| ()).map_err(engine_error)
    }

    pub(super) async fn delete_volume(&self, name: &str) -> Result<()> {
        let client = self.client().await?;
        let removed = client.remove_volume(name, None::<RemoveVolumeOptions>);
        gone_is_fine(removed.await.map_err(engine_error))
    }
}

/// A reference cut where the engine wants it cut: a digest counts as a tag.
pub(super) fn name_and_tag(image: &str) -> (&str, &str) {
    if let Some((name, digest)) = image.split_once('@') {
        return (name, digest);
    }
    match image.rsplit_once(':') {
        // The colon of `server:5000/name` is not a tag's.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_cut_at_the_tag() {
        for (image, name, tag) in [
            ("nginx", "nginx", "latest"),
            ("nginx:1.2", "nginx", "1.2"),
            ("host:5000/team/x", "host:5000/team/x", "latest"),
            ("host:5000/team/x:y", "host:5000/team/x", "y"),
            ("x@sha256:ab", "x", "sha256:ab"),
        ] {
            assert_eq!(name_and_tag(image), (name, tag), "{image}");
        }
    }
}
