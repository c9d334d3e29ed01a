//! Which buildpacks fit a source, found out without building it.

use sarsen_domain::{BuilderKind, Progress};
use sarsen_runtime::ContainerSpec;
use tokio_util::sync::CancellationToken;

use super::BUILD_DIR;
use crate::archive::{Input, Rewrite, keep, rewrite};
use crate::limits::Limits;
use crate::plan::Plan;
use crate::{BuildError, BuildRequest, Builder};

/// Runs in the stack's container, as the app's user: asks each buildpack, the app's own ones or else the bundled ones.
const ASK: &str = r#"
shopt -s nullglob
packs=(/tmp/buildpacks/*/)
if ((${#packs[@]} == 0)); then packs=(/buildpacks/*/); fi
found=1
for pack in "${packs[@]}"; do
  pack=${pack%/}
  if name=$(cd "$pack" && bash ./bin/detect "$1" 2>/dev/null); then
    pack=${pack##*/}
    printf -- '-----> %s app detected (buildpack %s)\n' "${name%%$'\n'*}" "${pack#[0-9][0-9][_-]}"
    found=0
  fi
done
exit "$found"
"#;

impl Builder {
    /// Says which buildpacks fit; an error when none does. Nothing is built, and nothing stays.
    pub async fn detect_buildpacks(
        &self,
        request: BuildRequest<'_>,
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<(), BuildError> {
        let limits = Limits::new(&self.settings, cancel);
        let plan = Plan::make(&request).await?;
        if plan.builder != BuilderKind::Herokuish {
            progress.header(&format!(
                "{} is built by '{}', without buildpacks",
                request.app, plan.builder
            ));
            return Ok(());
        }
        let packs = self
            .fetcher
            .fetch_all(&plan.buildpacks, progress, &limits)
            .await?;
        self.ensure_cache(request.app).await?;
        let words = ["bash", "-c", ASK, "detect", BUILD_DIR];
        let spec = ContainerSpec {
            command: Some(words.map(str::to_owned).to_vec()),
            ..self.builder_spec(&request)?
        };
        let container = self.make_helper(&spec).await?;
        let asked = async {
            let source = rewrite(Input::source(request.source), Rewrite::for_app(keep()));
            self.upload(&container, BUILD_DIR, source, &limits).await?;
            self.upload_packs(&container, packs, &limits).await?;
            self.run_build(&container, progress, &limits).await
        };
        let asked = asked.await;
        self.remove_helper(&container).await;
        if let Err(BuildError::Failed(_)) = &asked {
            let none = "No buildpack fits this source".to_owned();
            return Err(BuildError::Failed(none));
        }
        asked
    }
}
