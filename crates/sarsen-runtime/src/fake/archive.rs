//! Files in the fake's containers: what a tar stream brought, by path.

use std::io::Read;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sarsen_domain::ContainerId;

use super::FakeRuntime;
use crate::{EngineStream, Result, RuntimeError};

impl FakeRuntime {
    /// The content of a file in a container, put there by `upload`.
    pub fn file(&self, id: &ContainerId, path: &str) -> Option<Bytes> {
        self.look(|state| {
            let files = &state.container(id).ok()?.files;
            files.get(path).cloned()
        })
    }

    pub(super) async fn unpack(
        &self,
        id: &ContainerId,
        path: &str,
        mut tar: EngineStream<Bytes>,
    ) -> Result<()> {
        self.state().container(id)?;
        let mut bytes = Vec::new();
        while let Some(piece) = tar.next().await {
            bytes.extend_from_slice(&piece?);
        }
        let files = read_tar(&bytes).map_err(|error| RuntimeError::Engine(error.to_string()))?;
        self.change(|state| {
            let container = state.container_mut(id)?;
            for (name, content) in files {
                let path = format!("{}/{name}", path.trim_end_matches('/'));
                container.files.insert(path, content);
            }
            Ok(())
        })
    }

    pub(super) fn pack(&self, id: &ContainerId, path: &str) -> Result<EngineStream<Bytes>> {
        let path = path.trim_end_matches('/');
        let (folder, _) = path.rsplit_once('/').unwrap_or(("", path));
        let inside = format!("{path}/");
        let files: Vec<(String, Bytes)> = self.look(|state| {
            let files = state.container(id)?.files.clone().into_iter();
            let wanted = files.filter(|(name, _)| name == path || name.starts_with(&inside));
            Ok(wanted.collect())
        })?;
        if files.is_empty() {
            return Err(RuntimeError::NotFound(format!(
                "Could not find the file {path} in container {id}"
            )));
        }
        let relative = |(name, content): (String, Bytes)| {
            let rest = name.get(folder.len() + 1..).unwrap_or_default().to_owned();
            (rest, content)
        };
        let tar = write_tar(files.into_iter().map(relative));
        let tar = tar.map_err(|error| RuntimeError::Engine(error.to_string()))?;
        Ok(Box::pin(stream::iter([Ok(tar.into())])))
    }
}

fn read_tar(bytes: &[u8]) -> std::io::Result<Vec<(String, Bytes)>> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(bytes).entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path()?.to_string_lossy().into_owned();
        let name = name.trim_start_matches("./").to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        files.push((name, content.into()));
    }
    Ok(files)
}

fn write_tar(files: impl Iterator<Item = (String, Bytes)>) -> std::io::Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content.as_ref())?;
    }
    tar.into_inner()
}
