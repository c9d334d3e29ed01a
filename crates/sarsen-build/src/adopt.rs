//! Images that exist already: nothing is built, only looked at.

use sarsen_domain::container::label;
use sarsen_domain::{AppName, BuildId, BuilderKind, ImageRef, Procfile, Progress};
use sarsen_runtime::{ImageInfo, RegistryLogin, RuntimeError};
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::ports::detect_ports;
use crate::{BuildError, Builder, Built};

/// When an image is fetched from its registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// When the engine does not have it.
    IfMissing,
    /// Even when the engine has one of that name.
    Always,
}

impl Builder {
    /// Takes an image as it is. Ports are those it exposes; [`Self::bring_processes`] finds its Procfile.
    pub async fn adopt(
        &self,
        image: &ImageRef,
        pull: Pull,
        logins: &[RegistryLogin],
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<Built, BuildError> {
        let limits = Limits::new(&self.settings, cancel);
        let here = match pull {
            Pull::IfMissing => self.image_here(image).await?,
            Pull::Always => None,
        };
        let info = match here {
            Some(info) => info,
            None => self.pull(image, logins, progress, &limits).await?,
        };
        Ok(Built {
            image: info.id,
            builder: BuilderKind::Null,
            procfile: Procfile::default(),
            app_json: None,
            detected_ports: detect_ports(None, &info.exposed),
            buildpacks: Vec::new(),
            size: info.size,
        })
    }

    /// Reads the Procfile in the working directory of an image that was adopted. One that this builder made in a
    /// build of another app is run as such.
    pub async fn bring_processes(
        &self,
        app: &AppName,
        build: &BuildId,
        built: &mut Built,
        procfile_path: &str,
    ) -> Result<(), BuildError> {
        let info = self.runtime.image(&built.image).await?;
        let mut spec = self.helper_spec(app, &format!("{build}-image"))?;
        spec.image = built.image.to_string();
        // It is never started, but an image without a command would not be taken.
        spec.command = Some(vec!["true".to_owned()]);
        let container = self.make_helper(&spec).await?;
        let folder = info.workdir.trim_end_matches('/');
        let text = self.read_file(&container, folder, procfile_path).await;
        self.remove_helper(&container).await;
        let Some(text) = text?.filter(|text| !text.trim().is_empty()) else {
            return Ok(());
        };
        built.procfile = Procfile::parse(&text)?;
        let made_by = info.labels.get(label::BUILDER);
        if made_by.map(String::as_str) == Some(BuilderKind::Herokuish.as_str()) {
            built.builder = BuilderKind::Herokuish;
        }
        Ok(())
    }

    async fn image_here(&self, image: &ImageRef) -> Result<Option<ImageInfo>, BuildError> {
        match self.runtime.image(image).await {
            Ok(info) => Ok(Some(info)),
            Err(RuntimeError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn pull(
        &self,
        image: &ImageRef,
        logins: &[RegistryLogin],
        progress: &dyn Progress,
        limits: &Limits,
    ) -> Result<ImageInfo, BuildError> {
        progress.header(&format!("Pulling {image}"));
        let refused =
            |error: RuntimeError| BuildError::Failed(format!("Could not pull {image}: {error}"));
        let server = image.server();
        let login = logins.iter().find(|login| login.server == server);
        let mut lines = limits
            .run(self.runtime.pull(image, login))
            .await?
            .map_err(refused)?;
        loop {
            match limits.next(&mut lines).await {
                Ok(Some(line)) => progress.body(&line),
                Ok(None) => break,
                Err(BuildError::Engine(error)) => return Err(refused(error)),
                Err(other) => return Err(other),
            }
        }
        Ok(self.runtime.image(image).await?)
    }
}
