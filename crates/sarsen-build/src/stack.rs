//! Stacks other than the embedded one: an image such as Heroku's gets our entry scripts laid over it, once.

use sarsen_domain::container::label;
use sarsen_domain::{ImageRef, Progress};
use sarsen_runtime::{BuildItem, BuildSpec, ImageInfo, RuntimeError};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::archive::Memory;
use crate::limits::Limits;
use crate::{BuildError, Builder};

/// What makes an image a stack: how a build runs in it, and how a process starts.
const SCRIPTS: [(&str, &str); 6] = [
    ("bin/build", include_str!("../../../deploy/stack/bin/build")),
    ("bin/start", include_str!("../../../deploy/stack/bin/start")),
    ("bin/exec", include_str!("../../../deploy/stack/bin/exec")),
    (
        "bin/herokuish",
        include_str!("../../../deploy/stack/bin/herokuish"),
    ),
    (
        "lib/buildpack.sh",
        include_str!("../../../deploy/stack/lib/buildpack.sh"),
    ),
    (
        "lib/runtime.sh",
        include_str!("../../../deploy/stack/lib/runtime.sh"),
    ),
];

/// The last steps of the embedded stack's own Dockerfile, for an image that has everything else.
const DRESS: &str = r#"
USER root
COPY bin/ /opt/sarsen/bin/
COPY lib/ /opt/sarsen/lib/
RUN (getent group 32767 >/dev/null || groupadd --gid 32767 sarsen) \
 && (getent passwd 32767 >/dev/null || useradd --uid 32767 --gid 32767 --home-dir /app --no-create-home --shell /bin/bash sarsen) \
 && install -d -o 32767 -g 32767 -m 755 /app /tmp/build /tmp/cache /tmp/env /tmp/buildpacks /buildpacks \
 && ln -sf /opt/sarsen/bin/build /build && ln -sf /opt/sarsen/bin/start /start && ln -sf /opt/sarsen/bin/exec /exec \
 && command -v bash jq git curl tar gzip >/dev/null
ENV HOME=/app
WORKDIR /app
ENTRYPOINT []
CMD ["/start", "web"]
"#;

/// Marks images that are stacks as they are.
const ROLE: (&str, &str) = ("com.sarsen.role", "stack");

impl Builder {
    /// This builder with another stack image, which is pulled and made fit where needed. Buildpacks must be named for
    /// it: the bundled ones count on the tools of the embedded stack.
    pub async fn on_stack(
        &self,
        image: &ImageRef,
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<Self, BuildError> {
        let limits = Limits::new(&self.settings, cancel);
        let info = match self.runtime.image(image).await {
            Ok(info) => info,
            Err(RuntimeError::NotFound(_)) => self.pull(image, &[], progress, &limits).await?,
            Err(error) => return Err(error.into()),
        };
        let mut builder = self.clone();
        builder.settings.stack_image = if info.labels.get(ROLE.0).is_some_and(|role| role == ROLE.1)
        {
            image.to_string()
        } else {
            self.dress(image, &info, progress, &limits).await?
        };
        Ok(builder)
    }

    async fn dress(
        &self,
        image: &ImageRef,
        info: &ImageInfo,
        progress: &dyn Progress,
        limits: &Limits,
    ) -> Result<String, BuildError> {
        let tag = format!("sarsen/stack:on-{}", fingerprint(info));
        if self.runtime.image(&ImageRef::parse(&tag)?).await.is_ok() {
            return Ok(tag);
        }
        progress.header(&format!("Making {image} fit for builds, once"));
        let spec = BuildSpec {
            dockerfile: "Dockerfile".to_owned(),
            tag: tag.clone(),
            labels: [
                (ROLE.0.to_owned(), ROLE.1.to_owned()),
                (label::OWNER.to_owned(), self.settings.owner.clone()),
            ]
            .into(),
            ..BuildSpec::default()
        };
        let failed = || BuildError::io("Could not prepare the stack image");
        let dockerfile = format!("FROM {image}\n{DRESS}");
        let mut context = Memory::new()
            .file("Dockerfile", 0o644, dockerfile.as_bytes())
            .and_then(|context| context.folder("bin", 0o755))
            .and_then(|context| context.folder("lib", 0o755))
            .map_err(failed())?;
        for (path, text) in SCRIPTS {
            context = context
                .file(path, 0o755, text.as_bytes())
                .map_err(failed())?;
        }
        let context = context.into_stream().map_err(failed())?;
        let unfit = |error: RuntimeError| {
            BuildError::Failed(format!(
                "{image} cannot be used as a stack: it needs bash, jq, git, curl, tar and gzip ({error})"
            ))
        };
        let mut items = limits
            .run(self.runtime.build(&spec, context))
            .await?
            .map_err(unfit)?;
        loop {
            match limits.next(&mut items).await {
                Ok(Some(BuildItem::Done(_))) => return Ok(tag),
                Ok(Some(BuildItem::Output(_))) => {}
                Ok(None) => return Err(BuildError::Failed("The engine made no image".to_owned())),
                Err(BuildError::Engine(error)) => return Err(unfit(error)),
                Err(other) => return Err(other),
            }
        }
    }
}

/// Changes with the image and with our scripts.
fn fingerprint(info: &ImageInfo) -> String {
    let mut hash = Sha256::new();
    hash.update(info.id.as_str());
    hash.update(DRESS);
    for (path, text) in SCRIPTS {
        hash.update(path);
        hash.update(text);
    }
    hash.finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
