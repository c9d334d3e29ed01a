//! Images and volumes of the fake engine.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sarsen_domain::{ContainerId, ImageRef};

use super::FakeRuntime;
use super::state::{State, no_such_image, with_tag};
use crate::{BuildItem, BuildSpec, CommitSpec, EngineStream, ImageInfo, Result, RuntimeError};

impl FakeRuntime {
    /// Reads the context to its end, as an engine does, then makes an image out of nothing.
    pub(super) fn build_stream(
        &self,
        spec: &BuildSpec,
        context: EngineStream<Bytes>,
    ) -> EngineStream<BuildItem> {
        let (fake, spec) = (self.clone(), spec.clone());
        let work = async move {
            if let Err(error) = drain(context).await {
                return vec![Err(error)];
            }
            let line = format!("Building {}\n", spec.tag);
            let image = fake.change(|state| state.new_image(Some(&spec.tag), spec.labels));
            vec![
                Ok(BuildItem::Output(line.into())),
                Ok(BuildItem::Done(image)),
            ]
        };
        Box::pin(stream::once(work).flat_map(stream::iter))
    }

    pub(super) fn commit_container(&self, id: &ContainerId, spec: &CommitSpec) -> Result<ImageRef> {
        self.change(|state| {
            let container = state.container(id)?;
            let (labels, env) = (container.spec.labels.clone(), container.info.env.clone());
            let name = format!("{}:{}", spec.repository, spec.tag);
            let image = state.new_image(Some(&name), labels);
            let info = state.image_mut(image.as_str())?;
            info.env = env;
            for change in &spec.changes {
                apply(info, change);
            }
            Ok(image)
        })
    }

    pub(super) fn image_info(&self, name: &str) -> Result<ImageInfo> {
        let image = self.look(|state| state.image_by(name).cloned());
        image.ok_or_else(|| no_such_image(name))
    }

    /// Every image can be pulled; faults say which cannot.
    pub(super) fn pull_stream(&self, image: &ImageRef) -> EngineStream<String> {
        self.add_image(image.as_str());
        let line = format!("Pulled {image}");
        Box::pin(stream::iter([Ok(line)]))
    }

    /// The archive is text here: the names of the images that it holds, one a line.
    pub(super) async fn load_stream(
        &self,
        mut archive: EngineStream<Bytes>,
    ) -> Result<EngineStream<String>> {
        let mut text = Vec::new();
        while let Some(chunk) = archive.next().await {
            text.extend_from_slice(&chunk?);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut lines = Vec::new();
        for name in text.lines() {
            self.add_image(name);
            lines.push(Ok(format!("Loaded image: {name}")));
        }
        Ok(Box::pin(stream::iter(lines)))
    }

    pub(super) fn tag_image(&self, image: &ImageRef, repository: &str, tag: &str) -> Result<()> {
        self.change(|state| {
            let id = state.image_mut(image.as_str())?.id.clone();
            state.move_tag(&format!("{repository}:{tag}"), &id);
            Ok(())
        })
    }

    pub(super) fn remove_image_or_name(&self, image: &ImageRef) -> Result<()> {
        self.change(|state| state.remove_image(image.as_str()))
    }
}

impl State {
    fn remove_image(&mut self, name: &str) -> Result<()> {
        let Some(info) = self.image_by(name).cloned() else {
            return Ok(());
        };
        let by_id = info.id.as_str() == name;
        if !by_id && info.tags.len() > 1 {
            let tagged = with_tag(name);
            let info = self.image_mut(name)?;
            info.tags.retain(|tag| *tag != tagged);
            return Ok(());
        }
        if by_id && info.tags.len() > 1 {
            return Err(RuntimeError::Conflict(format!(
                "conflict: unable to delete {name} (must be forced) - image is referenced in multiple repositories"
            )));
        }
        let uses = |image: &str| image == info.id.as_str() || info.tags.contains(&with_tag(image));
        let user = self.containers.iter().find(|c| uses(&c.info.image));
        if let Some(user) = user {
            return Err(RuntimeError::Conflict(format!(
                "conflict: unable to remove repository reference \"{name}\" (must force) - container {} is using its referenced image",
                user.info.id.short()
            )));
        }
        self.images.retain(|image| image.id != info.id);
        Ok(())
    }

    pub(super) fn remove_volume(&mut self, name: &str) -> Result<()> {
        let mounts = |bind: &String| bind.split(':').next() == Some(name);
        let mut containers = self.containers.iter();
        if let Some(user) = containers.find(|c| c.spec.binds.iter().any(mounts)) {
            return Err(RuntimeError::Conflict(format!(
                "remove {name}: volume is in use - [{}]",
                user.info.id
            )));
        }
        self.volumes.remove(name);
        Ok(())
    }
}

async fn drain(mut context: EngineStream<Bytes>) -> Result<()> {
    while let Some(piece) = context.next().await {
        piece?;
    }
    Ok(())
}

/// The Dockerfile instructions that a commit may carry.
fn apply(info: &mut ImageInfo, change: &str) {
    let (word, rest) = change.split_once(' ').unwrap_or((change, ""));
    let rest = rest.trim();
    match word {
        "CMD" => info.command = words(rest),
        "ENTRYPOINT" => info.entrypoint = words(rest),
        "USER" => rest.clone_into(&mut info.user),
        "WORKDIR" => rest.clone_into(&mut info.workdir),
        "ENV" => info.env.push(rest.to_owned()),
        "LABEL" => info.labels.extend(label(rest)),
        "EXPOSE" => {
            let (port, protocol) = rest.split_once('/').unwrap_or((rest, "tcp"));
            let port = port.parse().ok().map(|port| (port, protocol == "udp"));
            info.exposed.extend(port);
        }
        _ => {}
    }
}

fn words(text: &str) -> Vec<String> {
    let list = serde_json::from_str(text);
    list.unwrap_or_else(|_| vec!["/bin/sh".to_owned(), "-c".to_owned(), text.to_owned()])
}

fn label(text: &str) -> BTreeMap<String, String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    let value = value.trim_matches('"');
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}
