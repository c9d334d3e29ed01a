//! Log lines on standard error.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::Subscriber;

use crate::config::{LogConfig, LogFormat};

pub(crate) fn start(config: &LogConfig) -> Result<()> {
    let filter = EnvFilter::try_new(&config.level.0).context("log.level")?;
    let lines = Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let begun = match config.format {
        LogFormat::Human => {
            let lines = lines
                .with_target(false)
                .with_ansi(io::stderr().is_terminal());
            tracing::subscriber::set_global_default(lines.finish())
        }
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().finish()),
    };
    begun.context("cannot start logging")
}
