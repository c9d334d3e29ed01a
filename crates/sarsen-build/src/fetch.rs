//! Buildpacks from outside.
#[derive(Clone)]
pub(crate) struct Fetcher;
impl Fetcher {
    pub(crate) fn new(_settings: &crate::BuildSettings) -> Self {
        Self
    }
}
