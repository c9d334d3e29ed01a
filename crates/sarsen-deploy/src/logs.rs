//! The output of an app's containers as one stream of lines.

use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use sarsen_domain::{ContainerId, ProcessIndex};
use sarsen_runtime::{LogOptions, RuntimeError};

use crate::{DeployError, Deployer};

/// One container to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSource {
    /// `web.1`
    pub dyno: String,
    pub container: ContainerId,
    /// Chooses the colour.
    pub index: ProcessIndex,
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// The app's line alone.
    Raw,
    /// `TIMESTAMP app[web.1]: line`
    #[default]
    Full,
}

/// Whether terminals' colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TextStyle {
    #[default]
    Plain,
    Coloured,
}

/// Formatted lines, each with its newline.
pub type LogStream = Pin<Box<dyn Stream<Item = Result<Bytes, RuntimeError>> + Send>>;

impl Deployer {
    /// The containers' output, merged by time. `options.timestamps` is ignored: `format` decides.
    pub async fn log_stream(
        &self,
        sources: Vec<LogSource>,
        options: LogOptions,
        format: (LogFormat, TextStyle),
    ) -> Result<LogStream, DeployError> {
        todo!()
    }
}
