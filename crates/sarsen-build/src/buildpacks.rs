//! Builds with buildpacks.
use crate::limits::Limits;
use crate::plan::Plan;
use crate::{BuildError, BuildRequest, Builder, Built};
use sarsen_domain::Progress;
impl Builder {
    pub(crate) async fn buildpacks(
        &self,
        _request: &BuildRequest<'_>,
        _plan: Plan,
        _progress: &dyn Progress,
        _limits: &Limits,
    ) -> Result<Built, BuildError> {
        Err(BuildError::Failed("not there yet".to_owned()))
    }
}
